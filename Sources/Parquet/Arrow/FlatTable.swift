/// A table of a FlatBuffer, of which every offset is checked before it is followed.
///
/// The format: https://flatbuffers.dev/internals/
struct FlatTable {
    private let bytes: UnsafeRawBufferPointer
    private let start: Int
    /// The position of the fields' offsets, and their number of bytes.
    private let directory: Int
    private let directoryBytes: Int

    /// The root of a buffer.
    ///
    /// - Parameter bytes: Have to outlive the table.
    /// - Throws: `ParquetError` when it points outside of the bytes.
    init(root bytes: UnsafeRawBufferPointer) throws(ParquetError) {
        try self.init(bytes, at: Int(Self.number(bytes, at: 0, UInt32.self)))
    }

    private init(_ bytes: UnsafeRawBufferPointer, at start: Int) throws(ParquetError) {
        self.bytes = bytes
        self.start = start
        let back = Int(try Self.number(bytes, at: start, Int32.self))
        directory = start - back
        directoryBytes = Int(try Self.number(bytes, at: directory, UInt16.self))
    }

    private static func number<Number: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer,
        at offset: Int,
        _ type: Number.Type
    ) throws(ParquetError) -> Number {
        guard offset >= 0, offset <= bytes.count - MemoryLayout<Number>.size else {
            throw ParquetError("its metadata points outside of itself")
        }
        return Number(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// The position of a field; nil if the table does not have it.
    private func place(_ field: Int) throws(ParquetError) -> Int? {
        guard 4 + 2 * field + 2 <= directoryBytes else { return nil }
        let offset = Int(try Self.number(bytes, at: directory + 4 + 2 * field, UInt16.self))
        return offset == 0 ? nil : start + offset
    }

    private func target(_ field: Int) throws(ParquetError) -> Int? {
        guard let position = try place(field) else { return nil }
        return position + Int(try Self.number(bytes, at: position, UInt32.self))
    }

    /// A number; the default where the table does not have it.
    func number<Number: FixedWidthInteger>(_ field: Int, default value: Number) throws(ParquetError) -> Number {
        guard let position = try place(field) else { return value }
        return try Self.number(bytes, at: position, Number.self)
    }

    /// A table.
    func table(_ field: Int) throws(ParquetError) -> FlatTable? {
        guard let position = try target(field) else { return nil }
        return try FlatTable(bytes, at: position)
    }

    /// A text.
    func text(_ field: Int) throws(ParquetError) -> String? {
        guard let (start, count) = try vector(field, width: 1) else { return nil }
        return String(decoding: bytes[start..<start + count], as: UTF8.self)
    }

    /// The tables of a list.
    func tables(_ field: Int) throws(ParquetError) -> [FlatTable] {
        guard let (start, count) = try vector(field, width: 4) else { return [] }
        var tables: [FlatTable] = []
        for index in 0..<count {
            let position = start + 4 * index
            tables.append(try FlatTable(bytes, at: position + Int(Self.number(bytes, at: position, UInt32.self))))
        }
        return tables
    }

    /// The pairs of 64-bit integers of a list of such structures.
    func pairs(_ field: Int) throws(ParquetError) -> [(first: Int64, second: Int64)] {
        guard let (start, count) = try vector(field, width: 16) else { return [] }
        var pairs: [(Int64, Int64)] = []
        for index in 0..<count {
            let position = start + 16 * index
            pairs.append(
                (
                    try Self.number(bytes, at: position, Int64.self),
                    try Self.number(bytes, at: position + 8, Int64.self)
                )
            )
        }
        return pairs
    }

    private func vector(_ field: Int, width: Int) throws(ParquetError) -> (start: Int, count: Int)? {
        guard let position = try target(field) else { return nil }
        let count = Int(try Self.number(bytes, at: position, UInt32.self))
        guard count <= (bytes.count - position - 4) / width else {
            throw ParquetError("its metadata has a list longer than itself")
        }
        return (position + 4, count)
    }
}
