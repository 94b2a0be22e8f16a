import JSONTree

/// Turns tokens back into text, in the steps that a `tokenizer.json` lists.
struct Decoder: Sendable {
    /// One step.
    ///
    /// Steps after `fuse` see the whole text as one token.
    enum Step: Sendable {
        case byteLevel
        /// Ill-formed bytes spoil the run that they are in, or only themselves.
        case byteFallback(wholeRuns: Bool)
        case fuse
        /// SentencePiece: "▁" is a space, but not at the start of the text.
        case sentencePiece(dropsAllLeading: Bool)
        case replace(TextPattern, by: [UInt8])
        case strip(UInt32, start: Int, stop: Int)
        case metaspace(replacement: UInt32, keepsFirst: Bool)
        case suffix([UInt8])
    }

    /// The steps; nil joins the tokens with spaces, as Python's tokenizers do without a decoder.
    var steps: [Step]?

    /// The text of all tokens as UTF-8 that may still hold ill-formed bytes.
    func decode(_ tokens: [[UInt8]]) throws(TokenizerError) -> [UInt8] {
        guard tokens.reduce(0, { $0 + $1.count }) <= EncodingBudget.decodedBytes else { throw Self.tooLong }
        guard let steps else { return Array(tokens.joined(separator: [0x20])) }
        return Array(try Self.apply(steps[...], to: tokens, areBytes: readsBytes).joined())
    }

    /// Whether the first step needs the bytes of tokens, and not their spelling in the byte alphabet.
    var readsBytes: Bool {
        if case .byteLevel = steps?.first { return true }
        return false
    }

    /// The tokens after some of the steps.
    static func apply(
        _ steps: ArraySlice<Step>,
        to tokens: [[UInt8]],
        areBytes: Bool
    ) throws(TokenizerError) -> [[UInt8]] {
        var tokens = tokens
        var areBytes = areBytes
        let budget = EncodingBudget(textBytes: tokens.reduce(0) { $0 + $1.count })
        for step in steps {
            try budget.check()
            if case .byteLevel = step, !areBytes {
                tokens = tokens.map { ByteAlphabet.decode(String(decoding: $0, as: UTF8.self)) ?? $0 }
            }
            areBytes = false
            tokens = try apply(step, to: tokens, budget)
        }
        return tokens
    }

    private static var tooLong: TokenizerError {
        TokenizerError(
            .tooLarge,
            "the tokens are decoded to more than the \(EncodingBudget.decodedBytes) bytes that are allowed at once"
        )
    }

    private static func apply(
        _ step: Step,
        to tokens: [[UInt8]],
        _ budget: EncodingBudget
    ) throws(TokenizerError) -> [[UInt8]] {
        switch step {
        case .byteLevel:
            return [Array(String(decoding: tokens.joined(), as: UTF8.self).utf8)]
        case .fuse:
            return [Array(tokens.joined())]
        case .byteFallback(let wholeRuns):
            return joinFallbackBytes(tokens, wholeRuns: wholeRuns)
        case .sentencePiece(let dropsAllLeading):
            return spaces(tokens, dropsAllLeading: dropsAllLeading)
        case .replace(let pattern, let content):
            var result: [[UInt8]] = []
            var total = 0
            for token in tokens {
                let changed = try replaced(token, pattern, content, budget)
                total += changed.count
                guard total <= EncodingBudget.decodedBytes else { throw tooLong }
                result.append(changed)
            }
            return result
        case .strip(let scalar, let start, let stop):
            return tokens.map { strip($0, scalar, start: start, stop: stop) }
        case .metaspace(let replacement, let keepsFirst):
            return tokens.enumerated().map { index, token in
                replaceScalar(replacement, in: token, by: index == 0 && !keepsFirst ? [] : [0x20])
            }
        case .suffix(let suffix):
            let last = tokens.count - 1
            let pattern = TextPattern.literal(suffix)
            return try tokens.enumerated().map { index, token throws(TokenizerError) in
                let content: [UInt8] = index == last ? [] : [0x20]
                return try replaced(token, pattern, content, budget)
            }
        }
    }

    private static func replaced(
        _ token: [UInt8],
        _ pattern: TextPattern,
        _ content: [UInt8],
        _ budget: EncodingBudget
    ) throws(TokenizerError) -> [UInt8] {
        var changed: [UInt8] = []
        var copied = 0
        var isTooLong = false
        try budget.tick()
        try token.withUnsafeBufferPointer { bytes throws(TokenizerError) in
            try pattern.forEachMatch(in: bytes, budget) { match in
                isTooLong = isTooLong || changed.count + content.count > EncodingBudget.decodedBytes
                guard !isTooLong else { return }
                changed += token[copied..<match.lowerBound]
                changed += content
                copied = match.upperBound
            }
        }
        guard !isTooLong else { throw tooLong }
        return changed.isEmpty && copied == 0 ? token : changed + token[copied...]
    }

