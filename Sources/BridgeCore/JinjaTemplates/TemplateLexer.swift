/// One lexical unit of a template.
struct TemplateToken: Sendable, Equatable {
    /// The kind of a token.
    enum Kind: Sendable, Equatable {
        case text(String)
        case outputBegin
        case outputEnd
        case blockBegin
        case blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case largeInteger(String)
        case double(Double)
        case symbol(String)
        case end
    }

    var kind: Kind
    var line: Int
}

/// Splits a template into tokens.
///
/// White space around tags is treated as transformers sets Jinja: `trim_blocks` and `lstrip_blocks` are on.
struct TemplateLexer {
    private let source: [Unicode.Scalar]
    private var index = 0
    private var line = 1
    private var tokens: [TemplateToken] = []
    /// Whether the last tag consumed the newline after it.
    private var isAtLineStart = true

    /// More tokens than any template has.
    private static let mostTokens = 1_000_000

    init(_ template: String) {
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(template.utf8.count)
        var followsReturn = false
        for scalar in template.unicodeScalars {
            if scalar == "\n", followsReturn {
                followsReturn = false
                continue
            }
            followsReturn = scalar == "\r"
            scalars.append(followsReturn ? "\n" : scalar)
        }
        if scalars.last == "\n" { scalars.removeLast() }
        source = scalars
    }

    /// All tokens, the last of which is `end`.
    mutating func run() throws(TemplateError) -> [TemplateToken] {
        while index < source.count { try lexTextAndTag() }
        tokens.append(TemplateToken(kind: .end, line: line))
        return tokens
    }

    private func failure(_ message: String) -> TemplateError {
        TemplateError(.syntax, message, line: line)
    }

    private mutating func append(_ kind: TemplateToken.Kind) throws(TemplateError) {
        guard tokens.count < Self.mostTokens else { throw failure("the template is too long") }
        tokens.append(TemplateToken(kind: kind, line: line))
    }

    private func starts(_ text: String, at position: Int) -> Bool {
        var position = position
        for scalar in text.unicodeScalars {
            guard position < source.count, source[position] == scalar else { return false }
            position += 1
        }
        return true
    }

    private mutating func advance(to end: Int) {
        while index < end {
            if source[index] == "\n" { line += 1 }
            index += 1
        }
    }

    private mutating func lexTextAndTag() throws(TemplateError) {
        let start = index
        var open = start
        while open < source.count {
            if source[open] == "{", open + 1 < source.count, "{%#".unicodeScalars.contains(source[open + 1]) { break }
            open += 1
        }
        var text = source[start..<open]
        guard open < source.count else {
            try appendText(text)
            advance(to: open)
            return
        }
        let sign = open + 2 < source.count ? source[open + 2] : " "
        let isOutput = source[open + 1] == "{"
        if sign == "-" {
            while let last = text.last, PythonText.isSpace(last) { text.removeLast() }
        } else if sign != "+", !isOutput {
            let lineStart = text.lastIndex(of: "\n").map { $0 + 1 }
            if lineStart != nil || isAtLineStart {
                let from = lineStart ?? text.startIndex
                if text[from...].allSatisfy(PythonText.isSpace) { text = text[..<from] }
            }
        }
        try appendText(text)
        advance(to: open)
        let hasSign = sign == "-" || sign == "+" && !isOutput
        switch source[open + 1] {
        case "#": try lexComment()
        case "%" where rawTagEnd(at: open, name: "raw") != nil: try lexRaw(open)
        case "%":
            try append(.blockBegin)
            advance(to: open + (hasSign ? 3 : 2))
            try lexExpression(closing: "%}", .blockEnd)
        default:
            try append(.outputBegin)
            advance(to: open + (hasSign ? 3 : 2))
            try lexExpression(closing: "}}", .outputEnd)
        }
    }

    private mutating func appendText(_ text: ArraySlice<Unicode.Scalar>) throws(TemplateError) {
        guard !text.isEmpty else { return }
        var string = ""
        string.unicodeScalars.append(contentsOf: text)
        try append(.text(string))
    }

    private mutating func lexComment() throws(TemplateError) {
        var close = index + 2
        while close < source.count, !starts("#}", at: close) { close += 1 }
        guard close < source.count else { throw failure("Missing end of comment tag") }
        finishTag(at: close, closing: "#}")
    }

    /// Skips the end of a tag, with its whitespace control, and the white space or newline that it removes.
    private mutating func finishTag(at close: Int, closing: String) {
        let sign = close > 0 ? source[close - 1] : " "
        var end = close + 2
        if sign == "-" {
            while end < source.count, PythonText.isSpace(source[end]) { end += 1 }
        } else if closing != "}}", sign != "+", end < source.count, source[end] == "\n" {
            end += 1
        }
        advance(to: end)
        isAtLineStart = end > 0 && source[end - 1] == "\n"
    }

    /// The end of a tag with only a name, and its whitespace control.
    private func rawTagEnd(at open: Int, name: String) -> Int? {
        var position = open + 2
        if position < source.count, source[position] == "-" || source[position] == "+" { position += 1 }
        while position < source.count, PythonText.isSpace(source[position]) { position += 1 }
        guard starts(name, at: position) else { return nil }
        position += name.unicodeScalars.count
        while position < source.count, PythonText.isSpace(source[position]) { position += 1 }
        if position < source.count, source[position] == "-" || name == "endraw" && source[position] == "+" {
            position += 1
        }
        return starts("%}", at: position) ? position : nil
    }

