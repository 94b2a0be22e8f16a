/// UTF-8 text that a normalizer may change, and, when requested, the source range of each byte.
struct AlignedText: Sendable {
    /// The bytes; always valid UTF-8.
    private(set) var bytes: [UInt8]
    /// For each byte its range of the source; empty when not requested.
    private(set) var origins: [Range<Int32>]
    let tracksOrigins: Bool
    /// Whether the text starts where the whole input starts.
    let isAtInputStart: Bool
    /// The budget of the text.
    let budget: EncodingBudget

    /// A copy of a part of the input.
    init(
        copying source: UnsafeBufferPointer<UInt8>,
        range: Range<Int>,
        tracksOrigins: Bool,
        budget: EncodingBudget
    ) {
        bytes = Array(source[range])
        self.budget = budget
        self.tracksOrigins = tracksOrigins
        isAtInputStart = range.lowerBound == 0
        origins = []
        guard tracksOrigins else { return }
        origins.reserveCapacity(bytes.count)
        var start = range.lowerBound
        while start < range.upperBound {
            var end = start + 1
            while end < range.upperBound, source[end] & 0xC0 == 0x80 { end += 1 }
            for _ in start..<end { origins.append(Int32(start)..<Int32(end)) }
            start = end
        }
    }

    /// A part of another text.
    init(_ other: AlignedText, range: Range<Int>) {
        bytes = Array(other.bytes[range])
        budget = other.budget
        tracksOrigins = other.tracksOrigins
        origins = tracksOrigins ? Array(other.origins[range]) : []
        isAtInputStart = other.isAtInputStart && range.lowerBound == 0
    }

    var isEmpty: Bool { bytes.isEmpty }
    var count: Int { bytes.count }

    /// The part of the input that a range of bytes comes from.
    func origin(of range: Range<Int>) -> Range<Int> {
        guard tracksOrigins, !range.isEmpty, range.upperBound <= origins.count else { return 0..<0 }
        let start = Int(origins[range.lowerBound].lowerBound)
        return start..<max(start, Int(origins[range.upperBound - 1].upperBound))
    }

    /// Replaces each match, in order and without overlap, by the same content.
    ///
    /// New bytes point to the last byte that they replace, as in Python's tokenizers.
    mutating func replace(_ pattern: TextPattern, with content: [UInt8]) throws(TokenizerError) {
        var rewritten = TextRewriter(self)
        var copied = 0
        try bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            try pattern.forEachMatch(in: buffer, budget) { match in
                rewritten.keep(copied..<match.lowerBound)
                rewritten.insert(content, originOf: match.upperBound - 1)
                copied = match.upperBound
            }
        }
        guard copied > 0 || !rewritten.bytes.isEmpty || rewritten.isTooLong else { return }
        rewritten.keep(copied..<bytes.count)
        try rewritten.finish(&self)
    }

    /// Prepends content; it is attributed to the first character.
    mutating func prepend(_ content: [UInt8]) throws(TokenizerError) {
        guard !bytes.isEmpty else { return }
        var rewritten = TextRewriter(self)
        rewritten.insert(content, originOf: 0)
        rewritten.keep(0..<bytes.count)
        try rewritten.finish(&self)
    }

    /// Keeps only this part.
    mutating func keep(_ range: Range<Int>) {
        bytes = Array(bytes[range])
        if tracksOrigins { origins = Array(origins[range]) }
    }

    /// Takes over bytes of the caller, with an origin for each where origins are tracked.
    mutating func replaceAll(_ newBytes: [UInt8], origins newOrigins: [Range<Int32>]) {
        bytes = newBytes
        origins = tracksOrigins ? newOrigins : []
    }
}

/// Builds the changed text next to the old one, within the budget.
struct TextRewriter {
    private let source: AlignedText
    private(set) var bytes: [UInt8] = []
    private var origins: [Range<Int32>] = []
    /// Whether there was more to add than the budget allows; what came then is not there.
    private(set) var isTooLong = false

    init(_ source: AlignedText) {
        self.source = source
        bytes.reserveCapacity(source.count)
        if source.tracksOrigins { origins.reserveCapacity(source.count) }
    }

    /// Whether `count` more bytes are within the budget.
    private mutating func holds(_ count: Int) -> Bool {
        if bytes.count + count > source.budget.bytesLeft { isTooLong = true }
        return !isTooLong
    }

    /// Copies a part of the old text.
    mutating func keep(_ range: Range<Int>) {
        guard holds(range.count) else { return }
        bytes.append(contentsOf: source.bytes[range])
        if source.tracksOrigins { origins.append(contentsOf: source.origins[range]) }
    }

    /// Adds new bytes that point where one byte of the old text points; a position before the text points to its start.
    mutating func insert(_ content: [UInt8], originOf position: Int) {
        guard holds(content.count) else { return }
        bytes.append(contentsOf: content)
        guard source.tracksOrigins else { return }
        let origin = source.origins.indices.contains(position) ? source.origins[position] : 0..<0
        origins.append(contentsOf: repeatElement(origin, count: content.count))
    }

    /// Removes all repetitions of this content from the end.
    mutating func dropTrailing(_ content: [UInt8]) {
        while bytes.count >= content.count, !content.isEmpty, bytes.suffix(content.count).elementsEqual(content) {
            bytes.removeLast(content.count)
            if source.tracksOrigins { origins.removeLast(content.count) }
        }
    }

    /// Replaces the old text by the new one.
    ///
    /// - Throws: `TokenizerError` when it is more than the budget allows.
    func finish(_ text: inout AlignedText) throws(TokenizerError) {
        guard !isTooLong else { throw source.budget.tooLong }
        text.replaceAll(bytes, origins: origins)
    }
}
