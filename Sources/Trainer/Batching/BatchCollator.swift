import BridgeCore
import Datasets

/// Makes micro-batches: which samples, within which length, in which rows.
///
/// A micro-batch follows from the position of its first sample alone, so any thread may make any of them.
public struct BatchCollator: Sendable {
    /// Where samples come from.
    public let source: any SampleSource
    /// In which order.
    public let order: EpochSampler
    /// How long they may be.
    public let fitter: SampleTruncation
    /// How they are put into rows.
    public let options: CollatedBatch.Options

    /// A preparer from its parts.
    ///
    /// - Throws: `BridgeError` when the order is of another number of samples than there are.
    public init(
        source: any SampleSource,
        order: EpochSampler,
        fitter: SampleTruncation,
        options: CollatedBatch.Options = CollatedBatch.Options()
    ) throws {
        guard source.count == order.count else {
            throw BridgeError(
                .badArgument,
                "the order is one of \(order.count) samples and the data has \(source.count); a run goes on with the same data"
            )
        }
        self.source = source
        self.order = order
        self.fitter = fitter
        self.options = options
    }

    /// A micro-batch with what was seen in its samples.
    public struct Prepared: Sendable, Equatable {
        /// The rows.
        public var batch: CollatedBatch
        /// What was seen.
        public var statistics: SampleStatistics
        /// How many samples of the run have been used behind it.
        public var consumed: Int
    }

    /// The micro-batch of some samples of the run.
    ///
    /// - Parameters:
    ///   - consumed: How many samples come before it in the run.
    ///   - count: How many samples it has.
    /// - Returns: The micro-batch.
    /// - Throws: `BridgeError` of the first sample that cannot be used.
    public func prepare(from consumed: Int, count: Int) throws -> Prepared {
        var statistics = SampleStatistics()
        var samples: [TrainingSample] = []
        for row in order.rows(from: consumed, count: count) {
            let read = try source.sample(at: row)
            let (sample, outcome): (TrainingSample, SampleTruncation.Outcome)
            do {
                (sample, outcome) = try fitter.fit(read)
            } catch let error as BridgeError {
                throw error.inRow(source.location(of: row))
            }
            statistics.count(sample, outcome)
            samples.append(sample)
        }
        return Prepared(
            batch: try CollatedBatch(samples, options: options),
            statistics: statistics,
            consumed: consumed + count
        )
    }
}
