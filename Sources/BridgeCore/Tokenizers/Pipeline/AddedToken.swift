/// A token that is found in the text as it stands, before any splitting.
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
    /// Whether it is a control token, left out when text is decoded for people.
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

    private struct Node {
        var children: [UInt8: Int32] = [:]
        /// An index into `tokens`, -1 for none.
        var token: Int32 = -1
    }

    private var tokens: [AddedToken] = []
    private var nodes: [Node] = [Node()]
    private var startsToken = [Bool](repeating: false, count: 256)

    var isEmpty: Bool { tokens.isEmpty }

    /// Adds a token under the text it is searched by; the first of two equal texts counts.
    mutating func insert(_ token: AddedToken, as content: [UInt8]) {
        guard let first = content.first else { return }
        var node = 0
        for byte in content {
            if let child = nodes[node].children[byte] {
                node = Int(child)
            } else {
                nodes.append(Node())
                nodes[node].children[byte] = Int32(nodes.count - 1)
                node = nodes.count - 1
            }
        }
        startsToken[Int(first)] = true
        guard nodes[node].token < 0 else { return }
        nodes[node].token = Int32(tokens.count)
        tokens.append(token)
    }

    private func longestMatch(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> (token: AddedToken, end: Int)? {
        var node = 0
        var found: (token: Int32, end: Int)?
        var index = start
        while index < text.count, let child = nodes[node].children[text[index]] {
            node = Int(child)
            index += 1
            if nodes[node].token >= 0 { found = (nodes[node].token, index) }
        }
        return found.map { (tokens[Int($0.token)], $0.end) }
    }

    /// Where the longest token that starts here ends.
    func longestEnd(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> Int? {
        guard startsToken[Int(text[start])] else { return nil }
        return longestMatch(in: text, at: start)?.end
    }

    /// Splits the text; `allowsSpecial` false leaves the control tokens in the text as text.
    func split(_ text: UnsafeBufferPointer<UInt8>, allowsSpecial: Bool) -> [Piece] {
        guard text.count > 0 else { return [] }
        guard !isEmpty else { return [Piece(range: 0..<text.count)] }
        var pieces: [Piece] = []
        var done = 0
        // Where the white space that was last looked at ends, so that no run is walked twice.
        var knownRun = 0..<0
        var index = 0
        while index < text.count {
            guard startsToken[Int(text[index])], let (token, end) = longestMatch(in: text, at: index) else {
                index += 1
                continue
            }
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
            if done < start { pieces.append(Piece(range: done..<start)) }
            pieces.append(
                Piece(range: start..<stop, id: Int32(truncatingIfNeeded: token.id), isSpecial: token.isSpecial)
            )
            done = stop
        }
        if done < text.count { pieces.append(Piece(range: done..<text.count)) }
        return pieces
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
