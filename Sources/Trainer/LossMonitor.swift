import BridgeCore

/// Decides whether a step is good enough to be taken.
struct LossMonitor {
    enum Decision { case good, notFinite, spike, empty }

    private let threshold: Double?
    private let mostInARow: Int
    private var inARow = 0
    /// The running mean of the losses that were taken; nil before the first.
    var meanLoss: Double?

    /// How much of the mean each loss makes up.
    private static let share = 0.05

    init(_ section: Recipe.TrainSection) {
        threshold = section.spikeThreshold
        mostInARow = section.maxSkippedIters
    }

    /// - Throws: `BridgeError` when too many steps in a row were left out.
    mutating func check(loss: Double, gradientNorm: Double, iteration: Int, trained: Int) throws -> Decision {
        let decision: Decision
        if trained == 0 {
            decision = .empty
        } else if !loss.isFinite || !gradientNorm.isFinite {
            decision = .notFinite
        } else if let threshold, let meanLoss, loss > threshold * meanLoss {
            decision = .spike
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
                    "\(inARow) steps in a row had no token to learn from, the last was \(iteration); "
                        + "'bridge data check' shows which samples teach nothing and why"
                )
            }
            throw BridgeError(
                .trainingDiverged,
                "\(inARow) steps in a row were left out, the last, \(iteration), with a loss of \(loss) and a gradient "
                    + "norm of \(gradientNorm); lower optimizer.lr, lengthen the warm-up or look at the data"
            )
        }
        return decision
    }
}
