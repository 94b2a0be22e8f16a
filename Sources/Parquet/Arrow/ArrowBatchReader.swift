import CCompression

/// Assembles the buffers of a batch to columns.
struct ArrowBatchReader {
    let file: FileBytes
    let limits: ParquetLimits
    let dictionaries: [Int64: [ArrowMessage]]
    /// The columns of the schema, for the types of dictionaries.
    let fields: [ArrowField]
    private var known: [Int64: [ArrowColumn]] = [:]
    private var open: Set<Int64> = []

    init(file: FileBytes, limits: ParquetLimits, dictionaries: [Int64: [ArrowMessage]], fields: [ArrowField]) {
        self.file = file
        self.limits = limits
        self.dictionaries = dictionaries
        self.fields = fields
    }

    /// The nodes and buffers of a batch that are not assigned to a column yet.
    private struct Rest {
        var nodes: ArraySlice<(first: Int64, second: Int64)>
        var buffers: ArraySlice<(first: Int64, second: Int64)>
        let body: UnsafeRawBufferPointer
        /// Whether each buffer begins with its unpacked length and is compressed.
        let isCompressed: Bool
        var unpackedBytes = 0
    }

    /// The columns of a message with a batch, or with a dictionary as the one column.
    mutating func columns(of message: ArrowMessage, fields: [ArrowField]) throws(ParquetError) -> [ArrowColumn] {
        let header = try message.header(in: file.buffer)
        let batch: FlatTable
        if case .dictionary = message.kind {
            guard let data = try header.table(1) else { throw ParquetError("a dictionary has no values") }
            batch = data
        } else {
            batch = header
        }
        let compression = try batch.table(3)
        if let compression, try compression.number(0, default: UInt8(0)) != 1 {
            throw ParquetError(
                "its batches are compressed with LZ4, which is not supported; write the data with to_parquet"
            )
        }
        var rest = Rest(
            nodes: try batch.pairs(1)[...],
            buffers: try batch.pairs(2)[...],
            body: UnsafeRawBufferPointer(rebasing: file.buffer[message.body]),
            isCompressed: compression != nil
        )
        let count = try batch.number(0, default: Int64(0))
        var columns: [ArrowColumn] = []
        for field in fields {
            let column = try column(field, &rest)
            guard column.count >= count else {
                throw ParquetError("the column \(field.name) has \(column.count) values for \(count) rows")
            }
            columns.append(column)
        }
        return columns
    }

    private mutating func column(_ field: ArrowField, _ rest: inout Rest) throws(ParquetError) -> ArrowColumn {
        guard let node = rest.nodes.popFirst() else { throw ParquetError("a batch has fewer columns than the schema") }
        guard node.first >= 0, node.first <= Int64(Int32.max) * 64 else {
            throw ParquetError("the column \(field.name) has \(node.first) values")
        }
        let count = Int(node.first)
        var column = ArrowColumn(field: field, count: count, file: file)
        if case .null = field.layout, field.dictionary == nil { return column }
        let validity = try buffer(&rest)
        if node.second != 0 {
            guard validity.bytes.count >= (count + 7) / 8 else {
                throw ParquetError("the column \(field.name) has too few bits that tell its nulls")
            }
            column.validity = validity
        }
        if let dictionary = field.dictionary {
            column.values = try buffer(&rest)
            try column.check(width: dictionary.bytes)
            column.dictionary = try dictionaryColumns(dictionary.id, field)
            return column
        }
        switch field.layout {
        case .null: break
        case .bool:
            column.values = try buffer(&rest)
            guard column.values.bytes.count >= (count + 7) / 8 else {
                throw ParquetError("the column \(field.name) has too few bytes")
            }
        case .int(let bytes, _), .float(let bytes), .fixedBytes(let bytes), .unsupported(_, let bytes):
            column.values = try buffer(&rest)
            try column.check(width: bytes)
        case .bytes(_, let isLarge):
            column.offsets = try buffer(&rest)
            column.values = try buffer(&rest)
            try column.checkOffsets(isLarge: isLarge)
        case .list(let isLarge):
            column.offsets = try buffer(&rest)
            try column.checkOffsets(isLarge: isLarge)
            column.children = [try self.column(field.children[0], &rest)]
        case .fixedList, .structure:
            for child in field.children { column.children.append(try self.column(child, &rest)) }
        }
        return column
    }

