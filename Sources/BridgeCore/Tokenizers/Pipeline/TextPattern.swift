/// What a normalizer, pre-tokenizer or decoder looks for: a fixed text or a regular expression.
enum TextPattern: Sendable {
    case literal([UInt8])
    case expression(RegularExpression)

    /// The byte ranges of all matches, from left to right.
    func matches(in text: UnsafeBufferPointer<UInt8>) throws(TokenizerError) -> [Range<Int>] {
        var found: [Range<Int>] = []
        switch self {
        case .literal(let content):
            guard let first = content.first else { return [] }
            var index = 0
            while index + content.count <= text.count {
                if text[index] == first, text[index..<(index + content.count)].elementsEqual(content) {
                    found.append(index..<(index + content.count))
                    index += content.count
                } else {
                    index += 1
                }
            }
        case .expression(let expression):
            try expression.forEachMatch(in: text) { found.append($0) }
        }
        return found
    }

    func matches(in bytes: [UInt8]) throws(TokenizerError) -> [Range<Int>] {
        try bytes.withUnsafeBufferPointer { buffer throws(TokenizerError) in try matches(in: buffer) }
    }
}

/// Classes of scalars that the pipeline asks for.
enum ScalarClass {
    /// Unicode's White_Space.
    static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// A word character as Unicode's recommendation for regular expressions has it.
    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
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
