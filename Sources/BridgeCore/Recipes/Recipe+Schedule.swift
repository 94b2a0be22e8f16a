import JSONTree

extension Recipe {
    /// Scales the recipe's schedule to a changed number of steps.
    ///
    /// A recipe for 1000 steps has 50 warm-up steps, more than a run of 10 steps. Settings that the user changed are kept.
    ///
    /// - Parameters:
    ///   - recommended: The recipe before it was changed.
    ///   - keys: The keys of the settings that were changed.
    /// - Returns: A sentence for each scaled setting; empty if none was.
    public mutating func followTrainIters(of recommended: Recipe, changed keys: Set<String>) -> [String] {
        let (before, after) = (recommended.train.trainIters, train.trainIters)
        guard keys.contains("train.train_iters"), before > 0, after > 0, after < before else { return [] }
        func scaled(_ steps: Int) -> Int { Int(saturating: Double(steps) * Double(after) / Double(before)) }
        var notes: [String] = []
        let end = Int(saturating: scheduler.decaySteps(of: after))
        if !keys.contains("scheduler.lr_warmup_iters"), scheduler.lrWarmupFraction == nil,
            scheduler.lrWarmupIters >= end
        {
            let steps = scaled(scheduler.lrWarmupIters)
            notes.append(
                "scheduler.lr_warmup_iters follows train.train_iters: \(steps) of \(after) steps instead of "
                    + "\(scheduler.lrWarmupIters) of \(before)"
            )
            scheduler.lrWarmupIters = steps
        }
        if !keys.contains("scheduler.lr_wsd_decay_iters"), scheduler.lrWSDDecayFraction == nil,
            let decay = scheduler.lrWSDDecayIters, decay > end
        {
            let steps = max(1, scaled(decay))
            notes.append(
                "scheduler.lr_wsd_decay_iters follows train.train_iters: \(steps) of \(after) steps instead of "
                    + "\(decay) of \(before)"
            )
            scheduler.lrWSDDecayIters = steps
        }
        return notes
    }
}
