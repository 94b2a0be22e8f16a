public import BridgeCore
public import TensorRuntime

/// The loss of a micro-batch without a gradient, and how many of its tokens are the most likely ones.
public final class TokenScores {
    /// The number of supervised tokens of this rank than which no other token is more likely.
    public private(set) var hits = 0
    private let model: any CausalModel

    /// No tokens yet.
    public init(_ model: any CausalModel) { self.model = model }

    /// The sum of the cross entropies of this rank's tokens, from the residual stream after the last layer.
    ///
    /// - Throws: What a group throws.
    public func loss(of stream: Tensor, _ batch: TrainingBatch) throws -> Double {
        var sum = 0.0
        for score in try model.targetScores(of: stream, batch.tokens, targets: batch.targets) {
            guard let score else { continue }
            sum += Double(score.loss)
            hits += score.isLargest ? 1 : 0
        }
        // As the sum of a forward pass with gradients is rounded.
        return Double(Float(sum))
    }

    func objective(_ batch: TrainingBatch) -> PipelineSchedule.MicroBatch.Objective {
        { [self] stream in (stream, try loss(of: stream, batch)) }
    }
}

/// The sums of a validation.
struct ValidationSums {
    /// The sum of the losses.
    var loss = 0.0
    /// The number of supervised tokens, or of pairs of answers.
    var count = 0
    /// The number of those tokens that are the most likely ones.
    var hits = 0

    mutating func add(_ other: ValidationSums) {
        loss += other.loss
        count += other.count
        hits += other.hits
    }
}
