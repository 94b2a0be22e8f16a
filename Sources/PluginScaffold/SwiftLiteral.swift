import JSONTree

/// JSON as Swift source.
enum SwiftLiteral {
    /// A literal of the type `JSON`, on one line.
    static func text(_ json: JSON) -> String {
        if let object = json.object {
            guard !object.isEmpty else { return ".object(JSONObject())" }
            return "[" + object.map { "\"\(escaped($0.key))\": \(text($0.value))" }.joined(separator: ", ") + "]"
        }
        if let array = json.array { return "[" + array.map(text).joined(separator: ", ") + "]" }
        if let string = json.string { return "\"\(escaped(string))\"" }
        return json.isNull ? "nil" : json.compactText
    }

    /// The members of an object, one on each line.
    static func lines(_ json: JSON) -> [String] {
        (json.object ?? JSONObject()).map { "\"\(escaped($0.key))\": \(text($0.value))," }
    }

    /// A text between quotation marks.
    static func escaped(_ text: String) -> String {
        text.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: "\\u{\(String(scalar.value, radix: 16))}"
            default: String(scalar)
            }
        }.joined()
    }
}
