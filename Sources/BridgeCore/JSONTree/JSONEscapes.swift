/// Rewrites the two escapes that json-c 0.16 does not read well, before it reads the text.
///
/// It keeps keys as C strings, which end at U+0000; and it turns escaped pairs of surrogates whose scalar ends in D800 to
/// DFFF, one in thirty, into U+FFFD. So pairs become the UTF-8 they stand for, and a text with U+0000 travels in a code of
/// two noncharacters: U+0000 as U+FDD0 U+FDD0, and U+FDD0 itself, which may be in the same text, as U+FDD0 U+FDD1.
struct JSONEscapes {
    /// The text for json-c.
    let text: [UInt8]
    /// Whether the text holds U+0000 and so travels in the code, which ``reveal(_:)`` turns back.
    let isCoded: Bool

    /// U+FDD0 in UTF-8, and U+FDD1.
    private static let first: [UInt8] = [0xEF, 0xB7, 0x90]
    private static let second: [UInt8] = [0xEF, 0xB7, 0x91]

    /// Rewrites a text.
    init(_ bytes: [UInt8]) {
        isCoded = Self.holdsNull(bytes)
        var result: [UInt8] = []
        var copied = 0
        var index = 0
        func take(upTo end: Int, then replacement: some Sequence<UInt8>, skipping count: Int) {
            result.append(contentsOf: bytes[copied..<end])
            result.append(contentsOf: replacement)
            index = end + count
            copied = index
        }
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                if isCoded, bytes[index] == Self.first[0], bytes[index...].starts(with: Self.first) {
                    take(upTo: index, then: Self.first + Self.second, skipping: 3)
                } else {
                    index += 1
                }
                continue
            }
            guard let unit = Self.unit(bytes, at: index) else {
                index += 2
                continue
            }
            if unit == 0 {
                take(upTo: index, then: Self.first + Self.first, skipping: 6)
            } else if unit == 0xFDD0, isCoded {
                take(upTo: index, then: Self.first + Self.second, skipping: 6)
            } else if UTF16.isLeadSurrogate(unit), let low = Self.unit(bytes, at: index + 6),
                UTF16.isTrailSurrogate(low)
            {
                take(upTo: index, then: String(UTF16.decode(UTF16.EncodedScalar([unit, low]))).utf8, skipping: 12)
            } else {
                index += 6
            }
        }
        if copied == 0 {
            text = bytes
        } else {
            result.append(contentsOf: bytes[min(copied, bytes.count)...])
            text = result
        }
    }

    /// A string that came out of json-c.
    func reveal(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        guard isCoded else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: Self.decoded(bytes, null: [0]), as: UTF8.self)
    }

    /// A string of a document for json-c, which would end a key at U+0000.
    static func coded(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == 0 || $0 == first[0] }) else { return text }
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.first {
            if byte == 0 {
                result += first + first
                rest = rest.dropFirst()
            } else if rest.starts(with: first) {
                result += first + second
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The text that json-c made of a document whose strings were ``coded(_:)``.
    static func document(_ text: [UInt8]) -> [UInt8] { decoded(text, null: Array("\\u0000".utf8)) }

    private static func decoded(_ bytes: some RandomAccessCollection<UInt8>, null: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.first {
            let isPair = byte == first[0] && rest.count >= 6 && rest.starts(with: first)
            if isPair, rest.dropFirst(3).starts(with: first) {
                result += null
                rest = rest.dropFirst(6)
            } else if isPair, rest.dropFirst(3).starts(with: second) {
                result += first
                rest = rest.dropFirst(6)
            } else {
                result.append(byte)
                rest = rest.dropFirst()
            }
        }
        return result
    }

    private static func holdsNull(_ bytes: [UInt8]) -> Bool {
        var index = 0
        while let next = bytes[index...].firstIndex(of: UInt8(ascii: "\\")) {
            let unit = unit(bytes, at: next)
            if unit == 0 { return true }
            index = min(next + (unit == nil ? 2 : 6), bytes.count)
        }
        return false
    }

    /// The unit that `\uXXXX` at an index stands for.
    private static func unit(_ bytes: [UInt8], at index: Int) -> UInt16? {
        guard index + 6 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u"),
            bytes[index + 2] != UInt8(ascii: "+"), bytes[index + 2] != UInt8(ascii: "-")
        else { return nil }
        return UInt16(String(decoding: bytes[(index + 2)..<(index + 6)], as: UTF8.self), radix: 16)
    }
}
