/// A value in Thrift's compact protocol, as the footer and the page headers hold them.
///
/// The protocol: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
enum ThriftValue {
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case binary([UInt8])
    case list([ThriftValue])
    case structure([Int: ThriftValue])

    /// Deeper than anything that Parquet defines.
    private static let maximumDepth = 24
    /// Longer than any name or key and value that is needed; page statistics may hold whole values, which are skipped.
    private static let maximumText = 1 << 24

    /// Reads a structure.
    init(structureFrom reader: inout ByteReader, depth: Int = 0) throws(ParquetError) {
        guard depth < Self.maximumDepth else { throw ParquetError("its metadata is nested too deeply") }
        var fields: [Int: ThriftValue] = [:]
        var id = 0
        while true {
            let head = try reader.byte()
            if head == 0 { break }
            if head >> 4 == 0 {
                id = Int(truncatingIfNeeded: try reader.zigzag())
            } else {
                id &+= Int(head >> 4)
            }
            guard (0...Int(Int16.max)).contains(id) else { throw ParquetError("its metadata has a field \(id)") }
            let value =
                switch head & 15 {
                case 1: ThriftValue.bool(true)
                case 2: ThriftValue.bool(false)
                default: try ThriftValue(type: head & 15, from: &reader, depth: depth + 1)
                }
            guard fields.updateValue(value, forKey: id) == nil else {
                throw ParquetError("its metadata has field \(id) twice")
            }
        }
        self = .structure(fields)
    }

    private init(type: UInt8, from reader: inout ByteReader, depth: Int) throws(ParquetError) {
        switch type {
        case 1, 2: self = .bool(try reader.byte() == 1)
        case 3: self = .int(Int64(Int8(bitPattern: try reader.byte())))
        case 4, 5, 6: self = .int(try reader.zigzag())
        case 7: self = .double(Double(bitPattern: try reader.number(UInt64.self)))
        case 8:
            let count = try reader.varint()
            guard let count = Int(exactly: count) else { throw ParquetError("a text of \(count) bytes is announced") }
            let bytes = try reader.take(count)
            self = .binary(count <= Self.maximumText ? Array(bytes) : [])
        case 9, 10:
            guard depth < Self.maximumDepth else { throw ParquetError("its metadata is nested too deeply") }
            let head = try reader.byte()
            let count = head >> 4 == 15 ? try reader.varint() : UInt64(head >> 4)
            // An element takes a byte at least.
            guard count <= UInt64(reader.remaining) else {
                throw ParquetError("a list of \(count) is announced where \(reader.remaining) bytes are left")
            }
            var values: [ThriftValue] = []
            for _ in 0..<count { values.append(try ThriftValue(type: head & 15, from: &reader, depth: depth + 1)) }
            self = .list(values)
        case 12: self = try ThriftValue(structureFrom: &reader, depth: depth)
        // Parquet has no maps (11) in its metadata.
        default: throw ParquetError("its metadata has a value of the unknown kind \(type)")
        }
    }

    /// The field of a structure.
    subscript(id: Int) -> ThriftValue? {
        guard case .structure(let fields) = self else { return nil }
        return fields[id]
    }

    var int: Int? { if case .int(let value) = self { Int(value) } else { nil } }
    var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    var list: [ThriftValue]? { if case .list(let value) = self { value } else { nil } }
    var text: String? { if case .binary(let value) = self { String(validating: value, as: UTF8.self) } else { nil } }

    /// A number that has to be there and must not be negative.
    func count(_ id: Int, _ what: String) throws(ParquetError) -> Int {
        guard let value = self[id]?.int, value >= 0 else {
            throw ParquetError("\(what) is \(self[id]?.int.map(String.init) ?? "missing"), expected a number from 0 on")
        }
        return value
    }
}
