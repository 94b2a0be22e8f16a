import BridgeCore
import Datasets

/// Makes micro-batches: selects samples, truncates them and collates them in rows.
///
/// A micro-batch depends only on the position of its first sample, so any thread can make it.
public struct BatchCollator: Sendable {
    /// The samples.
    public let source: any SampleSource
    /// Their order.
    public let order: EpochSampler
    /// Their maximum length.
    public let fitter: SampleTruncation
    /// The options of collation.
    public let options: CollatedBatch.Options

    /// A collator.
    ///
    /// - Throws: `BridgeError` when the order has another number of samples than the source.
    public init(
        source: any SampleSource,
        order: EpochSampler,
        fitter: SampleTruncation,
        options: CollatedBatch.Options = CollatedBatch.Options()
    ) throws {
        guard source.count == order.count else {
            throw BridgeError(
                .badArgument,
                "the data set has \(source.count) samples, but the sampler was created for \(order.count); resume with the same data set"
            )
        }
        self.source = source
        self.order = order
        self.fitter = fitter
        self.options = options
    }

    /// A micro-batch with the counts of its samples.
    public struct Prepared: Sendable, Equatable {
        /// The rows.
        public var batch: CollatedBatch
        /// The counts.
        public var statistics: SampleStatistics
        /// The number of consumed samples after it.
        public var consumed: Int
    }

    /// The micro-batch of some samples of the run.
    ///
    /// - Parameters:
    ///   - consumed: The number of samples before it in the run.
    ///   - count: The number of its samples.
    /// - Returns: The micro-batch.
    /// - Throws: `BridgeError` of the first sample that cannot be used.
    public func prepare(from consumed: Int, count: Int) throws -> Prepared {
        var statistics = SampleStatistics()
        var rows: [[TrainingSample]] = []
        for row in order.rows(from: consumed, count: count) {
            var samples: [TrainingSample] = []
            for read in try source.samples(at: row) {
                let (sample, outcome): (TrainingSample, SampleTruncation.Outcome)
                do {
                    (sample, outcome) = try fitter.fit(read)
                } catch let error as BridgeError {
                    throw error.inRow(source.location(of: row))
                }
                statistics.count(sample, outcome)
                samples.append(sample)
            }
            rows.append(samples)
        }
        return Prepared(
            batch: try source.isPacked
                ? CollatedBatch(packed: rows, options: options)
                : CollatedBatch(rows.flatMap(\.self), options: options),
            statistics: statistics,
            consumed: consumed + count
        )
    }
}
