import JSONTree

/// Python's `json.dumps` as transformers gives it to templates under `tojson`.
struct TemplateJSONWriter {
    var indent: Int?
    var itemSeparator = ", "
    var keySeparator = ": "
    var sortsKeys = false
    var escapesNonASCII = false
    /// The most bytes that may come out.
    var limit: Int

    private var output = ""

    init(limit: Int) {
        self.limit = limit
    }

    /// The JSON of a value, or nil where the limit is exceeded; throws for what JSON cannot say.
    mutating func write(_ value: TemplateValue) throws(TemplateError) -> String {
        output = ""
        try append(value, level: 0)
        return output
    }

    private var tooLong: TemplateError {
        TemplateError(.failure, "tojson makes more than \(limit) bytes")
    }

    private mutating func append(_ value: TemplateValue, level: Int) throws(TemplateError) {
        guard output.utf8.count <= limit else { throw tooLong }
        switch value {
        case .none: output += "null"
        case .bool(let flag): output += flag ? "true" : "false"
        case .integer(let number): output += String(number)
        case .largeInteger(let digits): output += digits
        case .double(let number):
            output +=
                number.isFinite
                ? TemplateValue.printed(number) : number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
        case .string(let text), .markup(let text): try appendQuoted(text)
        case .list(let list), .tuple(let list):
            try appendItems(list.elements, "[", "]", level: level) { (writer, element) throws(TemplateError) in
                try writer.append(element, level: level + 1)
            }
        case .dictionary(let dictionary):
            var entries = dictionary.entries
            if sortsKeys { entries.sort { $0.key.precedes($1.key) ?? false } }
            try appendItems(entries, "{", "}", level: level) { (writer, entry) throws(TemplateError) in
                try writer.appendKey(entry.key)
                writer.output += writer.keySeparator
                try writer.append(entry.value, level: level + 1)
            }
        default:
            throw TemplateError(.failure, "Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private mutating func appendItems<Item>(
        _ items: [Item],
        _ open: String,
        _ close: String,
        level: Int,
        _ body: (inout TemplateJSONWriter, Item) throws(TemplateError) -> Void
    ) throws(TemplateError) {
        output += open
        for (index, item) in items.enumerated() {
            if index > 0 { output += itemSeparator }
            appendNewline(level + 1)
            try body(&self, item)
        }
        if !items.isEmpty { appendNewline(level) }
        output += close
    }

    private mutating func appendNewline(_ level: Int) {
        guard let indent else { return }
        output += "\n" + String(repeating: " ", count: max(0, indent) * level)
    }

    private mutating func appendKey(_ key: TemplateValue) throws(TemplateError) {
        switch key {
        case .string(let text), .markup(let text): try appendQuoted(text)
        case .bool(let flag): output += flag ? "\"true\"" : "\"false\""
        case .none: output += "\"null\""
        case .integer, .largeInteger, .double: output += "\"\(key.printed)\""
        default:
            throw TemplateError(.failure, "keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    private mutating func appendQuoted(_ text: String) throws(TemplateError) {
        output += "\""
        for scalar in text.unicodeScalars {
            // An escape is longer than its character.
            guard output.utf8.count <= limit else { throw tooLong }
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\r": output += "\\r"
            case "\t": output += "\\t"
            case "\u{8}": output += "\\b"
            case "\u{c}": output += "\\f"
            default:
                if scalar.value < 0x20 || escapesNonASCII && scalar.value > 0x7E {
                    for unit in String(scalar).utf16 {
                        let digits = String(unit, radix: 16)
                        output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                    }
                } else {
                    output.unicodeScalars.append(scalar)
                }
            }
        }
        output += "\""
    }
}

extension ChatValue {
    /// The value as Python's `json.dumps(value, ensure_ascii=False)` writes it.
    ///
    /// - Parameter limit: The most bytes that are written.
    /// - Returns: The text.
    /// - Throws: `TemplateError` for a longer text.
    package func pythonJSON(limit: Int) throws(TemplateError) -> String {
        var writer = TemplateJSONWriter(limit: limit)
        return try writer.write(TemplateValue(self))
    }
}
