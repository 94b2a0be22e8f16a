public import BridgeCore

/// Samples that go through the model together, and what is to be learnt from them.
public struct TrainingBatch: Sendable {
    /// The tokens, B rows of T, and the pictures.
    public var tokens: TokenBatch
    /// For each token the one that follows it, ``TrainingSample/ignoredLabel`` where none is learnt: B x T.
    public var targets: [Int32]

    /// A batch.
    public init(tokens: TokenBatch, targets: [Int32]) {
        self.tokens = tokens
        self.targets = targets
    }

    /// How many tokens are learnt.
    public var trainedCount: Int { targets.count { $0 >= 0 } }
}
