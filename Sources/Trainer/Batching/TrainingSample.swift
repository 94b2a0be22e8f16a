public import Imaging

/// One training sample: tokens, labels, and images.
public struct TrainingSample: Sendable, Equatable {
    /// The label of unsupervised tokens.
    public static let ignoredLabel: Int32 = -100

    /// The tokens of the whole conversation, T of them.
    public var tokens: [Int32]
    /// For each token the token itself if it is supervised, otherwise ``ignoredLabel``: T, not shifted.
    public var labels: [Int32]
    /// Pixel values, in the order of their image tokens.
    public var images: [PixelPlanes]
    /// Which of the tokens are the answer that is compared, where the prompt is supervised too: T; nil for all supervised ones.
    var answer: [Bool]?

    /// A sample.
    public init(tokens: [Int32], labels: [Int32], images: [PixelPlanes] = []) {
        self.tokens = tokens
        self.labels = labels
        self.images = images
    }

    /// The number of supervised tokens; the first token of a sequence is never supervised.
    public var supervisedCount: Int { labels.dropFirst().count { $0 != Self.ignoredLabel } }
}
