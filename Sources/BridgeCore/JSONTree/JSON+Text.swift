import CJSONC
import Glibc

extension JSON {
    /// The deepest nesting that is read.
    public static let maximumDepth = 64

    /// The approximate limit of memory for the values of one text, or twice the bytes of the text if that is more.
    public static let maximumMemory = 256 << 20

    /// Reads JSON text.
    ///
    /// - Throws: `JSONError` for anything that RFC 8259 does not allow, for text that is not UTF-8, for a duplicate key
    ///   in one object, for nesting deeper than ``maximumDepth``, and for more values than ``maximumMemory`` holds.
    public init(parsing text: [UInt8]) throws(JSONError) {
        try self.init(parsing: text, maximumMemory: max(Self.maximumMemory, 2 * text.count))
    }

    /// Reads JSON text whose values may take only so much memory.
    ///
    /// - Throws: `JSONError` as ``init(parsing:)`` does.
    public init(parsing text: [UInt8], maximumMemory: Int) throws(JSONError) {
        var parser = JSONParser(text, maximumDepth: Self.maximumDepth, maximumMemory: maximumMemory)
        self = try parser.value()
        try parser.finish()
    }

    /// The text on one line without spaces.
    public var compactText: String { String(decoding: text(pretty: false), as: UTF8.self) }

    /// The text in UTF-8: one line without spaces, or indented by two spaces with a line break at the end.
    public func text(pretty: Bool = true) -> [UInt8] {
        let isCoded = hasNullInKey
        let root = cValue(isCoded: isCoded)
        defer { json_object_put(root) }
        let layout = pretty ? JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED : JSON_C_TO_STRING_PLAIN
        var length = 0
        let flags = Int32(layout | JSON_C_TO_STRING_NOSLASHESCAPE)
        guard let text = json_object_to_json_string_length(root, flags, &length) else { return [] }
        let written = [UInt8](UnsafeRawBufferPointer(start: text, count: length))
        let bytes = isCoded ? JSONEscapes.document(written) : written
        return pretty ? bytes + [UInt8(ascii: "\n")] : bytes
    }

    private var hasNullInKey: Bool {
        switch self {
        case .array(let items): items.contains(where: \.hasNullInKey)
        case .object(let object): object.contains { $0.key.utf8.contains(0) || $0.value.hasNullInKey }
        default: false
        }
    }

    /// A new json-c value that the caller owns.
    private func cValue(isCoded: Bool) -> OpaquePointer? {
        switch self {
        case .null: return nil
        case .bool(let value): return json_object_new_boolean(value ? 1 : 0)
        case .number(let number):
            if let integer = Int64(number.text), String(integer) == number.text {
                return json_object_new_int64(integer)
            }
            return json_object_new_double_s(number.double, number.text)
        case .string(let value):
            var value = isCoded ? JSONEscapes.coded(value) : value
            return value.withUTF8 { bytes in
                bytes.withMemoryRebound(to: CChar.self) {
                    json_object_new_string_len($0.baseAddress, Int32($0.count))
                }
            }
        case .array(let items):
            let array = json_object_new_array()
            for item in items { json_object_array_add(array, item.cValue(isCoded: isCoded)) }
            return array
        case .object(let members):
            let object = json_object_new_object()
            // json-c would write the closing brace of an empty object on a separate line.
            if members.isEmpty {
                json_object_set_serializer(object, { _, buffer, _, _ in printbuf_memappend(buffer, "{}", 2) }, nil, nil)
            }
            for (key, value) in members {
                let key = isCoded ? JSONEscapes.coded(key) : key
                json_object_object_add(object, key, value.cValue(isCoded: isCoded))
            }
            return object
        }
    }
}
