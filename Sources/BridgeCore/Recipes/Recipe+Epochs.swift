import JSONTree

/// Settings that count in epochs, passes over the training samples.
extension Recipe {
    /// Whether the steps have validations between them, if there are samples for it.
    public var hasValidations: Bool { train.evalIters > 0 && (train.evalInterval > 0 || train.evalsPerEpoch != nil) }

    /// Replaces settings in epochs by steps: the number of steps, and the intervals of validations and of checkpoints.
    ///
    /// `ceil(num_epochs x samples / global_batch_size)` steps, and `ceil(samples / (global_batch_size x n))` steps for an
    /// interval of n in an epoch; both at least 1. A batch may cross the end of an epoch. `train_samples / global_batch_size`
    /// steps, rounded down as in Megatron-Core, where a number of samples is the length of the run.
    ///
    /// - Parameter sampleCount: The number of training samples; nil where it is not known, so that epochs are not counted.
    /// - Returns: A sentence for each setting that follows.
    public mutating func countEpochs(of sampleCount: Int?) -> [String] {
        let (batch, before) = (train.globalBatchSize, self)
        guard batch > 0 else { return [] }
        var notes: [String] = []
        if let samples = train.trainSamples {
            train.trainIters = max(1, samples / batch)
            notes.append("train.train_iters is \(train.trainIters): \(samples) samples in batches of \(batch)")
            notes += followTrainIters(of: before, changed: ["train.train_iters"])
        }
        guard let sampleCount, sampleCount > 0 else { return notes }
        if let epochs = train.numEpochs {
            train.trainIters = Self.steps(epochs, sampleCount, batch)
            notes.append(
                "train.train_iters is \(train.trainIters): \(epochs) x \(sampleCount) samples in batches of \(batch)"
            )
            notes += followTrainIters(of: before, changed: ["train.train_iters"])
        }
        if let count = train.evalsPerEpoch { train.evalInterval = Self.steps(1 / Double(count), sampleCount, batch) }
        if let count = checkpoint.savesPerEpoch {
            checkpoint.saveInterval = Self.steps(1 / Double(count), sampleCount, batch)
        }
        return notes
    }

    /// The setting that the length of the run is given by.
    public var keyOfLength: String {
        if train.numEpochs != nil { return "train.num_epochs" }
        return train.trainSamples == nil ? "train.train_iters" : "train.train_samples"
    }

    /// The settings that ``countEpochs(of:)`` derives, which the file of a run has beside those that they are derived from.
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

    /// Takes over what ``countEpochs(of:)`` gave another start of the same run.
    ///
    /// - Parameter other: The recipe of that start.
    public mutating func takeEpochs(of other: Recipe) {
        let isSame = train.numEpochs == other.train.numEpochs && train.trainSamples == other.train.trainSamples
        if isSame, train.numEpochs != nil || train.trainSamples != nil {
            train.trainIters = other.train.trainIters
            (scheduler.lrWarmupIters, scheduler.lrWSDDecayIters) = (
                other.scheduler.lrWarmupIters, other.scheduler.lrWSDDecayIters
            )
        }
        if train.evalsPerEpoch != nil, train.evalsPerEpoch == other.train.evalsPerEpoch {
            train.evalInterval = other.train.evalInterval
        }
    }
}