    /// The byte of a `<0xNN>` token.
    static func fallbackByte(_ token: [UInt8]) -> UInt8? {
        guard token.count == 6, token.starts(with: "<0x".utf8), token[5] == UInt8(ascii: ">") else { return nil }
        return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
    }

    private static func spaces(_ tokens: [[UInt8]], dropsAllLeading: Bool) -> [[UInt8]] {
        let mark = BytePairEncoder.metaspace
        var isLeading = true
        return tokens.map { token in
            guard fallbackByte(token) == nil else {
                isLeading = false
                return token
            }
            var rest = token[...]
            if isLeading, rest.starts(with: mark) {
                rest = rest.dropFirst(mark.count)
                isLeading = dropsAllLeading
            }
            if !rest.isEmpty { isLeading = false }
            return replaceScalar(0x2581, in: Array(rest), by: [0x20])
        }
    }

    /// Ill-formed bytes one by one, as SentencePiece reads them.
    private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let length = (1...4).first { $0 <= rest.count && isValidUTF8(Array(rest.prefix($0))) }
            result += length.map { Array(rest.prefix($0)) } ?? [0xEF, 0xBF, 0xBD]
            rest = rest.dropFirst(length ?? 1)
        }
        return result
    }

    private static func joinFallbackBytes(_ tokens: [[UInt8]], wholeRuns: Bool) -> [[UInt8]] {
        var result: [[UInt8]] = []
        var run: [UInt8] = []
        func flush() {
            guard !run.isEmpty else { return }
            if isValidUTF8(run) {
                result.append(run)
            } else if !wholeRuns {
                result.append(repaired(run))
            } else {
                result += Array(repeating: [0xEF, 0xBF, 0xBD], count: run.count)
            }
            run = []
        }
        for token in tokens {
            if let byte = fallbackByte(token) {
                run.append(byte)
            } else {
                flush()
                result.append(token)
            }
        }
        flush()
        return result
    }

    private static func isValidUTF8(_ bytes: [UInt8]) -> Bool {
        String(validating: bytes, as: UTF8.self) != nil
    }

    private static func strip(_ token: [UInt8], _ scalar: UInt32, start: Int, stop: Int) -> [UInt8] {
        let scalars = Array(String(decoding: token, as: UTF8.self).unicodeScalars)
        var low = 0
        var high = scalars.count
        while low < min(start, scalars.count), scalars[low].value == scalar { low += 1 }
        while scalars.count - high < stop, high > 0, scalars[high - 1].value == scalar { high -= 1 }
        var result = ""
        for kept in scalars[low..<max(low, high)] { result.unicodeScalars.append(kept) }
        return Array(result.utf8)
    }

    private static func replaceScalar(_ scalar: UInt32, in token: [UInt8], by content: [UInt8]) -> [UInt8] {
        guard let character = Unicode.Scalar(scalar) else { return token }
        var result: [UInt8] = []
        for current in String(decoding: token, as: UTF8.self).unicodeScalars {
            result += current == character ? content : Array(String(current).utf8)
        }
        return result
    }
}

extension Decoder {
    /// Reads the `decoder` of a `tokenizer.json`.
    init(json: JSON?) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        var steps: [Step] = []
        try Self.read(json, into: &steps)
        self.steps = steps
    }

    private static func read(_ json: JSON, into steps: inout [Step]) throws(TokenizerError) {
        let type = try json.required("type", in: "decoder").text
        switch type {
        case "Sequence":
            for step in try json.required("decoders", in: type).steps { try read(step, into: &steps) }
            guard steps.count <= EncodingBudget.mostSteps else {
                throw TokenizerError(
                    .tooLarge,
                    "'decoder' has more than the \(EncodingBudget.mostSteps) steps that are run"
                )
            }
        case "ByteLevel":
            steps.append(.byteLevel)
        case "ByteFallback":
            steps.append(.byteFallback(wholeRuns: true))
        case "Fuse":
            steps.append(.fuse)
        case "Replace":
            let content = try json.required("content", in: type).text
            steps.append(.replace(try TextPattern(json: json["pattern"], in: type), by: Array(content.utf8)))
        case "Strip":
            let content = try json.required("content", in: type).text
            guard let scalar = content.unicodeScalars.first, content.unicodeScalars.count == 1 else {
                throw TokenizerError(.badFile, "'Strip.content' is '\(content)'; expected one character")
            }
            let start = max(0, json["start"]?.integer ?? 0)
            steps.append(.strip(scalar.value, start: start, stop: max(0, json["stop"]?.integer ?? 0)))
        case "Metaspace":
            let replacement = (json["replacement"]?.string ?? "\u{2581}").unicodeScalars.first
            let scheme = try PreTokenizer.scheme(json)
            steps.append(.metaspace(replacement: replacement?.value ?? 0x2581, keepsFirst: scheme == .never))
        case "BPEDecoder":
            steps.append(.suffix(Array((json["suffix"]?.string ?? "</w>").utf8)))
        default:
            throw TokenizerError(.unsupported, "the decoder '\(type)' is not supported")
        }
    }
}
