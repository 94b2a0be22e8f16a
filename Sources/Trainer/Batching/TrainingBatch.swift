public import BridgeCore
import Imaging
public import TensorRuntime

/// A micro-batch as the trainer takes it.
public struct TrainingBatch: Sendable {
    /// The tokens and images: B x T.
    public var tokens: TokenBatch
    /// For every token the one that follows it in its sample where that is supervised, -100 elsewhere: B x T.
    public var targets: [Int32]
    /// How many targets are supervised.
    public var supervisedCount: Int

    /// A batch of tokens and images that are tensors already.
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
        supervisedCount = batch.supervisedCount
    }
}
