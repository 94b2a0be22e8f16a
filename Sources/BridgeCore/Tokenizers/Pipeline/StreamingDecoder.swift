/// Decodes tokens one by one as a model makes them.
///
/// The output consists of whole characters, and its concatenation is `Tokenizer.decode` of all the tokens. A token that
/// ends inside a character is held back until the character is complete.
public struct StreamingDecoder: Sendable {
    private enum Mode {
        /// Tokens are bytes; whole characters go out.
        case bytes
        /// Tokens are text; runs of `<0xNN>` are held back until their end.
        case tokens(perToken: ArraySlice<Decoder.Step>)
        /// The steps look ahead, so everything is held back until the end.
        case whole
    }

    private let tokenizer: Tokenizer
    private let skipsSpecialTokens: Bool
    private let mode: Mode
    private var pending: [[UInt8]] = []
    private var bytes: [UInt8] = []
    private var isFirst = true

    init(_ tokenizer: Tokenizer, skippingSpecialTokens: Bool) {
        self.tokenizer = tokenizer
        skipsSpecialTokens = skippingSpecialTokens
        mode = Self.mode(of: tokenizer.decoder)
    }

    private static func mode(of decoder: Decoder) -> Mode {
        guard let steps = decoder.steps else { return .whole }
        let fuse = steps.firstIndex { step in
            if case .fuse = step { return true }
            return false
        }
        let perToken = steps[..<(fuse ?? steps.endIndex)]
        let after = fuse.map { steps[($0 + 1)...] } ?? []
        if decoder.readsBytes { return perToken.count == 1 && after.isEmpty ? .bytes : .whole }
        for step in perToken {
            switch step {
            case .byteLevel, .suffix: return .whole
            default: break
            }
        }
        // Stripping the start of the text only concerns what goes out first.
        guard let last = after.first else { return .tokens(perToken: perToken) }
        guard after.count == 1, case .strip(_, _, 0) = last else { return .whole }
        return .tokens(perToken: perToken)
    }

    /// Decodes one token and returns the text that is complete now, which may be empty.
    public mutating func append(_ id: Int32) throws(TokenizerError) -> String {
        guard let token = tokenizer.decodable(id, skippingSpecialTokens: skipsSpecialTokens) else { return "" }
        switch mode {
        case .bytes:
            bytes += token
            let complete = Self.completePrefix(of: bytes)
            defer { bytes.removeFirst(complete) }
            return String(decoding: bytes[..<complete], as: UTF8.self)
        case .tokens:
            pending.append(token)
            return Decoder.fallbackByte(token) == nil ? try flushTokens() : ""
        case .whole:
            pending.append(token)
            return ""
        }
    }

    /// Returns the text that was held back.
    ///
    /// Resets the decoder.
    public mutating func finish() throws(TokenizerError) -> String {
        defer { self = StreamingDecoder(tokenizer, skippingSpecialTokens: skipsSpecialTokens) }
        switch mode {
        case .bytes: return String(decoding: bytes, as: UTF8.self)
        case .tokens: return try flushTokens()
        case .whole: return String(decoding: try tokenizer.decoder.decode(pending), as: UTF8.self)
        }
    }

    // Steps treat the start of a text differently. So the tokens at the start are decoded together until their text is
    // not empty, and a placeholder replaces them later.
    private static let standIn: [UInt8] = [0xEF, 0xB7, 0x90]

    private mutating func flushTokens() throws(TokenizerError) -> String {
        guard case .tokens(let steps) = mode, !pending.isEmpty else { return "" }
        if isFirst {
            let text = try tokenizer.decoder.decode(pending)
            guard !text.isEmpty else { return "" }
            isFirst = false
            pending = []
            return String(decoding: text, as: UTF8.self)
        }
        let text = Array(try Decoder.apply(steps, to: [Self.standIn] + pending, areBytes: false).joined())
        pending = []
        return String(decoding: text.dropFirst(Self.standIn.count), as: UTF8.self)
    }

    /// The number of bytes that are complete: all but an incomplete last character.
    private static func completePrefix(of bytes: [UInt8]) -> Int {
        var start = bytes.count
        // A character has at most four bytes, so its first is among the last three where it is incomplete.
        while start > 0, bytes.count - start < 3 {
            start -= 1
            if bytes[start] & 0xC0 != 0x80 { break }
        }
        guard start < bytes.count, canContinue(bytes[start...]) else { return bytes.count }
        return start
    }

    /// Whether these bytes begin a character and more of it could follow.
    private static func canContinue(_ tail: ArraySlice<UInt8>) -> Bool {
        guard let lead = tail.first else { return false }
        let expected: Int
        switch lead {
        case 0xC2...0xDF: expected = 2
        case 0xE0...0xEF: expected = 3
        case 0xF0...0xF4: expected = 4
        default: return false
        }
        guard tail.count < expected else { return false }
        guard let second = tail.dropFirst().first else { return true }
        switch lead {
        case 0xE0: return (0xA0...0xBF).contains(second)
        case 0xED: return (0x80...0x9F).contains(second)
        case 0xF0: return (0x90...0xBF).contains(second)
        case 0xF4: return (0x80...0x8F).contains(second)
        default: return (0x80...0xBF).contains(second)
        }
    }
}
