import BridgeCore

/// Threads that make the next items of a sequence while the current one is used, such as micro-batches with images.
///
/// Items are delivered in order, and so is the error of an item: the items before it are delivered first. At most
/// `depth` items are prefetched. The threads end with the object.
public final class Prefetcher<Item: Sendable>: Sendable {
    private let queue: PrefetchQueue<Item>

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - count: The number of items; nil for an infinite sequence.
    ///   - depth: The maximum number of prefetched items, at least 1.
    ///   - workers: The number of threads, at least 1.
    ///   - make: Makes the item at an index, on any of the threads.
    public init(count: Int? = nil, depth: Int, workers: Int, make: @escaping @Sendable (Int) throws -> Item) {
        let queue = PrefetchQueue<Item>(count: count ?? .max, depth: max(1, depth))
        self.queue = queue
        for _ in 0..<min(max(1, workers), max(1, depth)) {
            // The thread retains the queue, not this object, which would otherwise never be released.
            Workers.detach {
                while let index = queue.take() { queue.put(index, Result { try make(index) }) }
            }
        }
    }

    deinit { queue.cancel() }

    /// Waits for the next item.
    ///
    /// - Returns: The item, or nil after the last one.
    /// - Throws: The error of making the item, at each call from then on; `BridgeError` with the code
    ///   `cancelled` after ``cancel()``.
    public func next() throws -> Item? { try queue.next() }

    /// Stops making items and wakes waiting callers; items in progress are finished and discarded.
    public func cancel() { queue.cancel() }
}

/// The shared state of the threads of a prefetcher.
private final class PrefetchQueue<Item: Sendable>: @unchecked Sendable {
    // All variables are read and written under the lock.
    private let lock = ConditionLock()
    private let count: Int
    private let depth: Int
    private var made: [Int: Result<Item, any Error>] = [:]
    private var nextToMake = 0
    private var nextToDeliver = 0
    private var isCancelled = false
    /// The first item that could not be made; no item after it is started.
    private var failed: Int?

    init(count: Int, depth: Int) {
        self.count = count
        self.depth = depth
    }

    /// The index of the next item to make, once there is room; nil when there are no more.
    func take() -> Int? {
        lock.locked {
            while !isCancelled, failed == nil, nextToMake < count, nextToMake - nextToDeliver >= depth { lock.wait() }
            guard !isCancelled, failed == nil, nextToMake < count else { return nil }
            nextToMake += 1
            return nextToMake - 1
        }
    }

    func put(_ index: Int, _ result: Result<Item, any Error>) {
        lock.locked {
            guard !isCancelled else { return }
            if case .failure = result { failed = min(failed ?? index, index) }
            made[index] = result
            lock.signalAll()
        }
    }

    func next() throws -> Item? {
        try lock.locked {
            guard nextToDeliver < count else { return nil }
            while !isCancelled, made[nextToDeliver] == nil { lock.wait() }
            guard !isCancelled, let result = made[nextToDeliver] else {
                throw BridgeError(.cancelled, "the preparation of samples was interrupted")
            }
            // An error stays in the queue, because nothing follows it.
            let item = try result.get()
            made[nextToDeliver] = nil
            nextToDeliver += 1
            lock.signalAll()
            return item
        }
    }

    func cancel() {
        lock.locked {
            isCancelled = true
            made = [:]
            lock.signalAll()
        }
    }
}
