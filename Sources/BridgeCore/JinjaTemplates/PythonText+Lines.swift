extension PythonText {
    /// `str.splitlines`.
    static func lines(_ text: String, keepingEnds: Bool = false) -> [String] {
        let bytes = Array(text.utf8)
        var lines: [String] = []
        var start = 0
        var index = 0
        while index < bytes.count {
            let length = lineEnd(bytes, at: index)
            if length > 0 {
                lines.append(String(decoding: bytes[start..<index + (keepingEnds ? length : 0)], as: UTF8.self))
                start = index + length
            }
            index += max(1, length)
        }
        return start < bytes.count ? lines + [String(decoding: bytes[start...], as: UTF8.self)] : lines
    }

    /// The number of lines of `str.splitlines`.
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

    /// The number of bytes of the line end at this position, or 0.
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
        guard !scalars.isEmpty else { return name == "isascii" || name == "isprintable" }
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
        case "isascii": return scalars.allSatisfy(\.isASCII)
        case "isdecimal":
            return scalars.allSatisfy {
                $0.isASCII ? ("0"..."9").contains($0) : $0.properties.generalCategory == .decimalNumber
            }
        case "isnumeric":
            return scalars.allSatisfy { $0.isASCII ? ("0"..."9").contains($0) : $0.properties.numericType != nil }
        case "isprintable": return scalars.allSatisfy(TemplateValue.isPrintable)
        case "isidentifier":
            return scalars.enumerated().allSatisfy { index, scalar in
                scalar == "_" || (index == 0 ? scalar.properties.isXIDStart : scalar.properties.isXIDContinue)
            }
        case "istitle":
            var (followsLetter, hasLetter) = (false, false)
            for scalar in scalars {
                let isCapital = isUpper(scalar) || scalar.properties.generalCategory == .titlecaseLetter
                if isCapital ? followsLetter : isLower(scalar) && !followsLetter { return false }
                followsLetter = isCapital || isLower(scalar)
                hasLetter = hasLetter || followsLetter
            }
            return hasLetter
        case "isdigit": return scalars.allSatisfy(isDigit)
        case "isalpha": return scalars.allSatisfy(isLetter)
        case "isspace": return scalars.allSatisfy(isSpace)
        case "isalnum":
            return scalars.allSatisfy { isLetter($0) || isDigit($0) || !$0.isASCII && $0.properties.numericType != nil }
        case "isupper": return scalars.contains(where: isUpper) && !scalars.contains(where: isLower)
        default: return scalars.contains(where: isLower) && !scalars.contains(where: isUpper)
        }
    }

    /// The number of runs of letters, digits and underscores, as the filter `wordcount` counts.
    static func wordCount(_ text: String) -> Int {
        var count = 0
        var isInside = false
        for scalar in text.unicodeScalars {
            let isWord =
                switch scalar {
                case "_", "0"..."9", "a"..."z", "A"..."Z": true
                default: !scalar.isASCII && satisfies("isalnum", String(Character(scalar)))
                }
            if isWord, !isInside { count += 1 }
            isInside = isWord
        }
        return count
    }

    /// The value of Python's `float`; nil for texts that it refuses.
    static func number(_ text: String) -> Double? {
        let text = strip(text, nil, left: true, right: true)
        // Swift parses hexadecimal numbers and `nan(...)`, Python does not.
        guard !text.utf8.contains(where: { [UInt8(ascii: "x"), UInt8(ascii: "X"), UInt8(ascii: "(")].contains($0) })
        else {
            return nil
        }
        return withoutUnderscores(text).flatMap { Double($0) }
    }

    /// The digits of what `int` reads in a base, in base ten; nil for what it refuses.
    static func digits(_ text: String, base: Int) -> String? {
        guard let text = withoutUnderscores(strip(text, nil, left: true, right: true)) else { return nil }
        let isNegative = text.hasPrefix("-")
        var digits = isNegative || text.hasPrefix("+") ? text.dropFirst() : text[...]
        var base = base
        for (name, radix) in [("0x", 16), ("0o", 8), ("0b", 2)]
        where digits.lowercased().hasPrefix(name) && (base == radix || base == 0) {
            digits = digits.dropFirst(2)
            base = radix
        }
        if base == 0 { base = 10 }
        guard (2...36).contains(base), let first = digits.utf8.first, first != UInt8(ascii: "+"),
            first != UInt8(ascii: "-")
        else { return nil }
        if let integer = Int((isNegative ? "-" : "") + digits, radix: base) { return String(integer) }
        guard base == 10, digits.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        let significant = digits.drop { $0 == "0" }
        return (isNegative ? "-" : "") + significant
    }

    /// A number without the underscores that Python allows between digits; nil where one is elsewhere.
    private static func withoutUnderscores(_ text: String) -> String? {
        guard text.utf8.contains(UInt8(ascii: "_")) else { return text }
        let parts = text.split(separator: "_", omittingEmptySubsequences: false)
        for (left, right) in zip(parts, parts.dropFirst()) {
            guard left.last?.isHexDigit == true, right.first?.isHexDigit == true else { return nil }
        }
        return parts.joined()
    }

    /// `urllib.parse.quote` as the filter `urlencode` calls it.
    static func urlQuoted(_ text: String, isQuery: Bool) -> String {
        var result = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "/") where !isQuery: result += "/"
            case UInt8(ascii: " ") where isQuery: result += "+"
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        return result
    }
}
