import BridgeCore
import JSONTree

/// Some of the samples of a source.
struct SampleSubset: SampleSource {
    let source: any SampleSource
    /// The rows of the source, in order.
    let rows: [Int]

    var count: Int { rows.count }
    var isPacked: Bool { source.isPacked }
    func sample(at row: Int) throws -> TrainingSample { try source.sample(at: rows[row]) }
    func samples(at row: Int) throws -> [TrainingSample] { try source.samples(at: rows[row]) }
    func lengths(at row: Int) throws -> [Int] { try source.lengths(at: rows[row]) }
    func imageFiles(at row: Int) throws -> [String] { try source.imageFiles(at: rows[row]) }
    func location(of row: Int) -> String { source.location(of: rows[row]) }

    /// The generator of the split is another one than that of the epochs.
    private static let stream: UInt64 = 0x7661_6c69_6461_7465

    /// Divides the samples of a source at random; the same seed gives the same division.
    ///
    /// - Parameters:
    ///   - source: The samples.
    ///   - size: The share, less than 1, or the number of samples for validation.
    ///   - seed: The seed.
    /// - Returns: The samples for training and those for validation, each in the order of the source.
    /// - Throws: `BridgeError` when one of the two would have no samples.
    static func split(_ source: any SampleSource, size: Double, seed: UInt64) throws -> (
        training: Self, validation: Self
    ) {
        let count = source.count
        let wanted = size < 1 ? Int((size * Double(count)).rounded()) : Int(saturating: size)
        guard wanted > 0, wanted < count else {
            throw BridgeError(
                .badArgument,
                "dataset.val_set_size is \(size), which sets \(wanted) of \(count) samples apart; expected at least one for "
                    + "validation and one for training"
            )
        }
        let order = try EpochSampler(count: count, shuffles: true, seed: seed ^ stream).rows(from: 0, count: count)
        return (
            Self(source: source, rows: order[wanted...].sorted()), Self(source: source, rows: order[..<wanted].sorted())
        )
    }
}
