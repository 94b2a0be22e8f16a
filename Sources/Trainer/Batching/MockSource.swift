import BridgeCore
import Imaging
import TensorRuntime
import Tokenizers

/// Made-up samples: images of noise with one question and one answer, for trying a run without data.
public struct MockSource: SampleSource {
    /// The sides of a image, in pixels.
    public static let side = 256
    /// What is asked.
    public static let question = "Describe this image."
    /// What is answered.
    public static let answer = "The image shows random noise in many colours."

    /// How many samples there are.
    public let count: Int
    private let imageCount: Int
    private let seed: UInt64
    private let encoder: SampleEncoder

    /// The numbers of the images are a stream of their own, so that nothing else of a run uses them.
    private static let stream: UInt64 = 0x6d6f_636b_0000_0000

    /// Samples.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - imageCount: How many images each has; 0 for text alone.
    ///   - seed: What the images follow from.
    ///   - encoder: Makes samples of conversations.
    /// - Throws: `BridgeError` for counts that make no sense, and images for a model that reads text only.
    public init(count: Int, imageCount: Int = 1, seed: UInt64, encoder: SampleEncoder) throws {
        guard count > 0, (0...64).contains(imageCount) else {
            throw BridgeError(
                .badArgument,
                "\(count) samples with \(imageCount) images each were asked for, expected at least 1 and at most 64 images"
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
    /// - Throws: `BridgeError` when there is no such row or the template refuses the conversation.
    public func sample(at row: Int) throws -> TrainingSample {
        guard (0..<count).contains(row) else {
            throw BridgeError(.badArgument, "there are \(count) samples and no sample \(row)")
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
