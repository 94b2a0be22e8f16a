import JinjaTemplates

/// The pattern of a normalizer, pre-tokenizer or decoder: a fixed text or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case expression(RegularExpression)

    /// Calls `body` with the byte range of every match, from left to right.
    func forEachMatch(
        in text: UnsafeBufferPointer<UInt8>,
        _ budget: EncodingBudget,
        _ body: (Range<Int>) -> Void
    ) throws(TokenizerError) {
        switch self {
        case .literal(let content): ByteSearch.forEachRange(of: content, in: text, body)
        case .expression(let expression): try expression.forEachMatch(in: text, budget, body)
        }
    }
}

/// Classes of scalars that the pipeline uses.
enum ScalarClass {
    /// Unicode's White_Space.
    static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// The last version of Unicode that Python's tokenizers know: to them a later character has no properties.
    private static let lastVersion = 16

    /// A word character as Unicode's recommendation for regular expressions has it.
    ///
    /// The standard library of one toolchain knows less than Python's tokenizers and that of another more.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        guard let age = properties.age else { return UnicodeAdditions.isWord(scalar) }
        guard age.major <= lastVersion else { return false }
        if properties.isAlphabetic || properties.isJoinControl || isMark(scalar) { return true }
        let category = properties.generalCategory
        return category == .decimalNumber || category == .connectorPunctuation
    }

    /// A combining mark.
    static func isMark(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark: true
        default: false
        }
    }

    /// The scalar that starts at a byte of valid UTF-8.
    static func scalar(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> (scalar: Unicode.Scalar, end: Int) {
        var end = start + 1
        while end < text.count, text[end] & 0xC0 == 0x80 { end += 1 }
        var value = UInt32(text[start])
        switch end - start {
        case 2: value &= 0x1F
        case 3: value &= 0x0F
        case 4: value &= 0x07
        default: break
        }
        for index in (start + 1)..<max(end, start + 1) { value = value << 6 | UInt32(text[index] & 0x3F) }
        return (Unicode.Scalar(value) ?? "\u{FFFD}", end)
    }

    /// The start of the scalar that ends before a byte of valid UTF-8.
    static func start(ofScalarBefore end: Int, in text: UnsafeBufferPointer<UInt8>) -> Int {
        var start = end - 1
        while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
        return max(0, start)
    }
}
