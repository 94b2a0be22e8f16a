/// A token that is matched in the original text, before any splitting.
public struct AddedToken: Sendable, Equatable {
    /// The id.
    public var id: Int
    /// The text that it is found by.
    public var content: String
    /// Whether it counts only where no word character touches it.
    public var isSingleWord = false
    /// Whether it takes in the white space on its left.
    public var stripsLeft = false
    /// Whether it takes in the white space on its right.
    public var stripsRight = false
    /// Whether it is searched in the normalized text.
    public var isNormalized = false
    /// Whether it is a control token, skipped when text is decoded for display.
    public var isSpecial = false

    init(id: Int, content: String) {
        self.id = id
        self.content = content
    }
}

/// Finds added tokens, the leftmost first and the longest of those.
struct AddedTokenMatcher: Sendable {
    /// A piece of the text: an added token, or what is between two.
    struct Piece: Equatable {
        var range: Range<Int>
        /// The id, or nil for ordinary text.
        var id: Int32?
        var isSpecial = false
    }

    private struct Entry {
        var content: [UInt8]
        var token: AddedToken
    }

    // In the order of their bytes, which takes no more memory than the tokens: those that begin as the text does are
    // neighbours.
    private var entries: [Entry] = []
    /// The entries with each first byte.
    private var byFirstByte = [Range<Int>](repeating: 0..<0, count: 256)

    var isEmpty: Bool { entries.isEmpty }

    /// A matcher without tokens.
    init() {}

    /// A matcher for tokens under the texts that they are searched by; the first of two equal texts counts.
    init(_ tokens: [(token: AddedToken, content: [UInt8])]) {
        var seen: Set<[UInt8]> = []
        entries = tokens.filter { !$0.content.isEmpty && seen.insert($0.content).inserted }
            .map { Entry(content: $0.content, token: $0.token) }
        entries.sort { $0.content.lexicographicallyPrecedes($1.content) }
        var start = 0
        while start < entries.count {
            let first = entries[start].content[0]
            var end = start + 1
            while end < entries.count, entries[end].content[0] == first { end += 1 }
            byFirstByte[Int(first)] = start..<end
            start = end
        }
    }

    /// The number of the longest token that starts here, and where it ends.
    private func longestMatch(
        in text: UnsafeBufferPointer<UInt8>,
        at start: Int,
        _ budget: EncodingBudget
    ) throws(TokenizerError) -> (entry: Int, end: Int)? {
        var range = byFirstByte[Int(text[start])]
        guard !range.isEmpty else { return nil }
        var found: (entry: Int, end: Int)?
        var depth = 1
        while true {
            // The shortest comes first.
            if entries[range.lowerBound].content.count == depth {
                found = (range.lowerBound, start + depth)
                range = range.lowerBound + 1..<range.upperBound
            }
            guard !range.isEmpty, start + depth < text.count else { break }
            let byte = text[start + depth]
            let low = partition(range) { $0[depth] < byte }
            range = low..<partition(low..<range.upperBound) { $0[depth] <= byte }
            if range.isEmpty { break }
            depth += 1
        }
        try budget.tick(depth)
        return found
    }

    /// The index in a range at which the contents begin that do not sort before.
    @inline(__always)
    private func partition(_ range: Range<Int>, _ comesBefore: ([UInt8]) -> Bool) -> Int {
        var (low, high) = (range.lowerBound, range.upperBound)
        while low < high {
            let middle = (low + high) / 2
            if comesBefore(entries[middle].content) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The end of the longest token that starts here.
    func longestEnd(
        in text: UnsafeBufferPointer<UInt8>,
        at start: Int,
        _ budget: EncodingBudget
    ) throws(TokenizerError) -> Int? {
        try longestMatch(in: text, at: start, budget)?.end
    }

    /// Splits the text; `allowsSpecial` false leaves the control tokens in the text as text.
    func forEachPiece(
        of text: UnsafeBufferPointer<UInt8>,
        allowsSpecial: Bool,
        _ budget: EncodingBudget,
        _ body: (Piece) throws(TokenizerError) -> Void
    ) throws(TokenizerError) {
        var done = 0
        // Where the white space that was last looked at ends, so that no run is walked twice.
        var knownRun = 0..<0
        var index = isEmpty ? text.count : 0
        while index < text.count {
            guard let (entry, end) = try longestMatch(in: text, at: index, budget) else {
                index += 1
                continue
            }
            let token = entries[entry].token
            var start = index
            var stop = end
            index = end
            if token.isSpecial && !allowsSpecial { continue }
            if token.isSingleWord, Self.touchesWord(start..<stop, in: text) { continue }
            if token.stripsLeft {
                while start > done {
                    let previous = ScalarClass.start(ofScalarBefore: start, in: text)
                    guard ScalarClass.isWhitespace(ScalarClass.scalar(in: text, at: previous).scalar) else { break }
                    start = previous
                }
                start = max(start, done)
            }
            if token.stripsRight {
                if !knownRun.contains(stop) {
                    knownRun = stop..<Self.endOfWhitespace(in: text, from: stop)
                }
                stop = max(stop, knownRun.upperBound)
            }
            if done < start { try body(Piece(range: done..<start)) }
            try body(Piece(range: start..<stop, id: Int32(truncatingIfNeeded: token.id), isSpecial: token.isSpecial))
            done = stop
        }
        if done < text.count { try body(Piece(range: done..<text.count)) }
    }

    private static func endOfWhitespace(in text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        var end = start
        while end < text.count {
            let (scalar, next) = ScalarClass.scalar(in: text, at: end)
            guard ScalarClass.isWhitespace(scalar) else { break }
            end = next
        }
        return end
    }

    private static func touchesWord(_ range: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> Bool {
        if range.lowerBound > 0 {
            let previous = ScalarClass.start(ofScalarBefore: range.lowerBound, in: text)
            if ScalarClass.isWord(ScalarClass.scalar(in: text, at: previous).scalar) { return true }
        }
        guard range.upperBound < text.count else { return false }
        return ScalarClass.isWord(ScalarClass.scalar(in: text, at: range.upperBound).scalar)
    }
}