    private mutating func lexRaw(_ open: Int) throws(TemplateError) {
        guard let close = rawTagEnd(at: open, name: "raw") else { return }
        var start = close + 2
        if source[close - 1] == "-" { while start < source.count, PythonText.isSpace(source[start]) { start += 1 } }
        var end = start
        while end < source.count, !(starts("{%", at: end) && rawTagEnd(at: end, name: "endraw") != nil) { end += 1 }
        guard end < source.count, let last = rawTagEnd(at: end, name: "endraw") else {
            throw failure("Missing end of raw directive")
        }
        var text = source[start..<end]
        if source[end + 2] == "-" {
            while let scalar = text.last, PythonText.isSpace(scalar) { text.removeLast() }
        } else if source[end + 2] != "+" {
            let from = text.lastIndex(of: "\n").map { $0 + 1 } ?? text.endIndex
            if text[from...].allSatisfy(PythonText.isSpace) { text = text[..<from] }
        }
        try appendText(text)
        advance(to: end)
        finishTag(at: last, closing: "%}")
    }

    private mutating func lexExpression(closing: String, _ end: TemplateToken.Kind) throws(TemplateError) {
        var open: [Unicode.Scalar] = []
        while true {
            while index < source.count, PythonText.isSpace(source[index]) { advance(to: index + 1) }
            guard index < source.count else { throw failure("the tag is not closed; expected '\(closing)'") }
            if open.isEmpty {
                let sign = source[index] == "-" || source[index] == "+" && closing == "%}" ? 1 : 0
                if starts(closing, at: index + sign) {
                    try append(end)
                    finishTag(at: index + sign, closing: closing)
                    return
                }
            }
            try lexToken(&open)
        }
    }

    private static let symbols = [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".", ",", ":", "|", "(", ")",
        "[", "]",
        "{", "}", ";",
    ]

    private mutating func lexToken(_ open: inout [Unicode.Scalar]) throws(TemplateError) {
        let scalar = source[index]
        if scalar == "'" || scalar == "\"" { return try lexString(scalar) }
        if ("0"..."9").contains(scalar) { return try lexNumber() }
        if scalar == "_" || scalar.properties.isXIDStart {
            var end = index
            while end < source.count, source[end] == "_" || source[end].properties.isXIDContinue { end += 1 }
            try append(.name(PythonText.string(source[index..<end])))
            return advance(to: end)
        }
        guard let symbol = Self.symbols.first(where: { starts($0, at: index) }) else {
            throw failure("unexpected character '\(scalar)'")
        }
        switch symbol {
        case "(": open.append(")")
        case "[": open.append("]")
        case "{": open.append("}")
        case ")", "]", "}":
            guard let expected = open.popLast() else { throw failure("unexpected '\(symbol)'") }
            guard String(expected) == symbol else { throw failure("unexpected '\(symbol)', expected '\(expected)'") }
        default: break
        }
        try append(.symbol(symbol))
        advance(to: index + symbol.unicodeScalars.count)
    }

    private mutating func lexString(_ quote: Unicode.Scalar) throws(TemplateError) {
        var end = index + 1
        while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
        guard end < source.count else { throw failure("the string is not closed") }
        let raw = source[(index + 1)..<end]
        guard let text = PythonText.unescaped(raw) else { throw failure("the string holds a malformed escape") }
        try append(.string(text))
        advance(to: end + 1)
    }

    private mutating func lexNumber() throws(TemplateError) {
        var end = index
        func isDigit(_ position: Int) -> Bool {
            position < source.count && (("0"..."9").contains(source[position]) || source[position] == "_")
        }
        if source[index] == "0", index + 1 < source.count,
            let radix = ["x": 16, "o": 8, "b": 2][PythonText.lower(source[index + 1])]
        {
            end = index + 2
            while end < source.count, source[end].properties.isASCIIHexDigit || source[end] == "_" { end += 1 }
            let digits = PythonText.string(source[(index + 2)..<end]).filter { $0 != "_" }
            guard let value = Int(digits, radix: radix) else { throw failure("the number is malformed or too large") }
            try append(.integer(value))
            return advance(to: end)
        }
        while isDigit(end) { end += 1 }
        var isDouble = false
        if end < source.count, source[end] == ".", isDigit(end + 1), source[end + 1] != "_" {
            isDouble = true
            end += 1
            while isDigit(end) { end += 1 }
        }
        if end < source.count, PythonText.lower(source[end]) == "e" {
            var digits = end + 1
            if digits < source.count, source[digits] == "+" || source[digits] == "-" { digits += 1 }
            if isDigit(digits), source[digits] != "_" {
                isDouble = true
                end = digits
                while isDigit(end) { end += 1 }
            }
        }
        let digits = PythonText.string(source[index..<end]).filter { $0 != "_" }
        if isDouble, let value = Double(digits) {
            try append(.double(value))
        } else if let value = Int(digits) {
            try append(.integer(value))
        } else {
            // Leading zeros do not make a number large.
            let significant = digits.drop { $0 == "0" }
            try append(Int(significant).map { .integer($0) } ?? .largeInteger(String(significant)))
        }
        advance(to: end)
    }
}
