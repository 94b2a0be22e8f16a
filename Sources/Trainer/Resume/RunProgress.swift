import BridgeCore
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
    /// The smallest loss of a validation, and the number of steps before it; nil before the first.
    public var best: Best?
    /// The number of validations since the best one.
    public var validationsSinceBest = 0

    /// The best validation.
    public struct Best: Sendable, Equatable {
        /// The number of steps before it.
        public var iteration: Int
        /// Its loss.
        public var loss: Double
    }

    /// Counts a validation.
    ///
    /// - Returns: Whether it is the best so far.
    mutating func add(_ validation: ValidationRecord) -> Bool {
        guard validation.loss < best?.loss ?? .infinity else {
            validationsSinceBest += 1
            return false
        }
        best = Best(iteration: validation.iteration, loss: validation.loss)
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
            json.set(Self.bits(of: best.loss), at: "best_validation_loss_bits")
            json.set(JSON(validationsSinceBest), at: "validations_since_best")
        }
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
        if let loss = Self.number(json["best_validation_loss_bits"]), let iteration = json["best_iteration"]?.integer {
            best = Best(iteration: iteration, loss: loss)
            validationsSinceBest = json["validations_since_best"]?.integer ?? 0
        }
    }

    private static func bits(of number: Double) -> JSON { .string(String(number.bitPattern, radix: 16)) }

    private static func number(_ bits: JSON?) -> Double? {
        bits?.string.flatMap { UInt64($0, radix: 16) }.map { Double(bitPattern: $0) }
    }
}
