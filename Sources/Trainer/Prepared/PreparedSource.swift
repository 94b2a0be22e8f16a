public import BridgeCore

/// The samples of prepared data.
public struct PreparedSource: SampleSource {
    /// The data.
    public let data: PreparedData
    private let shards: [PreparedShard]
    /// The number of the first row of each file, and of the row after the last one.
    private let firstRows: [Int]

    /// Opens prepared data.
    ///
    /// - Parameters:
    ///   - data: The data.
    ///   - processor: The processor of the model, which has the vocabulary.
    /// - Throws: `BridgeError` for a file that is missing or damaged.
    public init(_ data: PreparedData, for processor: any ModelProcessor) throws {
        self.data = data
        isPacked = data.facts["rows"] == PreparedFacts.packedRows
        var (shards, firstRows) = ([PreparedShard](), [0])
        for entry in data.shards {
            let path = Files.join(data.path, entry.file)
            let shard = try PreparedShard(path: path, vocabulary: processor.decoder.vocabSize)
            guard shard.rowCount == entry.rows else {
                throw BridgeError(
                    .corruptInput,
                    "\(path) has \(shard.rowCount) rows, \(PreparedData.fileName) describes \(entry.rows); prepare the data again with "
                        + "'bridge data prepare --overwrite'"
                )
            }
            shards.append(shard)
            firstRows.append(firstRows[firstRows.count - 1] + entry.rows)
        }
        (self.shards, self.firstRows) = (shards, firstRows)
    }

    /// Whether the samples of a row share a row of a micro-batch.
    public let isPacked: Bool

    /// Whether a row is a pair of a chosen and a rejected answer.
    public var hasPairs: Bool { data.facts["rows"] == PreparedFacts.pairs }

    /// The number of rows.
    public var count: Int { firstRows[firstRows.count - 1] }

    /// The location of a row: the directory and its number.
    public func location(of row: Int) -> String { "\(data.path), row \(row)" }

    /// The file of a row, and the samples there.
    private func samples(ofRow row: Int) throws -> (shard: PreparedShard, samples: Range<Int>) {
        guard (0..<count).contains(row) else {
            throw BridgeError(.badArgument, "\(data.path) has \(count) rows and no row \(row); rows are counted from 0")
        }
        var (low, high) = (0, shards.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if firstRows[middle] <= row { low = middle } else { high = middle }
        }
        return (shards[low], shards[low].sampleRange(ofRow: row - firstRows[low]))
    }

    /// The first sample of a row.
    ///
    /// - Throws: `BridgeError` for a row that does not exist, and for a file that cannot be read or is damaged.
    public func sample(at row: Int) throws -> TrainingSample {
        let (shard, range) = try samples(ofRow: row)
        return try shard.sample(at: range.lowerBound)
    }

    /// The samples of a row.
    ///
    /// - Throws: As ``sample(at:)``.
    public func samples(at row: Int) throws -> [TrainingSample] {
        let (shard, range) = try samples(ofRow: row)
        return try range.map { try shard.sample(at: $0) }
    }

    /// The number of tokens of each sample of a row, without reading them.
    ///
    /// - Throws: `BridgeError` for a row that does not exist.
    public func lengths(at row: Int) throws -> [Int] {
        let (shard, range) = try samples(ofRow: row)
        return range.map(shard.length(ofSample:))
    }
}
