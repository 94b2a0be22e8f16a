/// Splits a text into words before the model sees it.
indirect enum PreTokenizer: Sendable {
    /// The treatment of the matches of a split.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case contiguous = "Contiguous"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
    }

    /// When "▁" is prepended to a word.
    enum PrependScheme: String, Sendable {
        case always
        case never
        case first
    }

    case sequence([PreTokenizer])
    case split(TextPattern, Behavior, inverted: Bool)
    /// The bytes themselves are the alphabet of the model; this step only prepends the space.
    case prefixSpace
    case metaspace(replacement: [UInt8], PrependScheme, splits: Bool)

    /// Splits every word further.
    func apply(to words: inout WordList) throws(TokenizerError) {
        switch self {
        case .sequence(let steps):
            for step in steps {
                try words.text.budget.tick(64 + words.text.count / 64)
                try step.apply(to: &words)
            }
        case .split(let pattern, let behavior, let inverted):
            try words.split(pattern, behavior, inverted: inverted)
        case .prefixSpace:
            try words.prependToEach([0x20]) { text, _ in text.first != 0x20 }
        case .metaspace(let replacement, let scheme, let splits):
            try words.replaceSpaces(by: replacement)
            if scheme != .never {
                try words.prependToEach(replacement) { text, isFirst in
                    !text.starts(with: replacement) && (scheme == .always || isFirst)
                }
            }
            if splits { try words.split(.literal(replacement), .mergedWithNext, inverted: false) }
        }
    }
}

/// A text and the words that it was split into so far.
struct WordList {
    /// A part of a word that a split found, or what is between two.
    ///
    /// 32-bit integers, because every byte of a text may be a word.
    private struct Piece {
        var range: Range<Int32>
        var isMatch: Bool
    }

    private(set) var text: AlignedText
    private(set) var words: [Range<Int32>]

    init(_ text: AlignedText) {
        self.text = text
        words = text.isEmpty ? [] : [0..<Int32(text.count)]
    }

    /// Splits each word at the matches of a pattern.
    mutating func split(
        _ pattern: TextPattern,
        _ behavior: PreTokenizer.Behavior,
        inverted: Bool
    ) throws(TokenizerError) {
        var result: [Range<Int32>] = []
        result.reserveCapacity(words.count)
        let budget = text.budget
        try text.bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in
            for word in words {
                try budget.tick()
                let bytes = UnsafeBufferPointer(rebasing: buffer[Int(word.lowerBound)..<Int(word.upperBound)])
                var pieces: [Piece] = []
                var last: Int32 = 0
                func add(_ start: Int32, _ end: Int32, isMatch: Bool) {
                    if behavior != .isolated {
                        pieces.append(Piece(range: start..<end, isMatch: isMatch))
                    } else if start < end {
                        result.append((start + word.lowerBound)..<(end + word.lowerBound))
                    }
                }
                try pattern.forEachMatch(in: bytes, budget) { match in
                    let (start, end) = (Int32(match.lowerBound), Int32(match.upperBound))
                    if start > last { add(last, start, isMatch: inverted) }
                    add(start, end, isMatch: !inverted)
                    last = end
                }
                if last < Int32(bytes.count) { add(last, Int32(bytes.count), isMatch: inverted) }
                if behavior != .isolated { Self.join(pieces, behavior, at: word.lowerBound, into: &result) }
            }
        }
        words = result
    }

    private static func join(
        _ pieces: [Piece],
        _ behavior: PreTokenizer.Behavior,
        at offset: Int32,
        into result: inout [Range<Int32>]
    ) {
        var joined: [Range<Int32>] = []
        var previousWasMatch = false
        func append(_ range: Range<Int32>) { joined.append(range) }
        switch behavior {
        case .isolated: break
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
    mutating func replaceSpaces(by content: [UInt8]) throws(TokenizerError) {
        try rewrite { rewriter, range, source in
            var copied = range.lowerBound
            for index in range where source[index] == 0x20 {
                rewriter.keep(copied..<index)
                rewriter.insert(content, originOf: index)
                copied = index + 1
            }
            rewriter.keep(copied..<range.upperBound)
        }
    }

    /// Prepends content to the words that need it; the second argument is whether the input starts there.
    mutating func prependToEach(
        _ content: [UInt8],
        where isWanted: (ArraySlice<UInt8>, Bool) -> Bool
    ) throws(TokenizerError) {
        let isAtInputStart = text.isAtInputStart
        try rewrite { rewriter, range, source in
            if isWanted(source[range], isAtInputStart && range.lowerBound == 0) {
                rewriter.insert(content, originOf: range.lowerBound)
            }
            rewriter.keep(range)
        }
    }

    private mutating func rewrite(
        _ body: (inout TextRewriter, Range<Int>, [UInt8]) -> Void
    ) throws(TokenizerError) {
        var rewriter = TextRewriter(text)
        let source = text.bytes
        for index in words.indices where !rewriter.isTooLong {
            let start = Int32(rewriter.bytes.count)
            body(&rewriter, Int(words[index].lowerBound)..<Int(words[index].upperBound), source)
            words[index] = start..<Int32(rewriter.bytes.count)
        }
        try rewriter.finish(&text)
    }
}
