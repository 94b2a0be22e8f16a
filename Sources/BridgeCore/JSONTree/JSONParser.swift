/// Reads JSON text as RFC 8259 has it, in one pass, straight into the tree.
///
/// A tree takes more memory than its text, up to some forty times as much, so its memory is counted while it grows and
/// bounded: what is refused is refused before it is made.
struct JSONParser {
    let text: [UInt8]
    private(set) var index = 0
    private let maximumDepth: Int
    private let maximumMemory: Int
    /// The approximate bytes of the tree so far.
    private(set) var memory = 0

    init(_ text: [UInt8], maximumDepth: Int, maximumMemory: Int) {
        self.text = text
        self.maximumDepth = maximumDepth
        self.maximumMemory = maximumMemory
    }

    // MARK: Between values

    mutating func skipSpace() {
        while index < text.count {
            switch text[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }

    /// Reads a byte, after white space; false if the next byte is another one.
    mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard index < text.count, text[index] == byte else { return false }
        index += 1
        return true
    }

    /// Throws unless nothing but white space follows.
    mutating func finish() throws(JSONError) {
        skipSpace()
        guard index == text.count else { throw JSONError("something follows the value", at: index) }
    }

    private func unexpected(_ expected: String) -> JSONError {
        let isEnd = index == text.count
        return JSONError(isEnd ? "unexpected end of data, expected \(expected)" : "expected \(expected)", at: index)
    }

    private mutating func spend(_ bytes: Int) throws(JSONError) {
        memory += bytes
        guard memory <= maximumMemory else {
            throw JSONError(
                "the values take more than the \(maximumMemory) bytes of memory that are allowed for one text",
                at: index
            )
        }
    }

    /// Starts to count memory from 0.
    mutating func forget() { memory = 0 }

    // MARK: Values

    /// Reads a value that is inside of `depth` others.
    mutating func value(depth: Int = 0) throws(JSONError) -> JSON {
        skipSpace()
        guard index < text.count else { throw unexpected("a value") }
        switch text[index] {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number(try number())
        default: return try word()
        }
    }

    private func checkDepth(_ depth: Int) throws(JSONError) {
        guard depth < maximumDepth else { throw JSONError("more than \(maximumDepth) levels of nesting", at: index) }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        try checkDepth(depth)
        index += 1
        if take(UInt8(ascii: "]")) { return [] }
        try spend(32)
        var items: [JSON] = []
        repeat {
            try spend(MemoryLayout<JSON>.stride)
            items.append(try value(depth: depth + 1))
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "]")) else { throw unexpected("a comma or the end of an array") }
        return items
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        try checkDepth(depth)
        index += 1
        var members = JSONObject()
        if take(UInt8(ascii: "}")) { return members }
        try spend(JSONObject.memory)
        repeat {
            let (start, key) = (index, try self.key())
            try spend(JSONObject.memory(ofMember: members.count))
            let value = try value(depth: depth + 1)
            guard members.append(value, for: key) else {
                throw JSONError("the key \"\(key)\" is twice in one object", at: start)
            }
        } while take(UInt8(ascii: ","))
        guard take(UInt8(ascii: "}")) else { throw unexpected("a comma or the end of an object") }
        return members
    }

    /// A key and the colon after it.
    mutating func key() throws(JSONError) -> String {
        skipSpace()
        guard index < text.count, text[index] == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        let key = try string()
        guard take(UInt8(ascii: ":")) else { throw unexpected("a colon after a key") }
        return key
    }

    private mutating func word() throws(JSONError) -> JSON {
        for (word, value) in [("true", JSON.bool(true)), ("false", .bool(false)), ("null", .null)] {
            guard text[index...].starts(with: word.utf8) else { continue }
            index += word.utf8.count
            return value
        }
        let word = text[index...].prefix { !Self.endsWord($0) }.prefix(40)
        throw JSONError("\(String(decoding: word, as: UTF8.self)) is not a JSON value", at: index)
    }

    private static func endsWord(_ byte: UInt8) -> Bool {
        switch byte {
        case ...0x20, UInt8(ascii: ","), UInt8(ascii: ":"), UInt8(ascii: "]"), UInt8(ascii: "}"): true
        default: false
        }
    }

