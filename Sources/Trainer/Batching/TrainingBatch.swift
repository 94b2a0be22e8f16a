public import BridgeCore
import Imaging
public import TensorRuntime

/// A micro-batch as the trainer takes it.
public struct TrainingBatch: Sendable {
    /// The tokens and pictures: B x T.
    public var tokens: TokenBatch
    /// For every token the one that follows it in its sample where that is learnt, -100 elsewhere: B x T.
    public var targets: [Int32]
    /// How many targets are learnt.
    public var trainedCount: Int

    /// A batch of tokens and pictures that are tensors already.
    public init(tokens: TokenBatch, targets: [Int32]) {
        self.tokens = tokens
        self.targets = targets
        trainedCount = targets.count { $0 >= 0 }
    }

    /// The batch with its pictures as tensors [3, height, width], float32.
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
        trainedCount = batch.trainedCount
    }
}
