import CJSONC
import Glibc

// To be replaced by the core's JSON tree in one step: everything that this module asks of JSON goes through `JSONValue`
// and `JSONValue.init(parsing:)`.

/// A parsed JSON document.
///
/// Objects keep their order and are searched byte by byte: Swift's strings compare equal when they are canonically
/// equivalent, and a vocabulary holds such pairs as different tokens.
enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([(key: String, value: JSONValue)])
}

extension JSONValue {
    /// The member of an object; the last one where the key occurs twice.
    subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }

    var string: String? {
        if case .string(let value) = self { return value }
        return nil
    }

    var integer: Int? {
        if case .integer(let value) = self { return value }
        return nil
    }

    var bool: Bool? {
        if case .bool(let value) = self { return value }
        return nil
    }

    var array: [JSONValue]? {
        if case .array(let value) = self { return value }
        return nil
    }

    var members: [(key: String, value: JSONValue)]? {
        if case .object(let value) = self { return value }
        return nil
    }

    var isNull: Bool {
        if case .null = self { return true }
        return false
    }

    /// What stands here, for an error message.
    var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .double: "a number"
        case .string: "a string"
        case .array: "a list"
        case .object: "an object"
        }
    }
}

extension JSONValue {
    /// Deeper nesting than any tokenizer file has; the parser stops there.
    static let deepestNesting: Int32 = 64

    /// Parses the bytes of a file.
    init(parsing bytes: [UInt8]) throws(TokenizerError) {
        let (source, hidesNull) = Self.rewritingEscapes(bytes)
        guard let parser = json_tokener_new_ex(Self.deepestNesting) else {
            throw TokenizerError(.badFile, "the JSON parser could not start: out of memory")
        }
        defer { json_tokener_free(parser) }
        let flags = JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8
        json_tokener_set_flags(parser, Int32(flags))
        // A closing zero ends numbers at the end of the text.
        let root = source.withUnsafeBytes { raw in
            json_tokener_parse_ex(parser, raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(raw.count))
        }
        defer { json_object_put(root) }
        let status = json_tokener_get_error(parser)
        guard status == json_tokener_success else {
            let text =
                status == json_tokener_continue ? "it ends too early" : String(cString: json_tokener_error_desc(status))
            let end = json_tokener_get_parse_end(parser)
            throw TokenizerError(.badFile, "is not valid JSON at byte \(end): \(text)")
        }
        self = Self.value(of: root, revealsNull: hidesNull)
    }

    private static func value(of node: OpaquePointer?, revealsNull: Bool) -> JSONValue {
        guard let node else { return .null }
        switch json_object_get_type(node) {
        case json_type_boolean:
            return .bool(json_object_get_boolean(node) != 0)
        case json_type_int:
            return .integer(Int(json_object_get_int64(node)))
        case json_type_double:
            return .double(json_object_get_double(node))
        case json_type_string:
            return .string(text(json_object_get_string(node), Int(json_object_get_string_len(node)), revealsNull))
        case json_type_array:
            let count = json_object_array_length(node)
            return .array((0..<count).map { value(of: json_object_array_get_idx(node, $0), revealsNull: revealsNull) })
        case json_type_object:
            var members: [(key: String, value: JSONValue)] = []
            members.reserveCapacity(Int(json_object_object_length(node)))
            var entry = json_object_get_object(node)?.pointee.head
            while let current = entry {
                let key = current.pointee.k?.assumingMemoryBound(to: CChar.self)
                let member = value(of: OpaquePointer(current.pointee.v), revealsNull: revealsNull)
                members.append((text(key, key.map { strlen($0) } ?? 0, revealsNull), member))
                entry = current.pointee.next
            }
            return .object(members)
        default:
            return .null
        }
    }
}

extension JSONValue {
    // json-c keeps keys as C strings, which end at U+0000. A vocabulary may hold that character, so its escape travels
    // through the parser as a noncharacter. And json-c 0.16 replaces one in thirty of the escaped pairs of surrogates by
    // U+FFFD, all whose scalar ends in D800 to DFFF; so pairs become the UTF-8 that they stand for.
    private static let standInEscape = Array("\\ufdd0".utf8)
    private static let standIn: [UInt8] = [0xEF, 0xB7, 0x90]

    /// The text with a closing zero and without the escapes that json-c does not read well.
    private static func rewritingEscapes(_ bytes: [UInt8]) -> (source: [UInt8], hidesNull: Bool) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + 1)
        var copied = 0
        var index = 0
        var hidesNull = false
        bytes.withUnsafeBufferPointer { source in
            while index < source.count {
                guard source[index] == UInt8(ascii: "\\") else {
                    index += 1
                    continue
                }
                guard let unit = escapedUnit(source, at: index) else {
                    index += 2
                    continue
                }
                if unit == 0 {
                    result.append(contentsOf: source[copied..<index])
                    result.append(contentsOf: standInEscape)
                    hidesNull = true
                    index += 6
                    copied = index
                } else if UTF16.isLeadSurrogate(unit), let low = escapedUnit(source, at: index + 6),
                    UTF16.isTrailSurrogate(low)
                {
                    let scalar = UTF16.decode(UTF16.EncodedScalar([unit, low]))
                    result.append(contentsOf: source[copied..<index])
                    result.append(contentsOf: String(scalar).utf8)
                    index += 12
                    copied = index
                } else {
                    index += 6
                }
            }
            result.append(contentsOf: source[copied...])
        }
        result.append(0)
        return (result, hidesNull)
    }

    /// The unit that `\uXXXX` at a place stands for.
    private static func escapedUnit(_ source: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt16? {
        guard index + 6 <= source.count, source[index] == UInt8(ascii: "\\"), source[index + 1] == UInt8(ascii: "u")
        else {
            return nil
        }
        let digits = source[(index + 2)..<(index + 6)]
        guard digits.first != UInt8(ascii: "+") else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self), radix: 16)
    }

    private static func text(_ pointer: UnsafePointer<CChar>?, _ length: Int, _ revealsNull: Bool) -> String {
        guard let pointer else { return "" }
        return pointer.withMemoryRebound(to: UInt8.self, capacity: length) { start in
            let bytes = UnsafeBufferPointer(start: start, count: length)
            guard revealsNull else { return String(decoding: bytes, as: UTF8.self) }
            var revealed: [UInt8] = []
            var index = 0
            while index < length {
                if index + 3 <= length, bytes[index..<index + 3].elementsEqual(standIn) {
                    revealed.append(0)
                    index += 3
                } else {
                    revealed.append(bytes[index])
                    index += 1
                }
            }
            return String(decoding: revealed, as: UTF8.self)
        }
    }
}
