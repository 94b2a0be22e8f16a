import BridgeCore
import Tokenizers

/// Finds the contents of all messages in a rendered conversation at once, with one more rendering.
///
/// The conversation is rendered with a placeholder, a character that is used nowhere else, in place of each content. What stands
/// between the signs is the template's own text, and the whole has to be that text with the contents in place of the signs:
/// as they are or trimmed, or else whatever can be read in one way only, from the front as from the back.
struct ContentLocator {
    /// The ranges of the contents that are certain, by the number of the message, in UTF-8 bytes.
    let ranges: [Int: Range<Int>]
    /// Whether the template renders each content that has a sign once, so that the ranges are in the order of the messages.
    let isComplete: Bool

    /// - Parameters:
    ///   - conversation: The conversation.
    ///   - text: What the template makes of it.
    ///   - indices: The messages whose contents are looked for.
    ///   - render: Renders a changed conversation; nil where the template refuses it.
    init?(
        _ conversation: Conversation,
        text: [UInt8],
        of indices: [Int],
        render: (Conversation) -> [UInt8]?
    ) {
        let signs = Self.unusedScalars(indices.count, in: text)
        guard signs.count == indices.count else { return nil }
        var changed = conversation
        var owners: [UInt32: Int] = [:]
        for (sign, index) in zip(signs, indices)
        where changed.messages[index].replaceContent(by: String(Character(sign))) {
            owners[sign.value] = index
        }
        guard !owners.isEmpty, let other = render(changed) else { return nil }
        // The template's text around the signs, and the message of the sign after each piece.
        var pieces: [ArraySlice<UInt8>] = []
        var order: [Int] = []
        var start = 0
        var offset = 0
        for scalar in String(decoding: other, as: UTF8.self).unicodeScalars {
            let width = UTF8.width(scalar)
            if let owner = owners[scalar.value] {
                pieces.append(other[start..<offset])
                order.append(owner)
                start = offset + width
            }
            offset += width
        }
        pieces.append(other[start...])
        guard offset == other.count, Set(order).count == order.count else { return nil }
        isComplete = order.count == owners.count && order == order.sorted()
        if let found = Self.parse(text, pieces, contents: order.map { conversation.messages[$0].plainContents }) {
            ranges = Dictionary(uniqueKeysWithValues: zip(order, found))
            return
        }
        guard let early = Self.parse(text, pieces.map { Array($0) }),
            let late = Self.parse(text.reversed(), pieces.reversed().map { $0.reversed() })
        else { return nil }
        var ranges: [Int: Range<Int>] = [:]
        for (number, owner) in order.enumerated() {
            let reversed = late[order.count - 1 - number]
            let fromBehind = text.count - reversed.upperBound..<text.count - reversed.lowerBound
            if early[number] == fromBehind { ranges[owner] = fromBehind }
        }
        self.ranges = ranges
    }

    /// Where the contents are when each is one of the texts that it may be; nil where that is not the whole text.
    private static func parse(
        _ text: [UInt8],
        _ pieces: [ArraySlice<UInt8>],
        contents: [[[UInt8]]]
    ) -> [Range<Int>]? {
        guard let first = pieces.first, text.starts(with: first) else { return nil }
        var ranges: [Range<Int>] = []
        var start = first.count
        for (piece, candidates) in zip(pieces.dropFirst(), contents) {
            let found = candidates.first { content in
                let rest = text[start...]
                return rest.starts(with: content) && rest.dropFirst(content.count).starts(with: piece)
            }
            guard let found else { return nil }
            ranges.append(start..<start + found.count)
            start += found.count + piece.count
        }
        return start == text.count ? ranges : nil
    }

