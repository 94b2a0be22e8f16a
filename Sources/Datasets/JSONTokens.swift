public import JSONTree

/// Structured data as a text that a model can learn to write, as Donut and Megatron Bridge have it.
///
/// An object with the one key `text_sequence` is that text; else its keys are written in descending order as
/// `<s_key>value</s_key>`. Elements of a list are joined by `<sep/>`, and other values are written as by Python's
/// `str`.
///
/// Source: `json2token` of `token_utils.py`, Megatron Bridge 0.3 and 0.7.
public func json2token(_ json: JSON) -> String {
    switch json {
    case .object(let object):
        if object.count == 1, let text = object["text_sequence"] { return pythonText(text) }
        // Python orders by code points; Swift's own order would compare canonical forms.
        return object.map { (key: $0.key, value: $0.value) }
            .sorted { $1.key.unicodeScalars.lexicographicallyPrecedes($0.key.unicodeScalars) }
            .map { "<s_\($0.key)>\(json2token($0.value))</s_\($0.key)>" }
            .joined()
    case .array(let elements): return elements.map { json2token($0) }.joined(separator: "<sep/>")
    default: return pythonText(json)
    }
}

/// The text of Python's `str` for a value that is neither a list nor an object.
private func pythonText(_ json: JSON) -> String {
    switch json {
    case .null: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .string(let text): return text
    case .number(let number):
        let isInteger = number.text.utf8.allSatisfy { (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") }
        if isInteger { return number.text == "-0" ? "0" : number.text }
        return number.double.isInfinite ? (number.double < 0 ? "-inf" : "inf") : number.double.description
    case .array, .object: return json2token(json)
    }
}
