/// The additions of Unicode 15, 15.1 and 16 to the general categories, as ranges of scalars.
///
/// Python's tokenizers and tiktoken follow Unicode 16; the PCRE2 of current distributions follows Unicode 14. The tables
/// are the difference, found by asking both about every scalar. No scalar left a category between the two.
enum UnicodeAdditions {
    typealias Table = [ClosedRange<UInt32>]

    static let uppercaseLetters: Table = [
        0x1C89...0x1C89, 0xA7CB...0xA7CC, 0xA7DA...0xA7DA, 0xA7DC...0xA7DC, 0x10D50...0x10D65,
    ]

    static let lowercaseLetters: Table = [
        0x1C8A...0x1C8A, 0xA7CD...0xA7CD, 0xA7DB...0xA7DB, 0x10D70...0x10D85, 0x1DF25...0x1DF2A,
    ]

    static let modifierLetters: Table = [
        0x10D4E...0x10D4E, 0x10D6F...0x10D6F, 0x16D40...0x16D42, 0x16D6B...0x16D6C, 0x1E030...0x1E06D,
        0x1E4EB...0x1E4EB,
    ]

    static let otherLetters: Table = [
        0x105C0...0x105F3, 0x10D4A...0x10D4D, 0x10D4F...0x10D4F, 0x10EC2...0x10EC4, 0x1123F...0x11240,
        0x11380...0x11389, 0x1138B...0x1138B, 0x1138E...0x1138E, 0x11390...0x113B5, 0x113B7...0x113B7,
        0x113D1...0x113D1, 0x113D3...0x113D3, 0x11BC0...0x11BE0, 0x11F02...0x11F02, 0x11F04...0x11F10,
        0x11F12...0x11F33, 0x1342F...0x1342F, 0x13441...0x13446, 0x13460...0x143FA, 0x16100...0x1611D,
        0x16D43...0x16D6A, 0x18CFF...0x18CFF, 0x1B132...0x1B132, 0x1B155...0x1B155, 0x1E4D0...0x1E4EA,
        0x1E5D0...0x1E5ED, 0x1E5F0...0x1E5F0, 0x2B739...0x2B739, 0x2EBF0...0x2EE5D, 0x31350...0x323AF,
    ]

    static let marks: Table = [
        0x897...0x897, 0xCF3...0xCF3, 0xECE...0xECE, 0x10D69...0x10D6D, 0x10EFC...0x10EFF, 0x11241...0x11241,
        0x113B8...0x113C0, 0x113C2...0x113C2, 0x113C5...0x113C5, 0x113C7...0x113CA, 0x113CC...0x113D0,
        0x113D2...0x113D2, 0x113E1...0x113E2, 0x11F00...0x11F01, 0x11F03...0x11F03, 0x11F34...0x11F3A,
        0x11F3E...0x11F42, 0x11F5A...0x11F5A, 0x13440...0x13440, 0x13447...0x13455, 0x1611E...0x1612F,
        0x1E08F...0x1E08F, 0x1E4EC...0x1E4EF, 0x1E5EE...0x1E5EF,
    ]

    static let nonspacingMarks: Table = marks.flatMap { range in
        range.filter { Unicode.Scalar($0)?.properties.generalCategory == .nonspacingMark }.map { $0...$0 }
    }

    static let numbers: Table = [
        0x10D40...0x10D49, 0x116D0...0x116E3, 0x11BF0...0x11BF9, 0x11F50...0x11F59, 0x16130...0x16139,
        0x16D70...0x16D79, 0x1CCF0...0x1CCF9, 0x1D2C0...0x1D2D3, 0x1E4F0...0x1E4F9, 0x1E5F1...0x1E5FA,
    ]

    static let decimalNumbers: Table = numbers.filter { $0.lowerBound != 0x1D2C0 }

    static let punctuation: Table = [
        0x1B4E...0x1B4F, 0x1B7F...0x1B7F, 0x10D6E...0x10D6E, 0x113D4...0x113D5, 0x113D7...0x113D8, 0x11B00...0x11B09,
        0x11BE1...0x11BE1, 0x11F43...0x11F4F, 0x16D6D...0x16D6F, 0x1E5FF...0x1E5FF,
    ]

    static let letters: Table = uppercaseLetters + lowercaseLetters + modifierLetters + otherLetters

    /// The additions of each property name that patterns use.
    static let byProperty: [String: Table] = [
        "L": letters, "Letter": letters, "Lu": uppercaseLetters, "Ll": lowercaseLetters, "Lm": modifierLetters,
        "Lo": otherLetters, "M": marks, "Mark": marks, "N": numbers, "Number": numbers, "Nd": decimalNumbers,
        "P": punctuation, "Punctuation": punctuation, "Alphabetic": letters, "Mn": nonspacingMarks,
    ]

    /// All additions, joined and sorted.
    static let all: Table = {
        var joined: Table = []
        for range in (letters + marks + numbers + punctuation).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = joined.last, last.upperBound + 1 == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound...range.upperBound
            } else {
                joined.append(range)
            }
        }
        return joined
    }()

    /// Whether the text holds a scalar of the tables.
    ///
    /// Nearly no text does, and patterns without the tables are faster.
    static func occur(in text: UnsafeBufferPointer<UInt8>) -> Bool {
        var index = 0
        while index < text.count {
            let lead = text[index]
            if lead < 0xE0 {
                index += 1
                continue
            }
            if lead < 0xF0 {
                // The additions below U+10000 start with E0, E1 or EA.
                if lead <= 0xE1 || lead == 0xEA, index + 2 < text.count {
                    let scalar =
                        UInt32(lead & 15) << 12 | UInt32(text[index + 1] & 63) << 6 | UInt32(text[index + 2] & 63)
                    if contains(scalar) { return true }
                }
                index += 3
                continue
            }
            if index + 3 < text.count {
                let high = UInt32(lead & 7) << 18 | UInt32(text[index + 1] & 63) << 12
                if contains(high | UInt32(text[index + 2] & 63) << 6 | UInt32(text[index + 3] & 63)) { return true }
            }
            index += 4
        }
        return false
    }

    /// Whether the scalar is one that was added, and a letter, a mark or a digit.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        [letters, marks, decimalNumbers].contains { $0.contains { $0.contains(scalar.value) } }
    }

    private static func contains(_ scalar: UInt32) -> Bool {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
        }
        return low < all.count && all[low].contains(scalar)
    }
}
