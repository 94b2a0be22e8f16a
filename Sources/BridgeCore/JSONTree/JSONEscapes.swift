/// Rewrites the two escapes that json-c 0.16 does not read well, before it reads the text.
///
/// It keeps keys as C strings, which end at U+0000; and it turns escaped pairs of surrogates whose scalar ends in D800 to
/// DFFF, one in thirty, into U+FFFD. So the former travels as a noncharacter, and pairs become the UTF-8 they stand for.
struct JSONEscapes {
    /// The text for json-c.
    let text: [UInt8]
    /// Whether some U+0000 travels as the noncharacter, which ``reveal(_:)`` turns back.
    let hidesNull: Bool

    private static let standInEscape = Array("\\ufdd0".utf8)
    private static let standIn: [UInt8] = [0xEF, 0xB7, 0x90]

    /// Rewrites a text.
    ///
    /// - Throws: `JSONError` for a text that holds both U+0000 and the noncharacter that stands for it.
    init(_ bytes: [UInt8]) throws(JSONError) {
        var result: [UInt8] = []
        var copied = 0
        var index = 0
        var hidesNull = false
        var holdsStandIn = false
        func take(upTo end: Int, then replacement: some Sequence<UInt8>, skipping count: Int) {
            result.append(contentsOf: bytes[copied..<end])
            result.append(contentsOf: replacement)
            index = end + count
            copied = index
        }
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                if bytes[index] == Self.standIn[0], bytes[index...].prefix(3).elementsEqual(Self.standIn) {
                    holdsStandIn = true
                }
                index += 1
                continue
            }
            guard let unit = Self.unit(bytes, at: index) else {
                index += 2
                continue
            }
            if unit == 0 {
                hidesNull = true
                take(upTo: index, then: Self.standInEscape, skipping: 6)
            } else if UTF16.isLeadSurrogate(unit), let low = Self.unit(bytes, at: index + 6),
                UTF16.isTrailSurrogate(low)
            {
                take(upTo: index, then: String(UTF16.decode(UTF16.EncodedScalar([unit, low]))).utf8, skipping: 12)
            } else {
                holdsStandIn = holdsStandIn || unit == 0xFDD0
                index += 6
            }
        }
        guard !hidesNull || !holdsStandIn else {
            throw JSONError("a text with both U+0000 and U+FDD0, which cannot be told apart here,", at: 0)
        }
        if copied == 0 {
            text = bytes
        } else {
            result.append(contentsOf: bytes[min(copied, bytes.count)...])
            text = result
        }
        self.hidesNull = hidesNull
    }

    /// A string that came out of json-c.
    func reveal(_ bytes: UnsafeBufferPointer<UInt8>) -> String {
        guard hidesNull else { return String(decoding: bytes, as: UTF8.self) }
        var revealed: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if index + 3 <= bytes.count, bytes[index..<index + 3].elementsEqual(Self.standIn) {
                revealed.append(0)
                index += 3
            } else {
                revealed.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: revealed, as: UTF8.self)
    }

    /// A key for json-c, which would end it at U+0000.
    static func hidingNull(_ key: String) -> String {
        key.utf8.contains(0) ? String(decoding: key.utf8.flatMap { $0 == 0 ? standIn : [$0] }, as: UTF8.self) : key
    }

    /// The text of json-c with the escapes that stand for what ``hidingNull(_:)`` has hidden.
    static func restoringNull(_ text: [UInt8], isHidden: Bool) -> [UInt8] {
        guard isHidden else { return text }
        var result: [UInt8] = []
        var index = 0
        while index < text.count {
            if index + 3 <= text.count, text[index..<index + 3].elementsEqual(standIn) {
                result += Array("\\u0000".utf8)
                index += 3
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return result
    }

    /// The unit that `\uXXXX` at a place stands for.
    private static func unit(_ bytes: [UInt8], at index: Int) -> UInt16? {
        guard index + 6 <= bytes.count, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u"),
            bytes[index + 2] != UInt8(ascii: "+"), bytes[index + 2] != UInt8(ascii: "-")
        else { return nil }
        return UInt16(String(decoding: bytes[(index + 2)..<(index + 6)], as: UTF8.self), radix: 16)
    }
}
