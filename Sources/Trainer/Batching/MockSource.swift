import BridgeCore
import Imaging
import TensorRuntime
import Tokenizers

/// Synthetic samples: images of noise with one question and one answer, for a run without data.
public struct MockSource: SampleSource {
    /// The side lengths of an image, in pixels.
    public static let side = 256
    /// The question.
    public static let question = "Describe this image."
    /// The answer.
    public static let answer = "The image shows random noise in many colours."

    /// The number of samples.
    public let count: Int
    private let imageCount: Int
    private let seed: UInt64
    private let encoder: SampleEncoder

    /// The random numbers of the images are a separate stream.
    private static let stream: UInt64 = 0x6d6f_636b_0000_0000

    /// Samples.
    ///
    /// - Parameters:
    ///   - count: The number of samples.
    ///   - imageCount: The number of images in each; 0 for text only.
    ///   - seed: The seed of the images.
    ///   - encoder: Converts conversations to samples.
    /// - Throws: `BridgeError` for invalid counts, and for images with a text-only model.
    public init(count: Int, imageCount: Int = 1, seed: UInt64, encoder: SampleEncoder) throws {
        guard count > 0, (0...64).contains(imageCount) else {
            throw BridgeError(
                .badArgument,
                "\(count) samples with \(imageCount) images each, expected at least 1 sample and at most 64 images"
            )
        }
        guard imageCount == 0 || encoder.processor.imageTokens != nil else {
            throw BridgeError(.badArgument, "the model reads text only; set dataset.num_images to 0")
        }
        self.count = count
        self.imageCount = imageCount
        self.seed = seed
        self.encoder = encoder
    }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` when the row does not exist or the template refuses the conversation.
    public func sample(at row: Int) throws -> TrainingSample {
        guard (0..<count).contains(row) else {
            throw BridgeError(.badArgument, "there is no sample \(row), expected 0 to \(count - 1)")
        }
        let size = Self.side * Self.side * 3
        let numbers = RandomStream(seed: seed, stream: Self.stream &+ UInt64(row))
        let images = try (0..<imageCount).map { index in
            let bytes = numbers.uniform(index * size..<(index + 1) * size).map { UInt8($0 * 256) }
            return ImageSource.image(try Image(width: Self.side, height: Self.side, channels: 3, bytes: bytes))
        }
        var conversation = Conversation(prompt: Self.question, images: images)
        conversation.messages.append(ChatMessage(role: "assistant", content: Self.answer))
        return try encoder.encode(conversation)
    }
}
