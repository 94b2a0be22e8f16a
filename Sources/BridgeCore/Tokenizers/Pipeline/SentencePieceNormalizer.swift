/// What SentencePiece does to a text before it splits it.
struct SentencePieceNormalizer: Sendable {
    var characterMap: PrecompiledCharacterMap?
    var addsDummyPrefix = true
    var removesExtraSpaces = true
    var escapesSpaces = true
    var dummyIsSuffix = false
    /// Pieces that the user defined; they pass unchanged.
    var protected = AddedTokenMatcher()

    private static let space: [UInt8] = [0x20]

    func apply(to text: inout AlignedText) {
        let space = escapesSpaces ? BytePairEncoder.metaspace : Self.space
        var output = TextRewriter(text, capacity: text.count + text.count / 4 + 3)
        let isAtStart = text.isAtInputStart
        text.bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while removesExtraSpaces, index < buffer.count {
                let step = self.step(in: buffer, at: index)
                guard step.content.elementsEqual(Self.space) else { break }
                index = step.end
            }
            guard index < buffer.count else { return }
            if addsDummyPrefix, isAtStart, !dummyIsSuffix { output.insert(space, originOf: index) }
            var followsSpace = removesExtraSpaces
            while index < buffer.count {
                let step = self.step(in: buffer, at: index)
                var content = step.content
                if followsSpace { content = content.drop { $0 == 0x20 } }
                if let last = content.last { followsSpace = last == 0x20 }
                for byte in content {
                    output.insert(byte == 0x20 ? space : [byte], originOf: index)
                }
                index = step.end
                if !removesExtraSpaces { followsSpace = false }
            }
            if removesExtraSpaces { output.dropTrailing(space) }
            if addsDummyPrefix, dummyIsSuffix { output.insert(space, originOf: buffer.count - 1) }
        }
        output.finish(&text)
    }

    /// The normalized form of what starts here, and where it ends.
    private func step(in text: UnsafeBufferPointer<UInt8>, at index: Int) -> (content: ArraySlice<UInt8>, end: Int) {
        if let end = protected.longestEnd(in: text, at: index) { return (Array(text[index..<end])[...], end) }
        if let match = characterMap?.longestMatch(in: text, at: index) { return (match.replacement, match.end) }
        let end = ScalarClass.scalar(in: text, at: index).end
        return (Array(text[index..<end])[...], end)
    }
}
