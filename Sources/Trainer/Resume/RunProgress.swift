public import BridgeCore
import JSONTree

/// The progress of a run: the state to resume from, without tensors.
///
/// Random numbers and the order of the data depend on the seed and these counts.
public struct RunProgress: Sendable, Equatable {
    /// The number of completed steps.
    public var iteration = 0
    /// The number of consumed samples.
    public var consumedSamples = 0
    /// The number of optimizer steps.
    public var optimizerSteps = 0
    /// The number of steps skipped because of a loss spike.
    public var skippedIterations = 0
    /// The number of steps skipped because of a NaN or an infinity.
    public var nanIterations = 0
    /// The running mean of the loss; nil before the first step.
    public var meanLoss: Double?
    /// The best value of a validation, and the number of steps before it; nil before the first.
    public var best: Best?
    /// The number of validations since the best one.
    public var validationsSinceBest = 0

    /// The value of `train.patience` that has ended the run; nil for a run that has not ended by it.
    public var endedByPatience: Int?

    /// The best validation.
    public struct Best: Sendable, Equatable {
        /// The number of steps before it.
        public var iteration: Int
        /// Its value of the metric.
        public var value: Double
        /// The metric.
        public var metric: Recipe.BestMetric

        /// A value.
        public init(iteration: Int, value: Double, metric: Recipe.BestMetric = .loss) {
            (self.iteration, self.value, self.metric) = (iteration, value, metric)
        }
    }

    /// Counts a validation.
    ///
    /// - Parameters:
    ///   - validation: The validation.
    ///   - metric: The metric; the best by another one does not count.
    /// - Returns: Whether it is the best so far.
    mutating func add(_ validation: ValidationRecord, by metric: Recipe.BestMetric) -> Bool {
        guard let value = validation.value(of: metric) else { return false }
        let known = best.flatMap { $0.metric == metric ? $0.value : nil }
        let isBetter = known.map { metric == .loss ? value < $0 : value > $0 } ?? value.isFinite
        guard isBetter else {
            validationsSinceBest += 1
            return false
        }
        best = Best(iteration: validation.iteration, value: value, metric: metric)
        validationsSinceBest = 0
        return true
    }

    /// The start of a run.
    public init() {}

    /// The file's name in an iteration's directory.
    public static let fileName = "train_state.json"

    private static let counts: [(String, any WritableKeyPath<RunProgress, Int> & Sendable)] = [
        ("iteration", \.iteration), ("consumed_samples", \.consumedSamples), ("optimizer_steps", \.optimizerSteps),
        ("skipped_iterations", \.skippedIterations), ("nan_iterations", \.nanIterations),
    ]

    var json: JSON {
        var json: JSON = .object(JSONObject())
        for (key, path) in Self.counts { json.set(JSON(self[keyPath: path]), at: key) }
        // Stored as bits, so that the mean is restored exactly.
        if let meanLoss { json.set(Self.bits(of: meanLoss), at: "mean_loss_bits") }
        if let best {
            json.set(JSON(best.iteration), at: "best_iteration")
            json.set(Self.bits(of: best.value), at: best.metric == .loss ? Self.bestLoss : "best_value_bits")
            if best.metric != .loss { json.set(.string(best.metric.rawValue), at: "best_metric") }
        }
        if best != nil || validationsSinceBest > 0 {
            json.set(JSON(validationsSinceBest), at: "validations_since_best")
        }
        if let endedByPatience { json.set(JSON(endedByPatience), at: "ended_by_patience") }
        return json
    }

    init(json: JSON, name: String) throws {
        for (key, path) in Self.counts {
            guard let value = json[key]?.integer, value >= 0, value < 1 << 53 else {
                throw BridgeError(
                    .corruptInput,
                    "\(name) has no \(key); the checkpoint was not written by a training run"
                )
            }
            self[keyPath: path] = value
        }
        meanLoss = Self.number(json["mean_loss_bits"])
        let metric = json["best_metric"]?.string.flatMap(Recipe.BestMetric.init) ?? .loss
        if let value = Self.number(json[metric == .loss ? Self.bestLoss : "best_value_bits"]),
            let iteration = json["best_iteration"]?.integer
        {
            best = Best(iteration: iteration, value: value, metric: metric)
        }
        validationsSinceBest = json["validations_since_best"]?.integer ?? 0
        endedByPatience = json["ended_by_patience"]?.integer
    }

    private static let bestLoss = "best_validation_loss_bits"

    private static func bits(of number: Double) -> JSON { .string(String(number.bitPattern, radix: 16)) }

    private static func number(_ bits: JSON?) -> Double? {
        bits?.string.flatMap { UInt64($0, radix: 16) }.map { Double(bitPattern: $0) }
    }
}

extension ValidationRecord {
    /// The value of a metric; nil where the validation does not have it.
    func value(of metric: Recipe.BestMetric) -> Double? {
        switch metric {
        case .loss: loss
        case .tokenAccuracy: tokenAccuracy
        case .rewardAccuracy: preference?.accuracy
        case .rewardMargin: preference?.margin
        }
    }
}

extension Recipe.BestMetric {
    /// The metric in a sentence.
    public var title: String {
        switch self {
        case .loss: "validation loss"
        case .tokenAccuracy: "validation token accuracy"
        case .rewardAccuracy: "validation reward accuracy"
        case .rewardMargin: "validation reward margin"
        }
    }
}
