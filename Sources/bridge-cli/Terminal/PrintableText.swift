/// Text from files, servers and arguments with control characters escaped, safe for a terminal.
///
/// Names of tensors and files, settings, roles and the messages of templates and hubs may contain any bytes. Escape sequences
/// in them could clear the screen or set its title, a carriage return could replace what was printed, a line break could
/// forge a message, and marks of writing direction could show a text in another order than it has.
enum PrintableText {
    /// A single line, in which line breaks and tabs are escaped too.
    static func line(_ text: String) -> String { escaped(text, isKept: { _ in false }) }

    /// Lines of the program or a model: line breaks and tabs are kept.
    static func lines(_ text: String) -> String { escaped(text) { $0 == "\n" || $0 == "\t" } }

    /// JSON with every control character in its strings escaped; JSON itself asks for that of the first 32 alone.
    static func json(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { isControl($0) && $0 != "\n" }) else { return text }
        var result = ""
        for scalar in text.unicodeScalars {
            guard isControl(scalar), scalar != "\n" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 { result += "\\u" + hexadecimal(UInt32(unit), digits: 4) }
        }
        return result
    }

    /// Whether a character controls a terminal or the direction of text.
    static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F...0x9F: true
        // Marks, embeddings, overrides and isolates of writing direction, line and paragraph separators, annotations, tags.
        case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069, 0xFFF9...0xFFFB, 0xE0000...0xE007F: true
        default: false
        }
    }

    /// The escaped form of a character.
    static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        default:
            scalar.value < 0x100
                ? "\\x" + hexadecimal(scalar.value, digits: 2) : "\\u{" + hexadecimal(scalar.value, digits: 4) + "}"
        }
    }

    private static func hexadecimal(_ value: UInt32, digits: Int) -> String {
        String(value, radix: 16).leftPadded(to: digits, with: "0")
    }

    /// The text with styles as the terminal's own codes, and everything else escaped.
    private static func escaped(_ text: String, isKept: (Unicode.Scalar) -> Bool) -> String {
        let pieces = Style.isUsed ? text.split(separator: Style.mark, omittingEmptySubsequences: false) : [text[...]]
        var result = ""
        for (index, piece) in pieces.enumerated() {
            var piece = piece
            // A mark is followed by the code of a style.
            if index > 0, let end = piece.firstIndex(of: "m") {
                result += "\u{1B}[" + piece[...end]
                piece = piece[piece.index(after: end)...]
            }
            guard piece.unicodeScalars.contains(where: { isControl($0) && !isKept($0) }) else {
                result += piece
                continue
            }
            for scalar in piece.unicodeScalars {
                if isControl(scalar), !isKept(scalar) {
                    result += escape(scalar)
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result
    }
}
