extension TemplateValue {
    /// The text of Python's `str`.
    var printed: String {
        switch self {
        case .undefined: ""
        case .string(let text), .markup(let text): text
        default: represented(limit: .max) ?? ""
        }
    }

    /// The text of Python's `repr`; nil if it is longer than `limit` bytes by more than one string.
    ///
    /// A list may refer to one value many times, so the text can be longer than all the memory there is.
    func represented(limit: Int) -> String? {
        var text = ""
        return represent(in: &text, limit: limit) ? text : nil
    }

    /// Appends what `repr` gives; false where it is too much.
    private func represent(in text: inout String, limit: Int) -> Bool {
        func list(_ elements: [TemplateValue]) -> Bool {
            for (index, element) in elements.enumerated() {
                if index > 0 { text += ", " }
                guard element.represent(in: &text, limit: limit) else { return false }
            }
            return true
        }
        switch self {
        case .undefined: text += "Undefined"
        case .none: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .integer(let value): text += String(value)
        case .largeInteger(let digits): text += digits
        case .double(let value): text += Self.printed(value)
        case .string(let string): text += Self.quoted(string)
        case .markup(let string): text += "Markup(\(Self.quoted(string)))"
        case .list(let items):
            text += "["
            guard list(items.elements) else { return false }
            text += "]"
        case .tuple(let items):
            text += "("
            guard list(items.elements) else { return false }
            text += items.elements.count == 1 ? ",)" : ")"
        case .dictionary(let dictionary):
            text += "{"
            for (index, entry) in dictionary.entries.enumerated() {
                if index > 0 { text += ", " }
                guard entry.key.represent(in: &text, limit: limit) else { return false }
                text += ": "
                guard entry.value.represent(in: &text, limit: limit) else { return false }
            }
            text += "}"
        case .namespace(let namespace):
            text += "<Namespace {"
            let entries = namespace.values.sorted { $0.key.lexicographicallyPrecedes($1.key) }
            for (index, entry) in entries.enumerated() {
                if index > 0 { text += ", " }
                text += Self.quoted(String(decoding: entry.key, as: UTF8.self)) + ": "
                guard entry.value.represent(in: &text, limit: limit) else { return false }
            }
            text += "}>"
        case .loop(let loop): text += "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .macro(let macro): text += "<Macro '\(macro.definition.name)'>"
        case .function(let name): text += "<function \(name)>"
        case .iterator: text += "<\(typeName)>"
        }
        return text.utf8.count <= limit
    }

    /// The start of what `repr` gives, for an error's message.
    var brief: String {
        guard let text else { return size > 100 ? "of type '\(typeName)'" : printed }
        let start = text.unicodeScalars.prefix(60)
        return Self.quoted(String(start) + (start.endIndex == text.endIndex ? "" : "…"))
    }

    /// Python's form of a floating-point number: the shortest that reads back, with an exponent outside of 1e-4 to 1e16.
    static func printed(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        // Swift's form has the same digits; only the notation differs.
        let shortest = "\(value)"
        let isNegative = shortest.hasPrefix("-")
        let parts = shortest.drop { $0 == "-" }.split(separator: "e")
        let mantissa = parts.first ?? "0"
        let fraction = mantissa.split(separator: ".", omittingEmptySubsequences: false)
        let whole = String(fraction.first ?? "0")
        var digits = whole + (fraction.count > 1 ? String(fraction[1]) : "")
        var point = whole.count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        let leading = digits.prefix { $0 == "0" }.count
        if leading == digits.count { return isNegative ? "-0.0" : "0.0" }
        digits.removeFirst(leading)
        point -= leading
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        let sign = isNegative ? "-" : ""
        if point > 16 || point < -3 {
            let rest = digits.dropFirst()
            let exponent = point - 1
            let size = abs(exponent) < 10 ? "0\(abs(exponent))" : "\(abs(exponent))"
            return "\(sign)\(digits.prefix(1))\(rest.isEmpty ? "" : ".\(rest)")e\(exponent < 0 ? "-" : "+")\(size)"
        }
        if point <= 0 { return "\(sign)0.\(String(repeating: "0", count: -point))\(digits)" }
        if digits.count <= point { return "\(sign)\(digits)\(String(repeating: "0", count: point - digits.count)).0" }
        return "\(sign)\(digits.prefix(point)).\(digits.dropFirst(point))"
    }

    /// Python's form of a string with quotes.
    static func quoted(_ text: String) -> String {
        let hasSingle = text.utf8.contains(UInt8(ascii: "'"))
        let quote: Unicode.Scalar = hasSingle && !text.utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        var result = String(quote)
        for scalar in text.unicodeScalars {
            switch scalar {
            case quote, "\\":
                result.unicodeScalars.append("\\")
                result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if (0x20..<0x7F).contains(scalar.value) || isPrintable(scalar) {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += escaped(scalar)
                }
            }
        }
        result.unicodeScalars.append(quote)
        return result
    }

    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == " " { return true }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default:
            return true
        }
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        let value = scalar.value
        let digits = String(value, radix: 16)
        let (letter, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\\(letter)" + String(repeating: "0", count: width - digits.count) + digits
    }

    /// The number of bytes of a text after Markupsafe's escape.
    static func countEscapedForHTML(_ text: String) -> Int {
        text.utf8.reduce(0) { count, byte in
            switch byte {
            case UInt8(ascii: "<"), UInt8(ascii: ">"): count + 4
            case UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "\""): count + 5
            default: count + 1
            }
        }
    }

    /// Markupsafe's escape.
    static func escapedForHTML(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "'": result += "&#39;"
            case "\"": result += "&#34;"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
