/// Escapes for json-c 0.16, which writes JSON: it stores keys as C strings, which end at U+0000.
///
/// So a document with U+0000 in a key is encoded with two noncharacters: U+0000 as U+FDD0 U+FDD0, and U+FDD0 itself,
/// which may be in the same document, as U+FDD0 U+FDD1.
enum JSONEscapes {
    /// U+FDD0 in UTF-8, and U+FDD1.
    private static let first: [UInt8] = [0xEF, 0xB7, 0x90]
    private static let second: [UInt8] = [0xEF, 0xB7, 0x91]

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

    /// The text that json-c wrote for a document whose strings were ``coded(_:)``.
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
}
