internal import CJSONC
import Glibc

extension JSON {
    /// The deepest nesting that is read.
    public static let maximumDepth = 64

    /// Reads JSON text with json-c in its strict mode.
    ///
    /// - Throws: `JSONError` for anything that RFC 8259 does not allow, for text that is not UTF-8, for a key that stands
    ///   twice in one object and for nesting deeper than ``maximumDepth``.
    public init(parsing text: [UInt8]) throws(JSONError) {
        let scan = try JSONScanner(text, maximumDepth: Self.maximumDepth)
        guard text.count < Int(Int32.max) else { throw JSONError("more than 2 GiB of JSON", at: 0) }
        guard let tokener = json_tokener_new_ex(Int32(Self.maximumDepth + 2)) else {
            throw JSONError("no memory for a JSON reader", at: 0)
        }
        defer { json_tokener_free(tokener) }
        json_tokener_set_flags(tokener, Int32(JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8))
        let escapes = JSONEscapes(text)
        // The NUL at the end tells json-c that a number at the end of the text is complete.
        let root = (escapes.text + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { json_tokener_parse_ex(tokener, $0.baseAddress, Int32($0.count)) }
        }
        defer { json_object_put(root) }
        let status = json_tokener_get_error(tokener)
        let end = json_tokener_get_parse_end(tokener)
        guard status == json_tokener_success else {
            throw JSONError(String(cString: json_tokener_error_desc(status)), at: end)
        }
        if let rest = escapes.text.dropFirst(end).firstIndex(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) {
            throw JSONError("something follows the value", at: rest)
        }
        // json-c lets overlong forms and surrogates pass.
        guard String(validating: text, as: UTF8.self) != nil else {
            throw JSONError("text that is not UTF-8", at: Self.firstBadByte(in: text))
        }
        self = Self.value(of: root, escapes)
        guard memberCount == scan.memberCount else {
            throw JSONError("a key stands twice in one object, once written with an escape", at: 0)
        }
    }

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

    private static func firstBadByte(in text: [UInt8]) -> Int {
        var parser = Unicode.UTF8.ForwardParser()
        var bytes = text.makeIterator()
        var offset = 0
        while case .valid(let scalar) = parser.parseScalar(from: &bytes) { offset += scalar.count }
        return offset
    }

    private var memberCount: Int {
        switch self {
        case .array(let items): items.reduce(0) { $0 + $1.memberCount }
        case .object(let object): object.reduce(object.count) { $0 + $1.value.memberCount }
        default: 0
        }
    }

    private static func value(of object: OpaquePointer?, _ escapes: JSONEscapes) -> JSON {
        switch json_object_get_type(object) {
        case json_type_boolean: return .bool(json_object_get_boolean(object) != 0)
        case json_type_int, json_type_double:
            return .number(JSONNumber(text: String(cString: json_object_to_json_string(object))))
        case json_type_string:
            let count = Int(json_object_get_string_len(object))
            return .string(text(json_object_get_string(object), count, escapes))
        case json_type_array:
            return .array(
                (0..<json_object_array_length(object)).map { value(of: json_object_array_get_idx(object, $0), escapes) }
            )
        case json_type_object:
            var members = JSONObject()
            var entry = json_object_get_object(object)?.pointee.head
            while let current = entry {
                let key = current.pointee.k?.assumingMemoryBound(to: CChar.self)
                let name = text(key, key.map { strlen($0) } ?? 0, escapes)
                members[name] = value(of: OpaquePointer(current.pointee.v), escapes)
                entry = current.pointee.next
            }
            return .object(members)
        default: return .null
        }
    }

    private static func text(_ pointer: UnsafePointer<CChar>?, _ count: Int, _ escapes: JSONEscapes) -> String {
        guard let pointer else { return "" }
        return pointer.withMemoryRebound(to: UInt8.self, capacity: count) {
            escapes.reveal(UnsafeBufferPointer(start: $0, count: count))
        }
    }

    /// A new json-c value that the caller owns.
    private func cValue(isCoded: Bool) -> OpaquePointer? {
        switch self {
        case .null: return nil
        case .bool(let value): return json_object_new_boolean(value ? 1 : 0)
        case .number(let number):
            if let integer = Int64(number.text) { return json_object_new_int64(integer) }
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
            // json-c would put the closing brace of an empty object on a line of its own.
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
