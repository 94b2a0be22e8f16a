import BridgeCore

/// Decides whether a step is applied or skipped.
struct LossMonitor {
    enum Decision { case good, notFinite, spike, largeGradient, empty }

    private let threshold: Double?
    private let largestNorm: Double?
    private let mostInARow: Int
    private var inARow = 0
    /// The running mean of the losses of applied steps; nil before the first.
    var meanLoss: Double?

    /// The weight of each loss in the running mean.
    private static let share = 0.05

    init(_ section: Recipe.TrainSection, _ optimizer: Recipe.OptimizerSection) {
        threshold = section.spikeThreshold
        largestNorm = optimizer.gradNormSkipThreshold
        mostInARow = section.maxSkippedIters
    }

    /// - Throws: `BridgeError` after too many consecutive skipped steps.
    mutating func check(loss: Double, gradientNorm: Double, iteration: Int, trained: Int) throws -> Decision {
        let decision: Decision
        if trained == 0 {
            decision = .empty
        } else if !loss.isFinite || !gradientNorm.isFinite {
            decision = .notFinite
        } else if let threshold, let meanLoss, loss > threshold * meanLoss {
            decision = .spike
        } else if let largestNorm, gradientNorm > largestNorm {
            decision = .largeGradient
        } else {
            decision = .good
        }
        guard decision != .good else {
            inARow = 0
            meanLoss = meanLoss.map { $0 + (loss - $0) * Self.share } ?? loss
            return decision
        }
        inARow += 1
        guard inARow < mostInARow else {
            guard decision != .empty else {
                throw BridgeError(
                    .badArgument,
                    "\(inARow) consecutive steps had no supervised token, the last was step \(iteration); "
                        + "'bridge data check' lists the samples without one"
                )
            }
            throw BridgeError(
                .trainingDiverged,
                "\(inARow) consecutive steps were skipped, the last, step \(iteration), with a loss of \(loss.plainText) and a gradient "
                    + "norm of \(gradientNorm.plainText); lower optimizer.lr, lengthen the warm-up or check the data"
            )
        }
        return decision
    }
}
