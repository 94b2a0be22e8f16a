import BridgeCore
import Synchronization
public import TensorRuntime

/// The micro-batches of a run, prepared on other threads during the computation of the previous ones.
public final class DataLoader: BatchSource {
    private struct State {
        var prefetcher: Prefetcher<BatchCollator.Prepared>?
        /// The position of the next micro-batch, and the number of samples in each.
        var next = (first: 0, count: 0)
        var statistics = SampleStatistics()
    }

    private let preparer: BatchCollator
    private let engine: any TensorEngine
    private let workers: Int
    private let state = Mutex(State())

    /// The number of prefetched micro-batches per thread.
    private static let depthPerWorker = 2

    /// The micro-batches of a collator.
    ///
    /// - Parameters:
    ///   - preparer: The collator.
    ///   - workers: The number of threads.
    ///   - engine: The engine of image tensors.
    public init(_ preparer: BatchCollator, workers: Int, on engine: any TensorEngine) {
        self.preparer = preparer
        self.workers = max(1, workers)
        self.engine = engine
    }

    /// The counts of the samples so far.
    public var statistics: SampleStatistics { state.withLock { $0.statistics } }

    /// See ``BatchSource/batch(first:count:)``; consecutive positions are prefetched.
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
            state.statistics += prepared.statistics
        }
        return TrainingBatch(prepared.batch, on: engine)
    }
}
