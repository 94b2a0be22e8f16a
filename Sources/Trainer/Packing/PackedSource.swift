import BridgeCore
import BridgeSupport

/// Samples that are packed into rows before the run: a row has several samples, which do not attend to each other.
///
/// The rows follow from the lengths of the samples, the settings and the seed, so a resumed run has the same ones.
struct PackedSource: SampleSource {
    private let source: any SampleSource
    private let rows: [[Int]]
    private let name: String
    /// The number of tokens of a row.
    let size: Int
    /// The number of tokens of all samples, at most `dataset.seq_length` of each.
    let tokenCount: Int

    /// The generator of the order is another one than those of epochs and of the split.
    private static let stream: UInt64 = 0x7061_636b_0000_0000

    /// Packs samples.
    ///
    /// - Parameters:
    ///   - source: The samples.
    ///   - name: Their name, for notes.
    ///   - section: The section `dataset` of the recipe.
    ///   - seed: The seed of the order.
    /// - Throws: `BridgeError` for rows of the data that cannot be used.
    init(_ source: any SampleSource, named name: String, _ section: Recipe.DatasetSection, seed: UInt64) throws {
        (self.source, self.name, size) = (source, name, section.packedSequenceSize)
        guard !source.isPacked else {
            throw BridgeError(
                .badArgument,
                "dataset.packed_sequence_size is \(size), but the rows of \(name) are packed in their file; remove the setting"
            )
        }
        let lengths = try Self.lengths(of: source, workers: max(1, section.numWorkers)).map {
            min($0, section.seqLength)
        }
        guard section.seqLength <= size else {
            throw BridgeError(
                .badArgument,
                "dataset.packed_sequence_size is \(size), less than dataset.seq_length, which is \(section.seqLength), but a sample has to fit "
                    + "into a row"
            )
        }
        tokenCount = lengths.reduce(0, +)
        let order =
            switch section.packingAlgorithm {
            case .firstFitShuffle:
                try EpochSampler(count: lengths.count, shuffles: true, seed: seed ^ Self.stream)
                    .rows(from: 0, count: lengths.count)
            case .firstFitDecreasing:
                lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
            }
        rows = FirstFit(order, lengths: lengths, size: size).rows
    }

    /// The number of tokens of each sample; samples that are not prepared are made for it, by several threads.
    private static func lengths(of source: any SampleSource, workers: Int) throws -> [Int] {
        let count = source.count
        let found = Prefetcher(count: (count + piece - 1) / piece, depth: 4 * workers, workers: workers) { index in
            try (index * piece..<min((index + 1) * piece, count)).flatMap { try source.lengths(at: $0) }
        }
        var lengths: [Int] = []
        while let length = try found.next() { lengths += length }
        return lengths
    }

    /// The number of rows whose lengths a thread finds at once.
    private static let piece = 64

    var isPacked: Bool { true }
    /// The number of rows.
    var count: Int { rows.count }

    /// A sentence about the rows.
    var note: String {
        let share = 100 * Double(tokenCount) / (Double(rows.count) * Double(size))
        return
            "\(name): \(ByteFormat.counted(source.count, "sample")) packed into \(ByteFormat.counted(rows.count, "row")) of \(size) tokens, "
            + "\(ByteFormat.rounded(share, digits: 1)) % filled, at most \(ByteFormat.counted(rows.map(\.count).max() ?? 0, "sample")) in a row"
    }

    /// The first sample of a row.
    func sample(at row: Int) throws -> TrainingSample { try source.sample(at: rows[row][0]) }

    func samples(at row: Int) throws -> [TrainingSample] { try rows[row].flatMap { try source.samples(at: $0) } }

    func lengths(at row: Int) throws -> [Int] { try rows[row].flatMap { try source.lengths(at: $0) } }

    func location(of row: Int) -> String {
        let places = rows[row].prefix(Self.mostNamed).map { source.location(of: $0) }
        let more = rows[row].count - places.count
        return places.joined(separator: "; ") + (more > 0 ? "; and \(ByteFormat.counted(more, "more sample"))" : "")
    }

    private static let mostNamed = 4
}
