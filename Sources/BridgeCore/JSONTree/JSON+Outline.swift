extension JSON {
    /// The keys of a large text without the values: objects to a depth, and null in the place of everything else.
    ///
    /// The text is not checked; of one that is not JSON the keys before the fault are there.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - depth: How many levels of objects are kept.
    public init(outlineOf text: [UInt8], depth: Int) {
        self = text.withUnsafeBufferPointer { bytes in
            var scanner = OutlineScanner(bytes)
            return scanner.value(depth: depth)
        }
    }
}

/// Walks over a text and looks at nothing but quotes and brackets.
private struct OutlineScanner {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var index = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    private var byte: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func skipSpace() {
        while let byte, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { index += 1 }
    }

    private mutating func take(_ expected: UInt8) -> Bool {
        skipSpace()
        guard byte == expected else { return false }
        index += 1
        return true
    }

    /// The range of a string with its quotes, or nil where none begins.
    private mutating func string() -> Range<Int>? {
        skipSpace()
        guard byte == UInt8(ascii: "\"") else { return nil }
        let start = index
        index += 1
        while let byte, byte != UInt8(ascii: "\"") { index += byte == UInt8(ascii: "\\") ? 2 : 1 }
        index = min(index + 1, bytes.count)
        return start..<index
    }

    mutating func value(depth: Int) -> JSON {
        skipSpace()
        guard depth > 0, byte == UInt8(ascii: "{") else {
            skip()
            return .null
        }
        index += 1
        var object = JSONObject()
        while let range = string() {
            let key = (try? JSON(parsing: Array(bytes[range])))?.string
            guard take(UInt8(ascii: ":")) else { break }
            let value = value(depth: depth - 1)
            if let key { object[key] = value }
            guard take(UInt8(ascii: ",")) else { break }
        }
        _ = take(UInt8(ascii: "}"))
        return .object(object)
    }

    /// Skips a value, up to the comma or bracket after it.
    private mutating func skip() {
        var level = 0
        while let byte {
            switch byte {
            case UInt8(ascii: "\""):
                _ = string()
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): level += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard level > 0 else { return }
                level -= 1
            case UInt8(ascii: ",") where level == 0: return
            default: break
            }
            index += 1
        }
    }
}
