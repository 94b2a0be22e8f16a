/// Looks over JSON text for what json-c lets through: repeated keys, depth, control characters in strings, and words that
/// JSON does not have, such as `NaN`, `1.` and what stands in single quotes.
///
/// It does not judge the rest of the grammar, json-c does; it only follows strings, brackets and words.
struct JSONScanner {
    /// How many members all objects of the text have together.
    private(set) var memberCount = 0

    private var keysByDepth: [Set<ArraySlice<UInt8>>] = []

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
            case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","), UInt8(ascii: ":"):
                index += 1
            default:
                let end = text[index...].firstIndex(where: Self.endsWord) ?? text.count
                try Self.check(word: text[index..<end])
                index = end
            }
        }
    }

    private static func endsWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x20, 0x09, 0x0A, 0x0D, UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "\""), UInt8(ascii: "["),
            UInt8(ascii: "]"), UInt8(ascii: "{"), UInt8(ascii: "}"):
            true
        default: false
        }
    }

    /// Takes `true`, `false`, `null` and numbers as RFC 8259 has them.
    private static func check(word: ArraySlice<UInt8>) throws(JSONError) {
        if ["true", "false", "null"].contains(where: { word.elementsEqual($0.utf8) }) { return }
        var rest = word
        func digits() -> Int {
            let count = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }.count
            rest = rest.dropFirst(count)
            return count
        }
        if rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
        let startsWithZero = rest.first == UInt8(ascii: "0")
        let whole = digits()
        var isNumber = whole > 0 && !(startsWithZero && whole > 1)
        if rest.first == UInt8(ascii: ".") {
            rest = rest.dropFirst()
            isNumber = digits() > 0 && isNumber
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest = rest.dropFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest = rest.dropFirst() }
            isNumber = digits() > 0 && isNumber
        }
        guard isNumber, rest.isEmpty else {
            let text = String(decoding: word.prefix(40), as: UTF8.self)
            throw JSONError("\(text) is no JSON value", at: word.startIndex)
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
