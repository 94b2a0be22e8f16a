import JSONTree

extension Recipe {
    /// The phases of the schedule that follow the number of steps.
    public static let keysOfPhases: Set<String> = ["scheduler.lr_warmup_iters", "scheduler.lr_wsd_decay_iters"]

    /// Scales the recipe's schedule to a changed number of steps.
    ///
    /// A recipe for 1000 steps with 50 warm-up steps has 5 of 100. Settings that the user changed are kept, and those of a file of the
    /// user's, unless they do not fit into the steps.
    ///
    /// - Parameters:
    ///   - recommended: The recipe before it was changed.
    ///   - keys: The keys of the settings that were changed.
    ///   - own: The keys of settings that are not those of a recommended recipe.
    /// - Returns: A sentence for each scaled setting; empty if none was.
    public mutating func followTrainIters(
        of recommended: Recipe,
        changed keys: Set<String>,
        own: Set<String> = []
    ) -> [String] {
        let (before, after) = (recommended.train.trainIters, train.trainIters)
        guard keys.contains("train.train_iters"), before > 0, after > 0, after != before else { return [] }
        let end = scheduler.decaySteps(of: after)
        /// The scaled number of steps of a phase; nil for one that is kept.
        func scaled(_ key: String, _ steps: Int, least: Int, fits: Bool) -> Int? {
            guard !keys.contains(key), !own.contains(key) || !fits && after < before else { return nil }
            let scaled = max(least, Int(saturating: Double(steps) * Double(after) / Double(before)))
            return scaled == steps ? nil : scaled
        }
        func note(_ key: String, _ steps: Int, _ old: Int) -> String {
            "\(key) follows train.train_iters: \(steps) of \(after) steps instead of \(old) of \(before)"
        }
        var notes: [String] = []
        let (warmup, decay) = (scheduler.lrWarmupIters, scheduler.lrWSDDecayIters)
        let warmupKey = "scheduler.lr_warmup_iters"
        if scheduler.lrWarmupFraction == nil,
            let steps = scaled(warmupKey, warmup, least: 0, fits: Double(warmup) < end)
        {
            notes.append(note(warmupKey, steps, warmup))
            scheduler.lrWarmupIters = steps
        }
        let decayKey = "scheduler.lr_wsd_decay_iters"
        if scheduler.lrWSDDecayFraction == nil, let decay,
            let steps = scaled(decayKey, decay, least: 1, fits: Double(decay) <= end)
        {
            notes.append(note(decayKey, steps, decay))
            scheduler.lrWSDDecayIters = steps
        }
        return notes
    }
}
