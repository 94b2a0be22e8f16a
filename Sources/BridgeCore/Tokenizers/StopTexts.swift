/// Finds stop strings as transformers does: in the tokens of the prompt and the output together, with special tokens as
/// they are spelled.
///
/// A stop text counts when it ends inside the token that came last, wherever it begins. What the tokens spell is what
/// `StopStringCriteria` in `generation/stopping_criteria.py` (transformers 5.23) takes for it.
public struct StopTexts: Sendable {
    private struct Piece {
        var bytes: [UInt8]
        /// Whether the bytes are printed: not those of the prompt and of special tokens.
        var isShown: Bool
    }

    private let tokenizer: Tokenizer
    private let stops: [[UInt8]]
    private let base: [Int32]
    private let prefix: [UInt8]
    /// The number of tokens back at which a stop text can begin: transformers checks one for each of its characters.
    private let reach: Int
    private var pieces: [Piece] = []

    /// A search that starts after a prompt.
    ///
    /// - Parameters:
    ///   - texts: The stop texts; empty ones do not count.
    ///   - tokenizer: What the tokens mean.
    ///   - prompt: The tokens before the output.
    /// - Throws: `TokenizerError` when the decoder gives up on a token.
    public init(_ texts: [String], tokenizer: Tokenizer, prompt: [Int32]) throws(TokenizerError) {
        self.tokenizer = tokenizer
        stops = texts.filter { !$0.isEmpty }.map { Array($0.utf8) }
        reach = texts.map { tokenizer.spellsBytes ? $0.utf8.count : $0.unicodeScalars.count }.max() ?? 0
        // A token at the start of a text would lose its space.
        base = try tokenizer.encode("abcdef", addingSpecialTokens: false)
        prefix = Array(try tokenizer.decode(base).utf8)
        for token in prompt.suffix(reach) { pieces.append(Piece(bytes: try spelling(of: token), isShown: false)) }
    }

    /// Whether there is nothing to look for.
    public var isEmpty: Bool { stops.isEmpty }

    /// Takes the next token of the output.
    ///
    /// - Parameter token: The token.
    /// - Returns: The number of bytes at the end of the output's text that are the stop text and what follows it in the
    ///   token; nil where no stop text ends in the token.
    /// - Throws: `TokenizerError` when the decoder gives up on the token.
    public mutating func append(_ token: Int32) throws(TokenizerError) -> Int? {
        guard !isEmpty else { return nil }
        pieces.append(Piece(bytes: try spelling(of: token), isShown: !tokenizer.isSpecial(token)))
        pieces = pieces.suffix(reach)
        let text = pieces.flatMap(\.bytes)
        let last = pieces[pieces.count - 1].bytes.count
        let starts = stops.compactMap { stop in
            // The end is a position after a byte of the last token; the first start has the longest text.
            (text.count - last + 1..<text.count + 1).lazy.map { $0 - stop.count }
                .first { $0 >= 0 && text[$0...].starts(with: stop) }
        }
        return starts.min().map { shown(from: $0) }
    }

    /// The bytes at the end of the output's text that may be the beginning of a stop text.
    public var openBytes: Int {
        guard !isEmpty else { return 0 }
        let text = pieces.flatMap(\.bytes)
        let longest = stops.map { stop in
            stride(from: min(stop.count - 1, text.count), to: 0, by: -1)
                .first { text.suffix($0).elementsEqual(stop.prefix($0)) } ?? 0
        }
        return shown(from: text.count - (longest.max() ?? 0))
    }

    /// The number of printed bytes from here on.
    private func shown(from start: Int) -> Int {
        var bytes: [UInt8] = []
        var end = 0
        for piece in pieces {
            end += piece.bytes.count
            if piece.isShown, end > start { bytes += piece.bytes.suffix(end - start) }
        }
        // Bytes that form no character are printed as U+FFFD.
        return String(decoding: bytes, as: UTF8.self).utf8.count
    }

    private func spelling(of token: Int32) throws(TokenizerError) -> [UInt8] {
        guard let bytes = tokenizer.decodable(token, skippingSpecialTokens: false) else { return [] }
        if tokenizer.decoder.readsBytes { return bytes }
        if tokenizer.spellsBytes, let byte = Decoder.fallbackByte(bytes) { return [byte] }
        let text = Array(try tokenizer.decode(base + [token]).utf8)
        return text.starts(with: prefix) ? Array(text[prefix.count...]) : text
    }
}

extension Tokenizer {
    /// Whether some tokens are bytes, of which several make a character.
    fileprivate var spellsBytes: Bool {
        decoder.readsBytes
            || decoder.steps?.contains { step in
                if case .byteFallback = step { return true }
                return false
            } ?? false
    }
}
