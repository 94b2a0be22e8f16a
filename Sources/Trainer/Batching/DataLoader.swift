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
    private let copies: Int
    private let state = Mutex(State())

    /// The number of prefetched micro-batches per thread.
    private static let depthPerWorker = 2

    /// The micro-batches of a collator.
    ///
    /// - Parameters:
    ///   - preparer: The collator.
    ///   - workers: The number of threads.
    ///   - engine: The engine of image tensors.
    ///   - copies: The number of copies of the model, which take turns with the micro-batches.
    public init(_ preparer: BatchCollator, workers: Int, on engine: any TensorEngine, copies: Int = 1) {
        self.preparer = preparer
        self.copies = copies
        self.workers = max(1, workers)
        self.engine = engine
    }

    /// The counts of the samples so far.
    public var statistics: SampleStatistics { state.withLock { $0.statistics } }

    /// See ``BatchSource/sampleCount``.
    public var sampleCount: Int? { preparer.order.count }

    /// See ``BatchSource/rows(first:count:)``.
    public func rows(first: Int, count: Int) -> [Int] { preparer.order.rows(from: first, count: count) }

    /// See ``BatchSource/batch(first:count:)``; the positions of this copy's next micro-batches are prefetched.
    public func batch(first: Int, count: Int) throws -> TrainingBatch {
        let prefetcher = state.withLock { state -> Prefetcher<BatchCollator.Prepared> in
            if let prefetcher = state.prefetcher, state.next == (first, count) { return prefetcher }
            let (preparer, stride) = (preparer, count * copies)
            let prefetcher = Prefetcher(depth: workers * Self.depthPerWorker, workers: workers) { index in
                try preparer.prepare(from: first + index * stride, count: count)
            }
            state.prefetcher = prefetcher
            return prefetcher
        }
        guard let prepared = try prefetcher.next() else {
            throw BridgeError(.cancelled, "the preparation of samples was interrupted")
        }
        state.withLock { state in
            state.next = (first + count * copies, count)
            state.statistics += prepared.statistics
        }
        return TrainingBatch(prepared.batch, on: engine)
    }
}
