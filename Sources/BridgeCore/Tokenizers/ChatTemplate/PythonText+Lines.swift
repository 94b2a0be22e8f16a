extension PythonText {
    /// `str.splitlines`.
    static func lines(_ text: String) -> [String] {
        let scalars = Array(text.unicodeScalars)
        var lines: [String] = []
        var start = 0
        var index = 0
        while index < scalars.count {
            switch scalars[index].value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029:
                lines.append(string(scalars[start..<index]))
                if scalars[index] == "\r", index + 1 < scalars.count, scalars[index + 1] == "\n" { index += 1 }
                start = index + 1
            default: break
            }
            index += 1
        }
        return start < scalars.count ? lines + [string(scalars[start...])] : lines
    }

    /// `str.removeprefix` and `str.removesuffix`.
    static func removed(_ part: String, from text: String, atEnd: Bool) -> String {
        let bytes = Array(text.utf8)
        let count = part.utf8.count
        guard bytes.count >= count else { return text }
        let kept = atEnd ? bytes.dropLast(count) : bytes.dropFirst(count)
        let cut = atEnd ? bytes.suffix(count) : bytes.prefix(count)
        return cut.elementsEqual(part.utf8) ? String(decoding: kept, as: UTF8.self) : text
    }

    /// `str.isdigit` and its like.
    static func satisfies(_ name: String, _ text: String) -> Bool {
        let scalars = text.unicodeScalars
        guard !scalars.isEmpty else { return false }
        func isDigit(_ scalar: Unicode.Scalar) -> Bool {
            scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
        }
        func isLetter(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
            default: false
            }
        }
        switch name {
        case "isdigit": return scalars.allSatisfy(isDigit)
        case "isalpha": return scalars.allSatisfy(isLetter)
        case "isspace": return scalars.allSatisfy(isSpace)
        case "isalnum": return scalars.allSatisfy { isLetter($0) || $0.properties.numericType != nil }
        case "isupper":
            return scalars.contains(where: \.properties.isUppercase)
                && !scalars.contains(where: \.properties.isLowercase)
        default:
            return scalars.contains(where: \.properties.isLowercase)
                && !scalars.contains(where: \.properties.isUppercase)
        }
    }
}
