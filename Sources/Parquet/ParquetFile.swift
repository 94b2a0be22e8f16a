import Synchronization

/// A Parquet file: its schema, and its rows in any order.
///
/// The file is mapped into memory. A row decodes its pages of the requested columns; a repeated column is decoded a row
/// group at a time. The last decoded pages are kept for the neighbouring rows. The format:
/// https://parquet.apache.org/docs/file-format/
public final class ParquetFile: Sendable {
    private struct Key: Hashable {
        let group: Int
        let leaf: Int
    }

    // Nothing of a class goes out from under the lock.
    private struct Cache: ~Copyable {
        var chunks: [Key: ColumnChunk] = [:]
        var segments: [(key: Key, segment: ColumnChunk.Segment)] = []
    }

    private let file: FileBytes
    private let footer: Footer
    private let limits: ParquetLimits
    private let cache = Mutex(Cache())

    /// The columns in the order of the file.
    public var schema: [ParquetNode] { footer.columns }
    /// The number of rows of the file.
    public var rowCount: Int { footer.rowCount }
    /// The rows of each row group.
    public var rowGroups: [Range<Int>] { footer.groups.map(\.rows) }
    /// The key-value metadata; `huggingface` holds the features of a data set as JSON.
    public var metadata: [String: String] { footer.metadata }

    /// Opens a file and reads its footer.
    ///
    /// - Throws: `ParquetError` when the file cannot be read or is not a Parquet file.
    public convenience init(path: String, limits: ParquetLimits = ParquetLimits()) throws(ParquetError) {
        try self.init(FileBytes(path: path), limits: limits)
    }

    /// Opens a file that is in memory.
    ///
    /// - Throws: `ParquetError` when it is not a Parquet file.
    public convenience init(bytes: [UInt8], limits: ParquetLimits = ParquetLimits()) throws(ParquetError) {
        try self.init(FileBytes(bytes), limits: limits)
    }

    private init(_ file: FileBytes, limits: ParquetLimits) throws(ParquetError) {
        self.file = file
        self.limits = limits
        footer = try Footer(of: file.buffer)
    }

    /// The row of a number, as a structure of the columns.
    ///
    /// - Parameters:
    ///   - row: The number, from 0 on.
    ///   - columns: The names of the columns, in the order of the result; nil for all.
    /// - Returns: A structure.
    /// - Throws: `ParquetError` when there is no such row or column, or the pages are damaged.
    public func row(at row: Int, columns: [String]? = nil) throws(ParquetError) -> ParquetValue {
        try rows(in: row..<max(row, row &+ 1), columns: columns).first ?? .null
    }

    /// Consecutive rows, each a structure of the columns.
    ///
    /// - Parameters:
    ///   - rows: The indices, from 0 on.
    ///   - columns: The names of the columns, in the order of the result; nil for all.
    /// - Returns: As many structures as rows.
    /// - Throws: `ParquetError` when there is no such row or column, or the pages are damaged.
    public func rows(in rows: Range<Int>, columns: [String]? = nil) throws(ParquetError) -> [ParquetValue] {
        guard rows.lowerBound >= 0, rows.upperBound <= rowCount else {
            throw ParquetError("rows \(rows) are requested, it has \(rowCount)")
        }
        var nodes = footer.columns
        if let columns {
            nodes = []
            for name in columns {
                guard let node = footer.columns.first(where: { $0.name == name }) else {
                    let known = footer.columns.map(\.name).joined(separator: ", ")
                    throw ParquetError("it has no column '\(name)'; it has \(known)")
                }
                nodes.append(node)
            }
        }
        return try cache.withLock { (cache) throws(ParquetError) in
            var values: [ParquetValue] = []
            for row in rows { values.append(try read(row, nodes, &cache)) }
            return values
        }
    }

    private func read(_ row: Int, _ nodes: [ParquetNode], _ cache: inout Cache) throws(ParquetError) -> ParquetValue {
        var (low, high) = (0, footer.groups.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if footer.groups[middle].rows.lowerBound <= row { low = middle } else { high = middle }
        }
        let inner = row - footer.groups[low].rows.lowerBound
        var fields: [ParquetValue.Field] = []
        for node in nodes {
            var assembler = RowAssembler(cursors: [:], valuesLeft: min(limits.values, limits.rowValues))
            for leaf in node.leaves {
                let segment = try segment(Key(group: low, leaf: leaf), holding: inner, &cache)
                let entries = segment.entries(of: inner)
                assembler.cursors[leaf] = RowAssembler.Cursor(
                    segment: segment,
                    leaf: footer.leaves[leaf],
                    next: entries.lowerBound,
                    end: entries.upperBound
                )
            }
            fields.append(.init(name: node.name, value: try assembler.row(node)))
        }
        return .structure(fields)
    }

    private func segment(_ key: Key, holding row: Int, _ cache: inout Cache) throws(ParquetError) -> ColumnChunk.Segment
    {
        if let index = cache.segments.lastIndex(where: { $0.key == key && $0.segment.rows.contains(row) }) {
            let found = cache.segments.remove(at: index)
            cache.segments.append(found)
            return found.segment
        }
        let chunk: ColumnChunk
        if let known = cache.chunks[key] {
            chunk = known
        } else {
            let group = footer.groups[key.group]
            // Chunks hold dictionaries, so that not all of a large file's are kept.
            if cache.chunks.count >= 4 * max(footer.leaves.count, 1) { cache.chunks.removeAll() }
            chunk = try ColumnChunk(
                file.buffer,
                leaf: footer.leaves[key.leaf],
                chunk: group.chunks[key.leaf],
                rowCount: group.rows.count,
                limits: limits
            )
            cache.chunks[key] = chunk
        }
        let segment = try chunk.segment(holding: row)
        cache.segments.append((key, segment))
        var cost = cache.segments.reduce(0) { $0 + $1.segment.cost }
        while cost > limits.cachedBytes, cache.segments.count > 1 { cost -= cache.segments.removeFirst().segment.cost }
        return segment
    }
}
