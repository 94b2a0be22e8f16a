import Synchronization

/// A file of Arrow's record batches, as `datasets.save_to_disk` writes them: its rows in any order.
///
/// The file is mapped into memory, and a value is read where it is; of a compressed batch the buffers are unpacked and kept
/// until another batch is read. The format: https://arrow.apache.org/docs/format/Columnar.html
public final class ArrowFile: Sendable {
    /// A batch in the file, with the dictionaries that hold for it.
    private struct Entry: Sendable {
        let rows: Range<Int>
        let message: ArrowMessage
        let dictionaries: [Int64: [ArrowMessage]]
    }

    // No reference to it leaves the lock.
    private struct Cache {
        var batch: (index: Int, columns: [ArrowColumn])?
    }

    private let file: FileBytes
    private let limits: ParquetLimits
    private let fields: [ArrowField]
    private let entries: [Entry]
    private let cache = Mutex(Cache())

    /// The number of rows of the file.
    public let rowCount: Int
    /// The names of the columns.
    public var columns: [String] { fields.map(\.name) }

    /// Opens a file and finds its batches.
    ///
    /// - Throws: `ParquetError` when the file cannot be read or is not an Arrow file.
    public convenience init(path: String, limits: ParquetLimits = ParquetLimits()) throws(ParquetError) {
        try self.init(FileBytes(path: path, least: 8), limits: limits)
    }

    /// Opens a file that is in memory.
    ///
    /// - Throws: `ParquetError` when it is not an Arrow file.
    public convenience init(bytes: [UInt8], limits: ParquetLimits = ParquetLimits()) throws(ParquetError) {
        try self.init(FileBytes(bytes), limits: limits)
    }

    private init(_ file: FileBytes, limits: ParquetLimits) throws(ParquetError) {
        self.file = file
        self.limits = limits
        let bytes = file.buffer
        // A file for random access is a stream after eight bytes, followed by a directory that is not needed.
        var position = bytes.count >= 8 && bytes[..<6].elementsEqual("ARROW1".utf8) ? 8 : 0
        guard let first = try ArrowMessage(bytes, at: position), case .schema = first.kind else {
            throw ParquetError("it does not begin with the schema of an Arrow stream")
        }
        let schema = try first.header(in: bytes)
        guard try schema.number(0, default: Int16(0)) == 0 else {
            throw ParquetError("its byte order is big-endian, which is not supported")
        }
        var fields: [ArrowField] = []
        for field in try schema.tables(1) { fields.append(try ArrowField(field)) }
        var entries: [Entry] = []
        var dictionaries: [Int64: [ArrowMessage]] = [:]
        var rows = 0
        position = first.end
        while let message = try ArrowMessage(bytes, at: position) {
            position = message.end
            switch message.kind {
            case .batch:
                let count = try message.header(in: bytes).number(0, default: Int64(0))
                let (end, overflow) = rows.addingReportingOverflow(Int(count))
                guard count >= 0, !overflow else { throw ParquetError("a batch has \(count) rows") }
                entries.append(Entry(rows: rows..<end, message: message, dictionaries: dictionaries))
                rows = end
            case .dictionary:
                let header = try message.header(in: bytes)
                let id = try header.number(0, default: Int64(0))
                let isDelta = try header.number(2, default: UInt8(0)) != 0
                dictionaries[id] = (isDelta ? dictionaries[id] ?? [] : []) + [message]
            case .schema: throw ParquetError("it has a second schema")
            }
        }
        self.fields = fields
        self.entries = entries
        rowCount = rows
    }

    /// The row of a number, as a structure of the columns.
    ///
    /// - Parameters:
    ///   - row: The number, from 0 on.
    ///   - columns: The names of the columns, in the order of the result; nil for all.
    /// - Returns: A structure.
    /// - Throws: `ParquetError` when there is no such row or column, or the batch is damaged.
    public func row(at row: Int, columns: [String]? = nil) throws(ParquetError) -> ParquetValue {
        guard row >= 0, row < rowCount else { throw ParquetError("row \(row) is requested, it has \(rowCount)") }
        var (low, high) = (0, entries.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if entries[middle].rows.lowerBound <= row { low = middle } else { high = middle }
        }
        let index = low
        let names = columns ?? self.columns
        return try cache.withLock { (cache) throws(ParquetError) in
            if cache.batch?.index != index {
                let entry = entries[index]
                var reader = ArrowBatchReader(
                    file: file,
                    limits: limits,
                    dictionaries: entry.dictionaries,
                    fields: fields
                )
                cache.batch = (index, try reader.columns(of: entry.message, fields: fields))
            }
            var budget = ArrowBudget(limits, fileBytes: file.buffer.count)
            var values: [ParquetValue.Field] = []
            for name in names {
                guard let position = fields.firstIndex(where: { $0.name == name }),
                    let column = cache.batch?.columns[position]
                else {
                    throw ParquetError("it has no column '\(name)'; it has \(self.columns.joined(separator: ", "))")
                }
                values.append(
                    .init(name: name, value: try column.value(at: row - entries[index].rows.lowerBound, &budget))
                )
            }
            return .structure(values)
        }
    }
}

/// A message of an Arrow stream: where its header and its body are.
struct ArrowMessage: Sendable {
    enum Kind: Sendable {
        case schema
        case dictionary
        case batch
    }

    let kind: Kind
    let header: Range<Int>
    let body: Range<Int>
    var end: Int { body.upperBound }

    /// The message at an offset; nil where the stream ends.
    init?(_ bytes: UnsafeRawBufferPointer, at start: Int) throws(ParquetError) {
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: bytes[min(start, bytes.count)...]))
        guard reader.remaining > 0 else { return nil }
        var length = try reader.number(Int32.self)
        // Before version 0.15 of Arrow there was no mark before the length.
        if length == -1 { length = try reader.number(Int32.self) }
        if length == 0 { return nil }
        guard length > 0, Int(length) <= reader.remaining else {
            throw ParquetError("a message has \(length) bytes of metadata where \(reader.remaining) are left")
        }
        header = start + reader.position..<start + reader.position + Int(length)
        let table = try FlatTable(root: UnsafeRawBufferPointer(rebasing: bytes[header]))
        let count = try table.number(3, default: Int64(0))
        guard count >= 0, count <= bytes.count - header.upperBound else {
            throw ParquetError(
                "it is truncated: a message has \(count) bytes where \(bytes.count - header.upperBound) are left"
            )
        }
        body = header.upperBound..<header.upperBound + Int(count)
        switch try table.number(1, default: UInt8(0)) {
        case 1: kind = .schema
        case 2: kind = .dictionary
        case 3: kind = .batch
        case let other: throw ParquetError("a message is of type \(other), expected a schema, a dictionary or a batch")
        }
    }

    /// The table of the message's own kind.
    func header(in bytes: UnsafeRawBufferPointer) throws(ParquetError) -> FlatTable {
        guard let table = try FlatTable(root: UnsafeRawBufferPointer(rebasing: bytes[header])).table(2) else {
            throw ParquetError("a message has no header")
        }
        return table
    }
}
