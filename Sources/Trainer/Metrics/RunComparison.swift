import BridgeCore
import BridgeSupport

/// Two runs side by side: what each step has computed, from their logs.
public struct RunComparison: Sendable {
    /// What is compared of a step.
    public enum Quantity: String, Sendable, CaseIterable {
        /// The loss.
        case loss = "lm_loss"
        /// The global norm of the gradients.
        case gradientNorm = "grad_norm"
        /// The learning rate.
        case learningRate = "learning_rate"
        /// The learning rates of the parts that have one of their own in one of the runs.
        case learningRates = "learning_rates"
        /// The number of samples so far.
        case consumedSamples = "consumed_samples"
        /// The number of supervised tokens of the step.
        case trainedTokens = "trained_tokens"
        /// The loss of a validation after the step.
        case validationLoss = "validation_lm_loss"

        fileprivate func value(of step: StepRecord) -> Double? {
            switch self {
            case .loss: step.loss
            case .gradientNorm: step.gradientNorm
            case .learningRate: step.learningRate
            case .consumedSamples: Double(step.consumedSamples)
            case .trainedTokens: Double(step.trainedTokens)
            case .validationLoss, .learningRates: nil
            }
        }
    }

    /// The largest difference of a quantity.
    public struct Difference: Sendable {
        /// The quantity.
        public var quantity: Quantity
        /// The largest difference, relative to the larger of the two values.
        public var relative: Double
        /// The step of the largest difference.
        public var iteration: Int
        /// The values there, of the first and of the second run.
        public var values: (Double, Double)
        /// The first step at which the values are not equal.
        public var firstIteration: Int
    }

    /// The files.
    public let paths: (String, String)
    /// The steps that both runs have, in order.
    public let steps: [(one: StepRecord, other: StepRecord)]
    /// The numbers of steps that only one of the two has.
    public let unmatched: (one: Int, other: Int)
    /// The quantities that are not equal at each step.
    public let differences: [Difference]

    /// Compares two runs.
    ///
    /// - Parameters:
    ///   - one: A log, the directory with it, or the directory of the run's checkpoints.
    ///   - other: The other one.
    /// - Throws: `BridgeError` for a log that is missing or has no step, and for runs without a common step.
    public init(_ one: String, _ other: String) throws {
        paths = (try JSONLinesLog.location(of: one), try JSONLinesLog.location(of: other))
        let logs = (try Self.records(in: paths.0), try Self.records(in: paths.1))
        let byIteration = Dictionary(logs.1.steps.map { ($0.iteration, $0) }) { $1 }
        steps = logs.0.steps.compactMap { step in byIteration[step.iteration].map { (step, $0) } }
        guard !steps.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(paths.0) and \(paths.1) have no step in common: \(Self.range(logs.0.steps)) and \(Self.range(logs.1.steps))"
            )
        }
        unmatched = (logs.0.steps.count - steps.count, logs.1.steps.count - steps.count)
        let validations = Dictionary(logs.1.validations.map { ($0.iteration, $0.loss) }) { $1 }
        let pairs = steps
        differences = Quantity.allCases.compactMap { quantity in
            if quantity == .learningRates {
                return Self.difference(
                    quantity,
                    pairs.flatMap { step in
                        // A part without a rate of its own has that of the run.
                        Set(step.one.learningRates.keys).union(step.other.learningRates.keys).sorted().map { name in
                            func rate(_ step: StepRecord) -> Double { step.learningRates[name] ?? step.learningRate }
                            return (step.one.iteration, rate(step.one), rate(step.other))
                        }
                    }
                )
            }
            guard quantity == .validationLoss else {
                return Self.difference(
                    quantity,
                    pairs.compactMap { step in
                        guard let one = quantity.value(of: step.one), let other = quantity.value(of: step.other) else {
                            return nil
                        }
                        return (step.one.iteration, one, other)
                    }
                )
            }
            return Self.difference(
                quantity,
                logs.0.validations.compactMap { validation in
                    validations[validation.iteration].map { (validation.iteration, validation.loss, $0) }
                }
            )
        }
    }

    /// Whether all common steps are equal to the bit, and neither run has more.
    public var isEqual: Bool { differences.isEmpty && unmatched == (0, 0) }

    private static func difference(_ quantity: Quantity, _ values: [(Int, Double, Double)]) -> Difference? {
        var found: Difference?
        for (iteration, one, other) in values where one != other && !(one.isNaN && other.isNaN) {
            let gap = abs(one - other) / max(abs(one), abs(other))
            let relative = gap.isNaN ? .infinity : gap
            guard var old = found else {
                found = Difference(
                    quantity: quantity,
                    relative: relative,
                    iteration: iteration,
                    values: (one, other),
                    firstIteration: iteration
                )
                continue
            }
            if relative > old.relative {
                (old.relative, old.iteration, old.values) = (relative, iteration, (one, other))
                found = old
            }
        }
        return found
    }

    private static func range(_ steps: [StepRecord]) -> String {
        "steps \(steps.first?.iteration ?? 0) to \(steps.last?.iteration ?? 0)"
    }

    private static func records(in path: String) throws -> (steps: [StepRecord], validations: [ValidationRecord]) {
        let records = JSONLinesLog.records(in: path, through: .max)
        guard !records.0.isEmpty else {
            throw BridgeError(.corruptInput, "\(path) has no step; expected the log.jsonl of a run of 'bridge train'")
        }
        return records
    }
}
