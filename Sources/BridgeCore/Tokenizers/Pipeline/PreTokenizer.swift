/// Splits a text into words before the model sees it.
indirect enum PreTokenizer: Sendable {
    /// What becomes of what a split finds.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case contiguous = "Contiguous"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
    }

    /// When "▁" goes in front of a word.
    enum PrependScheme: String, Sendable {
        case always
        case never
        case first
    }

    case sequence([PreTokenizer])
    case split(TextPattern, Behavior, inverted: Bool)
    /// The bytes themselves are the alphabet of the model; this puts the space in front and nothing else.
    case prefixSpace
    case metaspace(replacement: [UInt8], PrependScheme, splits: Bool)

    /// Splits every word further.
    func apply(to words: inout WordList) throws(TokenizerError) {
        switch self {
        case .sequence(let steps):
            for step in steps { try step.apply(to: &words) }
        case .split(let pattern, let behavior, let inverted):
            try words.split(behavior) { text throws(TokenizerError) in
                Self.pieces(try pattern.matches(in: text), count: text.count, inverted: inverted)
            }
        case .prefixSpace:
            words.prependToEach([0x20]) { text, _ in text.first != 0x20 }
        case .metaspace(let replacement, let scheme, let splits):
            words.replaceSpaces(by: replacement)
            if scheme != .never {
                words.prependToEach(replacement) { text, isFirst in
                    !text.starts(with: replacement) && (scheme == .always || isFirst)
                }
            }
            guard splits else { return }
            try words.split(.mergedWithNext) { text throws(TokenizerError) in
                Self.pieces(try TextPattern.literal(replacement).matches(in: text), count: text.count, inverted: false)
            }
        }
    }

    /// The matches and what is between them.
    private static func pieces(_ matches: [Range<Int>], count: Int, inverted: Bool) -> [WordList.Piece] {
        var pieces: [WordList.Piece] = []
        pieces.reserveCapacity(matches.count + 1)
        var last = 0
        for match in matches {
            if match.lowerBound > last {
                pieces.append(WordList.Piece(range: last..<match.lowerBound, isMatch: inverted))
            }
            pieces.append(WordList.Piece(range: match, isMatch: !inverted))
            last = match.upperBound
        }
        if last < count { pieces.append(WordList.Piece(range: last..<count, isMatch: inverted)) }
        return pieces
    }
}

/// A text and the words that it was split into so far.
struct WordList {
    /// A part of a word that a split found, or what is between two.
    struct Piece {
        var range: Range<Int>
        var isMatch: Bool
    }

    private(set) var text: AlignedText
    private(set) var words: [Range<Int>]

    init(_ text: AlignedText) {
        self.text = text
        words = text.isEmpty ? [] : [0..<text.count]
    }

    mutating func split(
        _ behavior: PreTokenizer.Behavior,
        _ find: (UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [Piece]
    ) throws(TokenizerError) {
        var result: [Range<Int>] = []
        result.reserveCapacity(words.count)
        try text.bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            for word in words {
                let pieces = try find(UnsafeBufferPointer(rebasing: buffer[word]))
                Self.join(pieces, behavior, at: word.lowerBound, into: &result)
            }
        }
        words = result
    }

    private static func join(
        _ pieces: [Piece],
        _ behavior: PreTokenizer.Behavior,
        at offset: Int,
        into result: inout [Range<Int>]
    ) {
        var joined: [Range<Int>] = []
        var previousWasMatch = false
        func append(_ range: Range<Int>) { joined.append(range) }
        switch behavior {
        case .isolated:
            for piece in pieces where !piece.range.isEmpty {
                result.append((piece.range.lowerBound + offset)..<(piece.range.upperBound + offset))
            }
            return
        case .removed:
            for piece in pieces where !piece.isMatch { append(piece.range) }
        case .contiguous:
            for piece in pieces {
                if piece.isMatch == previousWasMatch, let last = joined.last {
                    joined[joined.count - 1] = last.lowerBound..<piece.range.upperBound
                } else {
                    append(piece.range)
                }
                previousWasMatch = piece.isMatch
            }
        case .mergedWithPrevious:
            for piece in pieces {
                if piece.isMatch, !previousWasMatch, let last = joined.last {
                    joined[joined.count - 1] = last.lowerBound..<piece.range.upperBound
                } else {
                    append(piece.range)
                }
                previousWasMatch = piece.isMatch
            }
        case .mergedWithNext:
            for piece in pieces.reversed() {
                if piece.isMatch, !previousWasMatch, let last = joined.last {
                    joined[joined.count - 1] = piece.range.lowerBound..<last.upperBound
                } else {
                    append(piece.range)
                }
                previousWasMatch = piece.isMatch
            }
            joined.reverse()
        }
        for range in joined where !range.isEmpty {
            result.append((range.lowerBound + offset)..<(range.upperBound + offset))
        }
    }

    /// Replaces every space inside the words.
    mutating func replaceSpaces(by content: [UInt8]) {
        rewrite { rewriter, range, source in
            var copied = range.lowerBound
            for index in range where source[index] == 0x20 {
                rewriter.keep(copied..<index)
                rewriter.insert(content, originOf: index)
                copied = index + 1
            }
            rewriter.keep(copied..<range.upperBound)
        }
    }

    /// Puts content in front of the words that ask for it; the second argument says whether the input starts there.
    mutating func prependToEach(_ content: [UInt8], where isWanted: (ArraySlice<UInt8>, Bool) -> Bool) {
        let isAtInputStart = text.isAtInputStart
        rewrite { rewriter, range, source in
            if isWanted(source[range], isAtInputStart && range.lowerBound == 0) {
                rewriter.insert(content, originOf: range.lowerBound)
            }
            rewriter.keep(range)
        }
    }

    private mutating func rewrite(_ body: (inout TextRewriter, Range<Int>, [UInt8]) -> Void) {
        var rewriter = TextRewriter(text, capacity: text.count + words.count)
        let source = text.bytes
        words = words.map { word in
            let start = rewriter.bytes.count
            body(&rewriter, word, source)
            return start..<rewriter.bytes.count
        }
        rewriter.finish(&text)
    }
}
