/// Looks over JSON text for what json-c lets through: repeated keys, depth, NaN, control characters in strings.
///
/// It does not judge the grammar, json-c does; it only follows strings and brackets.
struct JSONScanner {
    /// How many members all objects of the text have together.
    private(set) var memberCount = 0

    private var keysByDepth: [Set<ArraySlice<UInt8>>] = []
    private var depth = 0

    /// Scans the whole text.
    ///
    /// - Throws: `JSONError` for the first of those; nesting is refused beyond `maximumDepth`.
    init(_ text: [UInt8], maximumDepth: Int) throws(JSONError) {
        var index = 0
        var openIsObject: [Bool] = []
        while index < text.count {
            switch text[index] {
            case UInt8(ascii: "\""):
                let start = index + 1
                let end = Self.endOfString(in: text, from: start)
                if let control = text[start..<end].firstIndex(where: { $0 < 0x20 }) {
                    throw JSONError("a string holds a control character that is not escaped", at: control)
                }
                index = end + 1
                var next = index
                while next < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[next]) { next += 1 }
                if next < text.count, text[next] == UInt8(ascii: ":"), openIsObject.last == true {
                    try take(key: text[start..<min(end, text.count)], at: start)
                    index = next + 1
                }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                openIsObject.append(text[index] == UInt8(ascii: "{"))
                keysByDepth.append([])
                guard openIsObject.count <= maximumDepth else {
                    throw JSONError("more than \(maximumDepth) levels of nesting", at: index)
                }
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if !openIsObject.isEmpty {
                    openIsObject.removeLast()
                    keysByDepth.removeLast()
                }
                index += 1
            case UInt8(ascii: "A")...UInt8(ascii: "Z") where text[index] != UInt8(ascii: "E"):
                throw JSONError("a word that JSON does not have, such as NaN or Infinity,", at: index)
            default:
                index += 1
            }
        }
    }

    private mutating func take(key: ArraySlice<UInt8>, at offset: Int) throws(JSONError) {
        memberCount += 1
        guard keysByDepth[keysByDepth.count - 1].insert(key).inserted else {
            let text = String(decoding: key, as: UTF8.self)
            throw JSONError("the key \"\(text)\" stands twice in one object", at: offset)
        }
    }

    private static func endOfString(in text: [UInt8], from start: Int) -> Int {
        var index = start
        while index < text.count, text[index] != UInt8(ascii: "\"") {
            index += text[index] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(index, text.count)
    }
}
