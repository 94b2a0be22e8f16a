public import BridgeCore
import BridgeSupport
import Imaging
import JSONTree
import Network
import Tokenizers

/// What the tokens and images of a data set depend on besides its content, by name: the tokenizer, the chat template, the
/// processing of images, and settings.
public struct PreparedFacts: Sendable, Equatable {
    private struct Fact: Sendable, Equatable {
        let name: String
        let value: String
    }

    private var facts: [Fact] = []

    /// The version of the container and of what is in it, which a change of the program that changes tokens or pixels raises.
    static let version = 1

    /// Those of a model.
    ///
    /// - Parameters:
    ///   - bridge: The model.
    ///   - encoder: Converts conversations to samples.
    /// - Throws: `BridgeError` for a file that cannot be read.
    public init(_ bridge: AutoBridge, _ encoder: SampleEncoder) throws {
        let processor = encoder.processor
        add("vocab_size", "\(processor.decoder.vocabSize)")
        add("image_token", processor.imageTokens.map { "\($0.marker) \($0.feature) \($0.featureID)" } ?? "none")
        for file in try bridge.processingFiles() { add(file.name, try FileHash.sha256(of: file.path)) }
        // Settings of the model and of the family decide too, so a sample of each is compared.
        add("sample_text", try Self.sampleText(processor))
        if processor.imageTokens != nil { add("sample_images", try Self.sampleImages(encoder)) }
    }

    /// Those in a description.
    ///
    /// - Throws: `BridgeError` for another value than texts.
    init(_ description: JSONReader) throws {
        for (key, value) in try description.object("facts") {
            guard let text = value.string else {
                throw description.wrong("facts.\(key)", value, expected: "a text")
            }
            add(key, text)
        }
    }

    /// The value of the fact `rows` for samples that share rows.
    static let packedRows = "packed samples"
    /// The same for pairs of a chosen and a rejected answer.
    static let pairs = "pairs"

    /// The value of a fact; nil where there is none of the name.
    subscript(name: String) -> String? { facts.first { $0.name == name }?.value }

    /// Adds a fact.
    mutating func add(_ name: String, _ value: String) { facts.append(Fact(name: name, value: value)) }

    /// The facts as JSON.
    var json: JSON { .object(JSONObject(facts.map { ($0.name, .string($0.value)) })) }

    /// A sentence for each fact of prepared data that differs from these.
    ///
    /// - Parameters:
    ///   - other: What data was prepared with.
    ///   - onlyOwn: Whether further facts of the data are skipped, for the comparison with those of a model alone.
    /// - Returns: The sentences.
    public func differences(from other: PreparedFacts, onlyOwn: Bool = false) -> [String] {
        var names = facts.map(\.name)
        if !onlyOwn { names += other.facts.map(\.name).filter { !names.contains($0) } }
        return names.compactMap { name in
            let (own, others) = (self[name], other[name])
            guard own != others else { return nil }
            func shown(_ text: String?) -> String { text.map { $0.count > 32 ? "\($0.prefix(12))…" : $0 } ?? "none" }
            return "\(name): \(shown(others)) when it was prepared, \(shown(own)) now"
        }
    }

    // MARK: Samples

    private static let text =
        "Hello, wörld! 12345 + 6.7 = ?\n\n  def f(x): return x ** 2\t<b>“你好”</b> 🙂 naïve façade, İstanbul"

    private static func sampleText(_ processor: any ModelProcessor) throws -> String {
        let tokens = try BridgeError.ofTokenizer { () throws(TokenizerError) in
            try processor.tokenizer.encode(text, parsingSpecialTokens: false)
        }
        return ContentFingerprint.of { add in tokens.withUnsafeBytes(add) }
    }

    /// A small image, one that is scaled down, and one that is wide.
    private static let sizes = [(31, 23), (300, 200), (1900, 60)]

    private static func sampleImages(_ encoder: SampleEncoder) throws -> String {
        let prepared = try sizes.map { width, height in
            var state: UInt32 = 1
            let bytes = (0..<width * height * 3).map { _ in
                // The generator of Numerical Recipes, 2nd edition, section 7.1.
                state = state &* 1_664_525 &+ 1_013_904_223
                return UInt8(state >> 24)
            }
            let image = try BridgeError.ofImage {
                () throws(ImageError) in try Image(width: width, height: height, channels: 3, bytes: bytes)
            }
            return try encoder.processor.prepared(ImageSource.image(image), options: encoder.options)
        }
        return ContentFingerprint.of { add in
            for image in prepared {
                Array(image.text.utf8).withUnsafeBytes(add)
                for pass in image.passes {
                    withUnsafeBytes(of: (Int64(pass.width), Int64(pass.height)), add)
                    pass.values.withUnsafeBytes(add)
                }
            }
        }
    }
}

extension BridgeError {
    /// Runs something of the image library and turns what it throws into the error of this module.
    static func ofImage<Result>(_ body: () throws(ImageError) -> Result) throws -> Result {
        do throws(ImageError) { return try body() } catch { throw BridgeError(.corruptInput, error.message) }
    }
}
