public import BridgeCore
import Imaging
public import TensorRuntime

/// A micro-batch for the trainer.
public struct TrainingBatch: Sendable {
    /// The tokens and images: B x T.
    public var tokens: TokenBatch
    /// For each token the next token of its sample if that is supervised, otherwise -100: B x T.
    public var targets: [Int32]
    /// For each target whether it is a token of the answer that is compared, B x T; nil for all.
    var answer: [Bool]?
    /// The number of supervised targets.
    public var supervisedCount: Int

    /// A batch of tokens and image tensors.
    public init(tokens: TokenBatch, targets: [Int32]) {
        self.tokens = tokens
        self.targets = targets
        supervisedCount = targets.count { $0 >= 0 }
    }

    /// The batch with its images as tensors [3, height, width], float32.
    public init(_ batch: CollatedBatch, on engine: any TensorEngine) {
        tokens = TokenBatch(
            tokens: batch.tokens,
            batch: batch.batch,
            positions: batch.positions,
            isPresent: batch.isPresent,
            segments: batch.segments,
            images: batch.images.map { Tensor($0.values, shape: [3, $0.height, $0.width], on: engine) }
        )
        targets = batch.targets
        answer = batch.answer
        supervisedCount = batch.supervisedCount
    }
}
