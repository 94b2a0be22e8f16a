/// SentencePiece's normalization of a text before splitting.
struct SentencePieceNormalizer: Sendable {
    var characterMap: PrecompiledCharacterMap?
    var addsDummyPrefix = true
    var removesExtraSpaces = true
    var escapesSpaces = true
    var dummyIsSuffix = false
    /// Pieces that the user defined; they pass unchanged.
    var protected = AddedTokenMatcher()

    private static let space: [UInt8] = [0x20]

    func apply(to text: inout AlignedText) throws(TokenizerError) {
        let space = escapesSpaces ? BytePairEncoder.metaspace : Self.space
        var output = TextRewriter(text)
        let isAtStart = text.isAtInputStart
        let budget = text.budget
        try text.bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            var index = 0
            while removesExtraSpaces, index < buffer.count {
                try budget.tick()
                let step = try self.step(in: buffer, at: index, budget)
                guard step.content.elementsEqual(Self.space) else { break }
                index = step.end
            }
            guard index < buffer.count else { return }
            if addsDummyPrefix, isAtStart, !dummyIsSuffix { output.insert(space, originOf: index) }
            var followsSpace = removesExtraSpaces
            while index < buffer.count, !output.isTooLong {
                try budget.tick()
                let step = try self.step(in: buffer, at: index, budget)
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
        try output.finish(&text)
    }

    /// The normalized form of the sequence that starts here, and its end.
    private func step(
        in text: UnsafeBufferPointer<UInt8>,
        at index: Int,
        _ budget: EncodingBudget
    ) throws(TokenizerError) -> (content: ArraySlice<UInt8>, end: Int) {
        if let end = try protected.longestEnd(in: text, at: index, budget) {
            return (Array(text[index..<end])[...], end)
        }
        if let match = characterMap?.longestMatch(in: text, at: index) { return (match.replacement, match.end) }
        let end = ScalarClass.scalar(in: text, at: index).end
        return (Array(text[index..<end])[...], end)
    }
}
