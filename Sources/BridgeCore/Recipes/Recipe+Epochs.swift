import JSONTree

/// Settings that count in epochs, passes over the training samples.
extension Recipe {
    /// Whether the steps have validations between them, if there are samples for it.
    public var hasValidations: Bool { train.evalIters > 0 && (train.evalInterval > 0 || train.evalsPerEpoch != nil) }

    /// Replaces settings in epochs by steps: the number of steps, and the intervals of validations and of checkpoints.
    ///
    /// `ceil(num_epochs x samples / global_batch_size)` steps, and `ceil(samples / (global_batch_size x n))` steps for an
    /// interval of n in an epoch, which is that of the first one; see ``validates(after:samples:)`` for the others. Both are at
    /// least 1. A batch may cross the end of an epoch. `train_samples / global_batch_size` steps, rounded down as in
    /// Megatron-Core, where a number of samples is the length of the run.
    ///
    /// - Parameters:
    ///   - sampleCount: The number of training samples; nil where it is not known, so that epochs are not counted.
    ///   - scalesWarmup: Whether the warm-up is a recommended recipe's, which follows the number of steps.
    /// - Returns: A sentence for each setting that follows.
    public mutating func countEpochs(of sampleCount: Int?, scalesWarmup: Bool = false) -> [String] {
        let (batch, before) = (train.globalBatchSize, self)
        guard batch > 0 else { return [] }
        var notes: [String] = []
        let own: Set<String> = scalesWarmup ? [] : Self.keysOfPhases
        if let samples = train.trainSamples {
            train.trainIters = max(1, samples / batch)
            notes.append("train.train_iters is \(train.trainIters): \(samples) samples in batches of \(batch)")
            notes += followTrainIters(of: before, changed: ["train.train_iters"], own: own)
        }
        guard let sampleCount, sampleCount > 0 else { return notes }
        if let epochs = train.numEpochs {
            train.trainIters = Self.steps(epochs, sampleCount, batch)
            notes.append(
                "train.train_iters is \(train.trainIters): \(epochs) x \(sampleCount) samples in batches of \(batch)"
            )
            notes += followTrainIters(of: before, changed: ["train.train_iters"], own: own)
        }
        if let count = train.evalsPerEpoch { train.evalInterval = Self.steps(1 / Double(count), sampleCount, batch) }
        if let count = checkpoint.savesPerEpoch {
            checkpoint.saveInterval = Self.steps(1 / Double(count), sampleCount, batch)
        }
        return notes
    }

    /// Whether a validation follows a step: after each interval, or each part of an epoch, and after the last step.
    ///
    /// - Parameters:
    ///   - step: The number of the step, from 1 on.
    ///   - samples: The number of training samples; nil where it is not known.
    /// - Returns: Whether a validation follows.
    public func validates(after step: Int, samples: Int?) -> Bool {
        guard hasValidations else { return false }
        return step == train.trainIters
            || ends(step, train.evalsPerEpoch, samples) ?? isMultiple(step, train.evalInterval)
    }

    /// Whether a checkpoint follows a step because of its number: after each interval, or each part of an epoch.
    ///
    /// - Parameters:
    ///   - step: The number of the step, from 1 on.
    ///   - samples: The number of training samples; nil where it is not known.
    /// - Returns: Whether a checkpoint follows.
    public func saves(after step: Int, samples: Int?) -> Bool {
        ends(step, checkpoint.savesPerEpoch, samples) ?? isMultiple(step, checkpoint.saveInterval)
    }

    private func isMultiple(_ step: Int, _ interval: Int) -> Bool { interval > 0 && step % interval == 0 }

    /// Whether a part of an epoch ends in a step: `step = ceil(k x samples / (parts x global_batch_size))` for a whole k; nil where
    /// epochs are not divided.
    ///
    /// The number of ends up to a step is `floor(step x parts x global_batch_size / samples)`, which a step with one raises.
    private func ends(_ step: Int, _ parts: Int?, _ samples: Int?) -> Bool? {
        guard let parts, let samples, samples > 0, train.globalBatchSize > 0, step > 0 else { return nil }
        func count(_ step: Int) -> Int {
            let (product, overflow) = step.multipliedReportingOverflow(by: parts * train.globalBatchSize)
            return overflow ? .max : product / samples
        }
        return count(step) > count(step - 1)
    }

    /// The setting that the length of the run is given by.
    public var keyOfLength: String {
        if train.numEpochs != nil { return "train.num_epochs" }
        return train.trainSamples == nil ? "train.train_iters" : "train.train_samples"
    }

    /// The settings that ``countEpochs(of:scalesWarmup:)`` derives, which the file of a run has beside those that they are derived from.
    public var keysOfEpochs: Set<String> {
        var keys: Set<String> = []
        if train.numEpochs != nil || train.trainSamples != nil { keys.insert("train.train_iters") }
        if train.evalsPerEpoch != nil { keys.insert("train.eval_interval") }
        if checkpoint.savesPerEpoch != nil { keys.insert("checkpoint.save_interval") }
        return keys
    }

    private static func steps(_ epochs: Double, _ samples: Int, _ batch: Int) -> Int {
        let exact = epochs * Double(samples) / Double(batch)
        // A third of three epochs is one.
        return max(1, Int(saturating: (exact - 1e-9 * exact).rounded(.up)))
    }

    /// Takes over what ``countEpochs(of:scalesWarmup:)`` gave another start of the same run.
    ///
    /// - Parameters:
    ///   - other: The recipe of that start.
    ///   - scalesWarmup: Whether the warm-up follows the number of steps, so that its value here is not that of the run.
    public mutating func takeEpochs(of other: Recipe, scalesWarmup: Bool = false) {
        let isSame = train.numEpochs == other.train.numEpochs && train.trainSamples == other.train.trainSamples
        if train.numEpochs != nil || train.trainSamples != nil, isSame || scalesWarmup {
            if isSame { train.trainIters = other.train.trainIters }
            (scheduler.lrWarmupIters, scheduler.lrWSDDecayIters) = (
                other.scheduler.lrWarmupIters, other.scheduler.lrWSDDecayIters
            )
        }
        if train.evalsPerEpoch != nil, train.evalsPerEpoch == other.train.evalsPerEpoch {
            train.evalInterval = other.train.evalInterval
        }
    }
}
