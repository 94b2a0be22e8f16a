public import Imaging

/// One example to learn from: tokens, which of them are supervised, and the images that some of them stand for.
public struct TrainingSample: Sendable, Equatable {
    /// What a label is that nothing is supervised from.
    public static let ignoredLabel: Int32 = -100

    /// The tokens of the whole conversation, T of them.
    public var tokens: [Int32]
    /// For each token the token itself where the model is to learn to say it, ``ignoredLabel`` elsewhere: T, not shifted.
    public var labels: [Int32]
    /// Pixel values, in the order in which their features take the place of image tokens.
    public var images: [PixelPlanes]

    /// A sample.
    public init(tokens: [Int32], labels: [Int32], images: [PixelPlanes] = []) {
        self.tokens = tokens
        self.labels = labels
        self.images = images
    }

    /// How many tokens the model learns to say; the first token of a sequence follows nothing and is not among them.
    public var supervisedCount: Int { labels.dropFirst().count { $0 != Self.ignoredLabel } }
}
