/// Reads the wire format of Protocol Buffers, field by field.
struct ProtobufReader {
    /// The value of one field.
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64(UInt64)
        case bytes(ArraySlice<UInt8>)
    }

    private var rest: ArraySlice<UInt8>
    private let name: String

    init(_ bytes: ArraySlice<UInt8>, name: String) {
        rest = bytes
        self.name = name
    }

    private func truncated() -> TokenizerError {
        TokenizerError(.badFile, "the protobuf message '\(name)' ends in the middle of a field")
    }

    /// The next field, or nil at the end.
    mutating func next() throws(TokenizerError) -> (number: UInt64, value: Value)? {
        guard !rest.isEmpty else { return nil }
        let tag = try varint()
        switch tag & 7 {
        case 0:
            return (tag >> 3, .varint(try varint()))
        case 1:
            return (tag >> 3, .fixed64(try fixed(8)))
        case 2:
            let length = try varint()
            guard length <= UInt64(rest.count) else { throw truncated() }
            let bytes = rest.prefix(Int(length))
            rest = rest.dropFirst(Int(length))
            return (tag >> 3, .bytes(bytes))
        case 5:
            return (tag >> 3, .fixed32(UInt32(truncatingIfNeeded: try fixed(4))))
        default:
            throw TokenizerError(
                .badFile,
                "the protobuf message '\(name)' has a field of the unknown wire type \(tag & 7)"
            )
        }
    }

    private mutating func varint() throws(TokenizerError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = rest.popFirst() {
            guard shift < 64 else {
                throw TokenizerError(.badFile, "the protobuf message '\(name)' has a number of more than 64 bits")
            }
            value |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
            shift += 7
        }
        throw truncated()
    }

    private mutating func fixed(_ count: Int) throws(TokenizerError) -> UInt64 {
        guard rest.count >= count else { throw truncated() }
        var value: UInt64 = 0
        for (index, byte) in rest.prefix(count).enumerated() { value |= UInt64(byte) << UInt64(8 * index) }
        rest = rest.dropFirst(count)
        return value
    }
}

extension ProtobufReader.Value {
    var bool: Bool? { integer.map { $0 != 0 } }

    var integer: Int? {
        if case .varint(let value) = self { return Int(truncatingIfNeeded: value) }
        return nil
    }

    var float: Float? {
        if case .fixed32(let value) = self { return Float(bitPattern: value) }
        return nil
    }

    var bytes: ArraySlice<UInt8>? {
        if case .bytes(let value) = self { return value }
        return nil
    }
}
