import BridgeCore
import Synchronization
public import TensorRuntime

/// The micro-batches of a run, prepared on other threads while the one before is computed.
public final class DataLoader: BatchSource {
    private struct State {
        var prefetcher: Prefetcher<BatchCollator.Prepared>?
        /// The place of the next micro-batch, and how many samples each has.
        var next = (first: 0, count: 0)
        var statistics = SampleStatistics()
    }

    private let preparer: BatchCollator
    private let engine: any TensorEngine
    private let workers: Int
    private let state = Mutex(State())

    /// How many micro-batches wait for each thread that makes them.
    private static let depthPerWorker = 2

    /// The micro-batches of a preparer.
    ///
    /// - Parameters:
    ///   - preparer: What makes them.
    ///   - workers: How many threads do.
    ///   - engine: Where images become tensors.
    public init(_ preparer: BatchCollator, workers: Int, on engine: any TensorEngine) {
        self.preparer = preparer
        self.workers = max(1, workers)
        self.engine = engine
    }

    /// What was seen in the samples so far.
    public var statistics: SampleStatistics { state.withLock { $0.statistics } }

    /// See ``BatchSource/batch(first:count:)``; places that follow each other are made ahead.
    public func batch(first: Int, count: Int) throws -> TrainingBatch {
        let prefetcher = state.withLock { state -> Prefetcher<BatchCollator.Prepared> in
            if let prefetcher = state.prefetcher, state.next == (first, count) { return prefetcher }
            let preparer = preparer
            let prefetcher = Prefetcher(depth: workers * Self.depthPerWorker, workers: workers) { index in
                try preparer.prepare(from: first + index * count, count: count)
            }
            state.prefetcher = prefetcher
            return prefetcher
        }
        guard let prepared = try prefetcher.next() else {
            throw BridgeError(.cancelled, "the preparation of samples was interrupted")
        }
        state.withLock { state in
            state.next = (first + count, count)
            state.statistics.add(prepared.statistics)
        }
        return TrainingBatch(prepared.batch, on: engine)
    }
}
