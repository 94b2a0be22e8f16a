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
        for scalar in token.unicodeScalars {
            guard scalar.value < 0x144, bytes[Int(scalar.value)] != .max else { return nil }
            result.append(UInt8(truncatingIfNeeded: bytes[Int(scalar.value)]))
        }
        return result
    }

    /// The token of the vocabulary for these bytes.
    static func encode(_ text: some Sequence<UInt8>) -> String {
        var result = ""
        for byte in text { result.unicodeScalars.append(characters[Int(byte)]) }
        return result
    }
}
