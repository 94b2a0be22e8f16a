import BridgeCore
import Tokenizers

/// Generated text, printed as it is decoded, up to a stop string.
final class Transcript {
    /// Whether a stop string was generated.
    private(set) var isStopped = false

    private var decoder: StreamingDecoder?
    private var stops: StopTexts?
    private let isSilent: Bool
    /// Bytes, because a stop string may end inside a grapheme cluster.
    private var bytes: [UInt8] = []
    private var printed = 0

    /// A transcript.
    ///
    /// - Parameters:
    ///   - tokenizer: Decodes tokens; nil for no text.
    ///   - stops: Stop strings; they may start in the prompt.
    ///   - prompt: The tokens before it.
    ///   - isSilent: Whether printing is disabled.
    /// - Throws: `BridgeError` when the prompt cannot be decoded.
    init(_ tokenizer: Tokenizer?, stops: [String], behind prompt: [Int32], isSilent: Bool) throws {
        decoder = tokenizer?.streamingDecoder(skippingSpecialTokens: true)
        self.isSilent = isSilent
        guard let tokenizer else { return }
        self.stops = try Self.decoding { () throws(TokenizerError) in
            try StopTexts(stops, tokenizer: tokenizer, prompt: prompt)
        }
    }

    /// The text so far, without the stop string.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Adds a token; returns whether to continue.
    func take(_ step: Generator.Step) throws -> Bool {
        guard !step.isEnd else { return !isStopped && (isSilent || !Output.isBroken) }
        let stopped = try Self.decoding { () throws(TokenizerError) in try stops?.append(step.token) }
        try add(decoder?.append(step.token))
        if let stopped {
            try add(decoder?.finish())
            // The printed text contains no start of a stop string.
            bytes.removeLast(min(stopped, bytes.count - printed))
            isStopped = true
        }
        // A possible start of a stop string is held back until it is decided.
        show(upTo: bytes.count - (isStopped ? 0 : stops?.openBytes ?? 0))
        return !isStopped && (isSilent || !Output.isBroken)
    }

    /// Prints the text that was held back.
    func finish() throws {
        if !isStopped { try add(decoder?.finish()) }
        show(upTo: bytes.count)
        if !isSilent { Output.line() }
    }

    private func add(_ piece: @autoclosure () throws(TokenizerError) -> String?) throws {
        bytes += try Self.decoding(piece)?.utf8.map { $0 } ?? []
    }

    private static func decoding<Value>(_ body: () throws(TokenizerError) -> Value) throws -> Value {
        do throws(TokenizerError) {
            return try body()
        } catch {
            throw BridgeError(.corruptInput, "the tokenizer cannot decode the generated tokens: \(error.message)")
        }
    }

    /// The bytes with symbols instead of control characters and of characters that change the text direction.
    ///
    /// Marks of direction and tags, which Arabic, Hebrew and flags are written with, stay.
    static func visible(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.flatMap { scalar -> [UInt8] in
            switch scalar.value {
            case 0x0A, 0x09: return [UInt8(scalar.value)]
            case 0..<0x20: return Array("\(UnicodeScalar(0x2400 + scalar.value).map(String.init) ?? "")".utf8)
            case 0x7F: return Array("\u{2421}".utf8)
            case 0x80...0x9F: return Array("\u{FFFD}".utf8)
            case 0x2028...0x202E, 0x2066...0x2069, 0xFFF9...0xFFFB: return Array(PrintableText.escape(scalar).utf8)
            default: return Array(String(scalar).utf8)
            }
        }
    }

    private func show(upTo end: Int) {
        guard end > printed else { return }
        if !isSilent { Output.text(Output.isTerminal ? Self.visible(bytes[printed..<end])[...] : bytes[printed..<end]) }
        printed = end
    }
}
