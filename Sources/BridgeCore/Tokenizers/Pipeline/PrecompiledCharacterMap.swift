/// SentencePiece's character map: a double-array trie from character sequences to their replacements.
struct PrecompiledCharacterMap: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]

    /// Reads the bytes: the size of the trie, the trie, then replacements that end with a zero each.
    init(_ bytes: [UInt8]) throws(TokenizerError) {
        func word(_ offset: Int) -> UInt32 {
            (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
        }
        guard bytes.count > 4 else {
            throw TokenizerError(.badFile, "the precompiled character map has \(bytes.count) bytes, too few for one")
        }
        let size = Int(word(0))
        guard size % 4 == 0, size > 0, size <= bytes.count - 4 else {
            throw TokenizerError(
                .badFile,
                "the trie of the precompiled character map has \(bytes.count - 4) bytes, expected \(size)"
            )
        }
        units = (0..<(size / 4)).map { word(4 + 4 * $0) }
        replacements = Array(bytes[(4 + size)...])
    }

    /// The longest entry at a position: its replacement and the end of what it replaces.
    func longestMatch(
        in text: UnsafeBufferPointer<UInt8>,
        at start: Int
    ) -> (replacement: ArraySlice<UInt8>, end: Int)? {
        var node = 0
        var unit = units[0]
        node ^= Self.offset(unit)
        var found: (value: Int, end: Int)?
        var index = start
        while index < text.count {
            let byte = text[index]
            node ^= Int(byte)
            guard node < units.count else { break }
            unit = units[node]
            // The label of a unit has its top bit set when the unit holds a value.
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { break }
            node ^= Self.offset(unit)
            index += 1
            if unit >> 8 & 1 == 1, node < units.count {
                found = (Int(units[node] & 0x7FFF_FFFF), index)
            }
        }
        guard let found, found.value < replacements.count else { return nil }
        let tail = replacements[found.value...]
        return (tail.prefix { $0 != 0 }, found.end)
    }

    private static func offset(_ unit: UInt32) -> Int {
        Int((unit >> 10) << ((unit & (1 << 9)) >> 6))
    }

    /// Replaces from left to right, the longest entry first.
    func apply(to text: inout AlignedText) throws(TokenizerError) {
        var rewritten = TextRewriter(text)
        text.bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count, !rewritten.isTooLong {
                if let match = longestMatch(in: buffer, at: index) {
                    rewritten.insert(Array(match.replacement), originOf: index)
                    index = match.end
                } else {
                    let end = ScalarClass.scalar(in: buffer, at: index).end
                    rewritten.keep(index..<end)
                    index = end
                }
            }
        }
        try rewritten.finish(&text)
    }
}