    /// Where something stands in place of each sign when every piece is taken as early as possible.
    private static func parse(_ text: [UInt8], _ pieces: [[UInt8]]) -> [Range<Int>]? {
        guard let first = pieces.first, let last = pieces.last, text.starts(with: first),
            text.count >= first.count + last.count, text.suffix(last.count).elementsEqual(last)
        else { return nil }
        let limit = text.count - last.count
        var ranges: [Range<Int>] = []
        var end = first.count
        for piece in pieces.dropFirst().dropLast() {
            guard let start = ByteSearch(piece).first(in: text[end..<limit]) else { return nil }
            ranges.append(end..<start)
            end = start + piece.count
        }
        if pieces.count > 1 { ranges.append(end..<limit) }
        return ranges
    }

    /// Characters of private use that a text does not hold: trimming leaves them, and nothing is equal to them.
    static func unusedScalars(_ count: Int, in text: [UInt8]) -> [Unicode.Scalar] {
        let used = Set(String(decoding: text, as: UTF8.self).unicodeScalars.lazy.map(\.value).filter { $0 >= 0xE000 })
        let planes: [ClosedRange<UInt32>] = [0xE000...0xF8FF, 0xF0000...0xFFFFD, 0x10_0000...0x10_FFFD]
        let free = planes.lazy.joined().lazy.filter { !used.contains($0) }
        return free.prefix(count).compactMap { Unicode.Scalar($0) }
    }
}

/// A search for bytes that takes time in proportion to what is searched (Knuth, Morris and Pratt, 1977).
struct ByteSearch {
    private let pattern: [UInt8]
    /// For each count of matching bytes, how many match when one more does not.
    private let fallback: [Int]

    init(_ pattern: [UInt8]) {
        self.pattern = pattern
        var fallback = [0]
        var matched = 0
        for byte in pattern.dropFirst() {
            while matched > 0, pattern[matched] != byte { matched = fallback[matched - 1] }
            if pattern[matched] == byte { matched += 1 }
            fallback.append(matched)
        }
        self.fallback = fallback
    }

    /// Where the pattern stands first.
    func first(in text: ArraySlice<UInt8>) -> Int? {
        guard !pattern.isEmpty else { return text.startIndex }
        var matched = 0
        for (index, byte) in zip(text.indices, text) {
            while matched > 0, pattern[matched] != byte { matched = fallback[matched - 1] }
            if pattern[matched] == byte { matched += 1 }
            if matched == pattern.count { return index + 1 - matched }
        }
        return nil
    }
}

extension ChatMessage {
    /// Puts a text in place of the content; false where there is no content that is a text or a list of parts.
    mutating func replaceContent(by text: String) -> Bool {
        guard let field = fields.lastIndex(where: { $0.name == "content" }) else { return false }
        switch fields[field].value {
        case .text(let content) where !content.isEmpty: fields[field].value = .text(text)
        case .list(let parts) where !parts.isEmpty: fields[field].value = [["type": "text", "text": .text(text)]]
        default: return false
        }
        return true
    }

    /// The text that templates may write for the content: unchanged and trimmed; parts are concatenated.
    var plainContents: [[UInt8]] {
        let texts: [String]
        switch field("content") {
        case .text(let text): texts = [text]
        case .list(let parts):
            texts = parts.compactMap { part in
                guard part["type"] == "text", case .text(let text)? = part["text"] else { return nil }
                return text
            }
            guard texts.count == parts.count else { return [] }
        default: return []
        }
        let pieces = texts.map { Array($0.utf8) }
        let endings = pieces.map { piece in piece.prefix((piece.lastIndex { !AssistantTurns.isSpace($0) } ?? -1) + 1) }
        let trimmed = endings.map { $0.drop(while: AssistantTurns.isSpace) }
        let beginnings = pieces.map { $0.drop(while: AssistantTurns.isSpace) }
        return [Array(pieces.joined()), Array(trimmed.joined()), Array(endings.joined()), Array(beginnings.joined())]
    }

    /// The value of the last field of a name.
    func field(_ name: String) -> ChatValue? { fields.last { $0.name == name }?.value }

    /// Whether the message calls tools.
    var callsTools: Bool {
        guard case .list(let calls)? = field("tool_calls") else { return false }
        return !calls.isEmpty
    }
}
