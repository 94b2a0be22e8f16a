extension TemplateValue {
    /// What Python's `str` gives.
    var printed: String {
        switch self {
        case .undefined: ""
        case .string(let text), .markup(let text): text
        default: represented
        }
    }

    /// What Python's `repr` gives.
    var represented: String {
        switch self {
        case .undefined: return "Undefined"
        case .none: return "None"
        case .bool(let value): return value ? "True" : "False"
        case .integer(let value): return String(value)
        case .double(let value): return Self.printed(value)
        case .string(let text): return Self.quoted(text)
        case .markup(let text): return "Markup(\(Self.quoted(text)))"
        case .list(let list): return "[" + list.elements.map(\.represented).joined(separator: ", ") + "]"
        case .tuple(let list):
            let inner = list.elements.map(\.represented).joined(separator: ", ")
            return list.elements.count == 1 ? "(\(inner),)" : "(\(inner))"
        case .dictionary(let dictionary):
            let inner = dictionary.entries.map { "\($0.key.represented): \($0.value.represented)" }
            return "{" + inner.joined(separator: ", ") + "}"
        case .namespace(let namespace):
            let inner = namespace.values.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { name, value in
                "\(Self.quoted(String(decoding: name, as: UTF8.self))): \(value.represented)"
            }
            return "<Namespace {\(inner.joined(separator: ", "))}>"
        case .loop(let loop): return "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .macro(let macro): return "<Macro '\(macro.definition.name)'>"
        case .function(let name): return "<function \(name)>"
        }
    }

    /// The start of what `repr` gives, for an error's message.
    var brief: String {
        guard let text else { return size > 100 ? "of type '\(typeName)'" : represented }
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

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
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
