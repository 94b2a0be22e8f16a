/// The footer of a file: schema, row groups and the offsets of their columns.
struct Footer: Sendable {
    struct Chunk: Sendable {
        let codec: Int
        let valueCount: Int
        let bytes: Range<Int>
    }

    struct Group: Sendable {
        let rows: Range<Int>
        let chunks: [Chunk]
    }

    let columns: [ParquetNode]
    let leaves: [ParquetLeaf]
    let groups: [Group]
    let rowCount: Int
    let metadata: [String: String]

    init(of file: UnsafeRawBufferPointer) throws(ParquetError) {
        guard file.count >= 12, file.prefix(4).elementsEqual("PAR1".utf8) else {
            throw ParquetError("it does not begin with 'PAR1'")
        }
        guard file.suffix(4).elementsEqual("PAR1".utf8) else {
            let encrypted = file.suffix(4).elementsEqual("PARE".utf8)
            throw ParquetError(encrypted ? "it is encrypted" : "it does not end with 'PAR1', so it is truncated")
        }
        var tail = ByteReader(UnsafeRawBufferPointer(rebasing: file.suffix(8)))
        let length = Int(try tail.number(UInt32.self))
        guard length <= file.count - 12 else {
            throw ParquetError("a footer of \(length) bytes is announced in a file of \(file.count)")
        }
        let data = 4..<file.count - 8 - length
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: file[data.upperBound..<file.count - 8]))
        let root = try ThriftValue(structureFrom: &reader)
        (columns, leaves) = try SchemaReader.read(root[2]?.list ?? [])
        rowCount = try root.count(3, "the number of rows")
        var groups: [Group] = []
        var row = 0
        for group in root[4]?.list ?? [] {
            let count = try group.count(3, "the number of rows of a row group")
            guard count <= rowCount - row else { throw ParquetError("its row groups have more than \(rowCount) rows") }
            groups.append(
                Group(rows: row..<row + count, chunks: try Self.chunks(group[1]?.list ?? [], of: leaves, within: data))
            )
            row += count
        }
        guard row == rowCount else { throw ParquetError("its row groups have \(row) rows, expected \(rowCount)") }
        self.groups = groups
        var metadata: [String: String] = [:]
        for entry in root[5]?.list ?? [] { if let key = entry[1]?.text { metadata[key] = entry[2]?.text } }
        self.metadata = metadata
    }

    private static func chunks(_ list: [ThriftValue], of leaves: [ParquetLeaf], within data: Range<Int>)
        throws(ParquetError) -> [Chunk]
    {
        guard list.count == leaves.count else {
            throw ParquetError("a row group has \(list.count) columns where the schema has \(leaves.count)")
        }
        var chunks: [Chunk] = []
        for (chunk, leaf) in zip(list, leaves) {
            let name = leaf.path.joined(separator: ".")
            guard chunk[1] == nil else { throw ParquetError("column \(name) is in another file") }
            guard let facts = chunk[3] else { throw ParquetError("column \(name) has no metadata") }
            guard facts[1]?.int == leaf.physical.rawValue else {
                throw ParquetError("column \(name) has another type in a row group than in the schema")
            }
            var start = try facts.count(9, "the offset of column \(name)")
            // Some writers give 0 where there is no dictionary.
            if let dictionary = facts[11]?.int, dictionary > 0 { start = min(start, dictionary) }
            let values = try facts.count(5, "the number of values of column \(name)")
            var count = try facts.count(7, "the size of column \(name)")
            // A row group without rows has no pages, and their offset may have any value.
            if values == 0 { (start, count) = (data.lowerBound, 0) }
            guard start >= data.lowerBound, start <= data.upperBound, count <= data.upperBound - start else {
                throw ParquetError("column \(name) is outside the file; the file is truncated or damaged")
            }
            chunks.append(
                Chunk(
                    codec: try facts.count(4, "the codec of column \(name)"),
                    valueCount: values,
                    bytes: start..<start + count
                )
            )
        }
        return chunks
    }
}