    private mutating func number() throws(JSONError) -> JSONNumber {
        let start = index
        if text[index] == UInt8(ascii: "-") { index += 1 }
        let whole = index
        var isNumber = digits() > 0 && (index - whole == 1 || text[whole] != UInt8(ascii: "0"))
        if index < text.count, text[index] == UInt8(ascii: ".") {
            index += 1
            isNumber = digits() > 0 && isNumber
        }
        if index < text.count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            if index < text.count, text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-") { index += 1 }
            isNumber = digits() > 0 && isNumber
        }
        guard isNumber, index == text.count || Self.endsWord(text[index]) else {
            let word = text[start...].prefix { !Self.endsWord($0) }.prefix(40)
            throw JSONError("\(String(decoding: word, as: UTF8.self)) is not a JSON value", at: start)
        }
        if index - start > 15 { try spend(32 + index - start) }
        return JSONNumber(text: String(decoding: text[start..<index], as: UTF8.self))
    }

    private mutating func digits() -> Int {
        let start = index
        while index < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[index]) { index += 1 }
        return index - start
    }

    // MARK: Strings

    private mutating func string() throws(JSONError) -> String {
        index += 1
        let start = index
        var hasEscapes = false
        while true {
            guard index < text.count else {
                throw JSONError("unexpected end of data, a string has no end", at: start - 1)
            }
            switch text[index] {
            case UInt8(ascii: "\""):
                let bytes = hasEscapes ? try unescaped(start..<index)[...] : text[start..<index]
                if bytes.count > 15 { try spend(32 + bytes.count) }
                guard let string = String(validating: bytes, as: UTF8.self) else {
                    let offset = Self.firstBadByte(in: text[start..<index])
                    throw JSONError("text that is not UTF-8", at: start + offset)
                }
                index += 1
                return string
            case UInt8(ascii: "\\"):
                hasEscapes = true
                index += 2
            case 0..<0x20:
                throw JSONError("a string holds a control character that is not escaped", at: index)
            default: index += 1
            }
        }
    }

    private static func firstBadByte(in text: ArraySlice<UInt8>) -> Int {
        var parser = Unicode.UTF8.ForwardParser()
        var bytes = text.makeIterator()
        var offset = 0
        while case .valid(let scalar) = parser.parseScalar(from: &bytes) { offset += scalar.count }
        return offset
    }

    private func unescaped(_ range: Range<Int>) throws(JSONError) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(range.count)
        var position = range.lowerBound
        while position < range.upperBound {
            guard text[position] == UInt8(ascii: "\\") else {
                result.append(text[position])
                position += 1
                continue
            }
            switch position + 1 < range.upperBound ? text[position + 1] : 0 {
            case UInt8(ascii: "u"):
                guard let unit = unit(at: position) else {
                    throw JSONError("an escape \\u without four hexadecimal digits", at: position)
                }
                position += 6
                if UTF16.isLeadSurrogate(unit), position + 6 <= range.upperBound, let low = self.unit(at: position),
                    UTF16.isTrailSurrogate(low)
                {
                    result += String(UTF16.decode(UTF16.EncodedScalar([unit, low]))).utf8
                    position += 6
                } else {
                    // An unpaired surrogate is not a character.
                    result += String(Unicode.Scalar(unit) ?? "\u{FFFD}").utf8
                }
                continue
            case let escape:
                guard let byte = Self.escapes[escape] else {
                    throw JSONError("an escape that JSON does not have", at: position)
                }
                result.append(byte)
                position += 2
            }
        }
        return result
    }

    private static let escapes: [UInt8: UInt8] = [
        UInt8(ascii: "\""): 0x22, UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "/"): 0x2F, UInt8(ascii: "b"): 0x08,
        UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A, UInt8(ascii: "r"): 0x0D, UInt8(ascii: "t"): 0x09,
    ]

    /// The code unit of `\uXXXX` at an index.
    private func unit(at position: Int) -> UInt16? {
        guard position + 6 <= text.count, text[position] == UInt8(ascii: "\\"),
            text[position + 1] == UInt8(ascii: "u")
        else { return nil }
        var value: UInt16 = 0
        for byte in text[(position + 2)..<(position + 6)] {
            guard let digit = Unicode.Scalar(byte).properties.isASCIIHexDigit ? Character(Unicode.Scalar(byte)) : nil,
                let number = digit.hexDigitValue
            else { return nil }
            value = value << 4 | UInt16(number)
        }
        return value
    }
}
