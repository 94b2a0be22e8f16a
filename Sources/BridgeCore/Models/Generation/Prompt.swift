import BridgeSupport
import TensorRuntime

/// The tokens that a generation starts with, and the images of its image tokens.
struct Prompt {
    /// The tokens.
    let tokens: [Int32]
    /// Pixel values for all image tokens, in their order.
    let images: [Tensor]
    /// What identifies the pixel values of each image.
    let digests: [String]

    /// A prompt.
    init(tokens: [Int32], images: [Tensor]) {
        (self.tokens, self.images) = (tokens, images)
        digests = images.map { image in
            let values = image.floats().withUnsafeBytes(BlockChecksum.digest)
            return "\(values) \(image.shape.map(String.init).joined(separator: "x"))"
        }
    }
}

/// An image of a sequence that a model has seen.
struct SeenImage: Sendable, Equatable {
    /// What identifies its pixel values.
    var digest: String
    /// From its first feature to its last.
    var tokens: Range<Int>
}
