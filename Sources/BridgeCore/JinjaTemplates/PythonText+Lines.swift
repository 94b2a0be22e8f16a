extension PythonText {
    /// `str.splitlines`.
    static func lines(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        var lines: [String] = []
        var start = 0
        var index = 0
        while index < bytes.count {
            let length = lineEnd(bytes, at: index)
            if length > 0 {
                lines.append(String(decoding: bytes[start..<index], as: UTF8.self))
                start = index + length
            }
            index += max(1, length)
        }
        return start < bytes.count ? lines + [String(decoding: bytes[start...], as: UTF8.self)] : lines
    }

    /// How many lines `str.splitlines` makes.
    static func lineCount(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        var count = 0
        var start = 0
        var index = 0
        while index < bytes.count {
            let length = lineEnd(bytes, at: index)
            index += max(1, length)
            guard length > 0 else { continue }
            count += 1
            start = index
        }
        return start < bytes.count ? count + 1 : count
    }

    /// How many bytes the end of a line takes that starts here, or 0.
    private static func lineEnd(_ bytes: [UInt8], at index: Int) -> Int {
        func follows(_ offset: Int, _ values: ClosedRange<UInt8>) -> Bool {
            index + offset < bytes.count && values.contains(bytes[index + offset])
        }
        switch bytes[index] {
        case 0x0D: return follows(1, 0x0A...0x0A) ? 2 : 1
        case 0x0A...0x0C, 0x1C...0x1E: return 1
        // U+0085, and U+2028 with U+2029.
        case 0xC2: return follows(1, 0x85...0x85) ? 2 : 0
        case 0xE2: return follows(1, 0x80...0x80) && follows(2, 0xA8...0xA9) ? 3 : 0
        default: return 0
        }
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
            scalar.isASCII
                ? ("0"..."9").contains(scalar)
                : scalar.properties.numericType == .decimal || scalar.properties.numericType == .digit
        }
        func isLetter(_ scalar: Unicode.Scalar) -> Bool {
            if scalar.isASCII { return isUpper(scalar) || isLower(scalar) }
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
            default: return false
            }
        }
        func isUpper(_ scalar: Unicode.Scalar) -> Bool {
            scalar.isASCII ? ("A"..."Z").contains(scalar) : scalar.properties.isUppercase
        }
        func isLower(_ scalar: Unicode.Scalar) -> Bool {
            scalar.isASCII ? ("a"..."z").contains(scalar) : scalar.properties.isLowercase
        }
        switch name {
        case "isdigit": return scalars.allSatisfy(isDigit)
        case "isalpha": return scalars.allSatisfy(isLetter)
        case "isspace": return scalars.allSatisfy(isSpace)
        case "isalnum":
            return scalars.allSatisfy { isLetter($0) || isDigit($0) || !$0.isASCII && $0.properties.numericType != nil }
        case "isupper": return scalars.contains(where: isUpper) && !scalars.contains(where: isLower)
        default: return scalars.contains(where: isLower) && !scalars.contains(where: isUpper)
        }
    }
}
