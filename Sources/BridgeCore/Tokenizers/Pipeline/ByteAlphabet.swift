/// The printable characters of bytes in the vocabulary of a byte-level model.
enum ByteAlphabet {
    /// The character of each byte: printable Latin-1 is itself, the other bytes are U+0100 and on.
    static let characters: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt32(0)...255).map { byte in
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF:
                return Unicode.Scalar(byte) ?? " "
            default:
                defer { next += 1 }
                return Unicode.Scalar(next) ?? " "
            }
        }
    }()

    private static let bytes: [UInt16] = {
        var table = [UInt16](repeating: .max, count: 0x144)
        for (byte, character) in characters.enumerated() { table[Int(character.value)] = UInt16(byte) }
        return table
    }()

    /// The bytes of a token of the vocabulary, or nil where a character is not in the alphabet.
    static func decode(_ token: some StringProtocol) -> [UInt8]? {
        var result: [UInt8] = []
        return append(String(token), to: &result) ? result : nil
    }

    /// Appends the bytes of a token of the vocabulary; false where a character is not in the alphabet, after those before it.
    static func append(_ token: String, to result: inout [UInt8]) -> Bool {
        var token = token
        return token.withUTF8 { text in
            var index = 0
            while index < text.count {
                var scalar = Int(text[index])
                index += 1
                if scalar >= 0x80 {
                    // The alphabet has characters of one byte and of two.
                    guard scalar < 0xE0, index < text.count else { return false }
                    scalar = (scalar & 0x1F) << 6 | Int(text[index]) & 0x3F
                    index += 1
                }
                guard scalar < bytes.count, bytes[scalar] != .max else { return false }
                result.append(UInt8(truncatingIfNeeded: bytes[scalar]))
            }
            return true
        }
    }

    /// The token of the vocabulary for these bytes.
    static func encode(_ text: some Sequence<UInt8>) -> String {
        var result = ""
        for byte in text { result.unicodeScalars.append(characters[Int(byte)]) }
        return result
    }
}
