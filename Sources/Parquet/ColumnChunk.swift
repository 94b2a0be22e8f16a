/// A column of a row group, whose pages are decoded when their rows are read.
final class ColumnChunk {
    /// Decoded entries of neighbouring rows: a page, or of a repeated column all pages.
    final class Segment {
        let rows: Range<Int>
        /// The first entry of each row, with the end after the last; empty where every row is one entry.
        let starts: [Int]
        let repetition: [UInt32]
        let definition: [UInt32]
        /// One for every entry; null where the definition level is not the highest.
        let values: PageValues
        /// The approximate bytes of memory.
        let cost: Int

        init(
            rows: Range<Int>,
            starts: [Int],
            repetition: [UInt32],
            definition: [UInt32],
            values: PageValues,
            cost: Int
        ) {
            self.rows = rows
            self.starts = starts
            self.repetition = repetition
            self.definition = definition
            self.values = values
            self.cost = cost
        }

        func entries(of row: Int) -> Range<Int> {
            let index = row - rows.lowerBound
            return starts.isEmpty ? index..<index + 1 : starts[index]..<starts[index + 1]
        }
    }

    private let leaf: ParquetLeaf
    private let chunk: Footer.Chunk
    private let rowCount: Int
    private let limits: ParquetLimits
    private var pages: [(page: Page, firstRow: Int)] = []
    private var dictionary: [ParquetValue]?

    /// Reads the headers of all pages, and the dictionary.
    init(_ file: UnsafeRawBufferPointer, leaf: ParquetLeaf, chunk: Footer.Chunk, rowCount: Int, limits: ParquetLimits)
        throws(ParquetError)
    {
        self.leaf = leaf
        self.chunk = chunk
        self.rowCount = rowCount
        self.limits = limits
        if case .unsupported(let what) = leaf.kind {
            throw ParquetError(
                "column \(leaf.path.joined(separator: ".")) holds values of type \(what), which is not supported"
            )
        }
        var reader = ByteReader(UnsafeRawBufferPointer(rebasing: file[chunk.bytes]))
        var values = 0
        while values < chunk.valueCount {
            guard let page = try Page(from: &reader, limits: limits) else { continue }
            if page.kind == .dictionary {
                guard dictionary == nil, pages.isEmpty else { throw ParquetError("a column has a second dictionary") }
                let decoder = ValueDecoder(leaf: leaf, limits: limits)
                dictionary = try page.read(codec: chunk.codec, leaf: leaf) { (_, _, content) throws(ParquetError) in
                    let piece = try decoder.decode(&content, encoding: 0, count: page.valueCount, dictionary: nil)
                    if case .plain(let values) = piece { return values }
                    return (0..<piece.count).map { piece[$0] }
                }
            } else {
                pages.append((page, values))
                values += page.valueCount
            }
        }
        guard values == chunk.valueCount, leaf.maximumRepetition > 0 || values == rowCount else {
            throw ParquetError(
                "column \(leaf.path.joined(separator: ".")) has \(values) values where \(rowCount) rows are announced"
            )
        }
        guard leaf.maximumRepetition == 0 || values <= limits.values else {
            throw ParquetError("a repeated column has \(values) values in a row group, at most \(limits.values)")
        }
    }

    /// Decodes what holds a row, counted from the row group's first.
    func segment(holding row: Int) throws(ParquetError) -> Segment {
        if leaf.maximumRepetition > 0 { return try repeated() }
        var (low, high) = (0, pages.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pages[middle].firstRow <= row { low = middle } else { high = middle }
        }
        // Empty pages share their first row with the one after them, which the search finds.
        guard low < pages.count else { throw ParquetError("row \(row) is in no page") }
        let (page, first) = pages[low]
        guard (first..<first + page.valueCount).contains(row) else { throw ParquetError("row \(row) is in no page") }
        let part = try decode(page)
        var values = PageValues()
        values.append(part.values)
        return Segment(
            rows: first..<first + page.valueCount,
            starts: [],
            repetition: [],
            definition: part.definition,
            values: values,
            cost: part.cost
        )
    }

    private func repeated() throws(ParquetError) -> Segment {
        var repetition: [UInt32] = []
        var definition: [UInt32] = []
        var values = PageValues()
        var cost = 0
        for (page, _) in pages {
            let part = try decode(page)
            repetition += part.repetition
            definition += part.definition
            values.append(part.values)
            cost += part.cost
        }
        var starts = repetition.indices.filter { repetition[$0] == 0 }
        guard starts.count == rowCount, starts.first ?? 0 == 0 else {
            throw ParquetError(
                "column \(leaf.path.joined(separator: ".")) begins \(starts.count) rows where \(rowCount) are announced"
            )
        }
        starts.append(repetition.count)
        return Segment(
            rows: 0..<rowCount,
            starts: starts,
            repetition: repetition,
            definition: definition,
            values: values,
            cost: cost
        )
    }

    private typealias Part = (repetition: [UInt32], definition: [UInt32], values: PageValues.Piece, cost: Int)

    private func decode(_ page: Page) throws(ParquetError) -> Part {
        let decoder = ValueDecoder(leaf: leaf, limits: limits)
        let maximum = UInt32(leaf.maximumDefinition)
        let dictionary = dictionary
        return try page.read(codec: chunk.codec, leaf: leaf) {
            (repetition, definition, content) throws(ParquetError) -> Part in
            let total = page.valueCount
            let count = maximum == 0 ? total : definition.count { $0 == maximum }
            let size = content.remaining
            let present = try decoder.decode(&content, encoding: page.encoding, count: count, dictionary: dictionary)
            let cost = size + present.cost + total * 8
            guard count < total else { return (repetition, definition, present, cost) }
            return (repetition, definition, present.spread(over: definition, highest: maximum), cost)
        }
    }
}