    /// The values of a dictionary, in parts.
    private mutating func dictionaryColumns(_ id: Int64, _ field: ArrowField) throws(ParquetError) -> [ArrowColumn] {
        if let columns = known[id] { return columns }
        guard let messages = dictionaries[id] else { throw ParquetError("the dictionary of \(field.name) is missing") }
        guard open.insert(id).inserted else { throw ParquetError("the dictionary of \(field.name) contains itself") }
        defer { open.remove(id) }
        var columns: [ArrowColumn] = []
        for message in messages { columns += try self.columns(of: message, fields: [field.withoutDictionary]) }
        known[id] = columns
        return columns
    }

    private func buffer(_ rest: inout Rest) throws(ParquetError) -> ArrowBuffer {
        guard let (offset, count) = rest.buffers.popFirst() else { throw ParquetError("a batch has too few buffers") }
        guard offset >= 0, count >= 0, offset <= rest.body.count, count <= rest.body.count - Int(offset) else {
            throw ParquetError(
                "a buffer of \(count) bytes at \(offset) is outside of its batch of \(rest.body.count) bytes"
            )
        }
        let bytes = UnsafeRawBufferPointer(rebasing: rest.body[Int(offset)..<Int(offset + count)])
        guard rest.isCompressed, count > 0 else { return ArrowBuffer(bytes: bytes, owner: file) }
        guard count >= 8 else { throw ParquetError("a compressed buffer has \(count) bytes") }
        let size = Int64(littleEndian: bytes.loadUnaligned(as: Int64.self))
        let packed = UnsafeRawBufferPointer(rebasing: bytes[8...])
        if size == -1 { return ArrowBuffer(bytes: packed, owner: file) }
        let mostBytes = limits.bytes(ofPacked: rest.body.count)
        guard size >= 0, size <= mostBytes - rest.unpackedBytes else {
            throw ParquetError(
                "a batch of \(rest.body.count) bytes has more than \(mostBytes) bytes once it is unpacked"
            )
        }
        rest.unpackedBytes += Int(size)
        // One byte more, so that there is an address even where there is no content.
        let unpacked = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(size) + 1, alignment: 16)
        let owner = FileBytes(adopting: unpacked)
        let output = unpacked.bindMemory(to: UInt8.self).baseAddress
        guard ccomp_zstd(packed.bindMemory(to: UInt8.self).baseAddress, packed.count, output, Int(size)) == 1 else {
            throw ParquetError("a compressed buffer is damaged")
        }
        return ArrowBuffer(bytes: UnsafeRawBufferPointer(rebasing: owner.buffer[..<Int(size)]), owner: owner)
    }
}

/// Bytes with what keeps them in memory.
struct ArrowBuffer {
    let bytes: UnsafeRawBufferPointer
    let owner: FileBytes

    static func none(_ owner: FileBytes) -> ArrowBuffer {
        ArrowBuffer(bytes: UnsafeRawBufferPointer(start: nil, count: 0), owner: owner)
    }
}

extension ArrowField {
    /// The field of a dictionary's values.
    var withoutDictionary: ArrowField { ArrowField(name: name, layout: layout, children: children, dictionary: nil) }

    private init(name: String, layout: Layout, children: [ArrowField], dictionary: (Int64, Int, Bool)?) {
        self.name = name
        self.layout = layout
        self.children = children
        self.dictionary = dictionary.map { (id: $0.0, bytes: $0.1, isSigned: $0.2) }
    }
}
