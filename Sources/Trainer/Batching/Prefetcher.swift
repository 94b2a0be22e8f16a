import BridgeCore
import Foundation

/// Threads that make the next items of a sequence while the last one is used, such as micro-batches with their images.
///
/// Items come in order, and so does the error of one that cannot be made: those before it are delivered first. At most
/// `depth` items are made ahead. The threads end with the object.
public final class Prefetcher<Item: Sendable>: Sendable {
    private let board: PrefetchQueue<Item>

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - count: How many items there are; nil for no end.
    ///   - depth: How many items may wait, at least 1.
    ///   - workers: How many threads, at least 1.
    ///   - make: Makes the item of an index, on any of the threads.
    public init(count: Int? = nil, depth: Int, workers: Int, make: @escaping @Sendable (Int) throws -> Item) {
        let board = PrefetchQueue<Item>(count: count ?? .max, depth: max(1, depth))
        self.board = board
        for _ in 0..<min(max(1, workers), max(1, depth)) {
            // The thread holds the board and not this object, which would otherwise never go.
            let thread = Thread {
                while let index = board.take() { board.put(index, Result { try make(index) }) }
            }
            // What a main thread has: templates and JSON nest.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    deinit { board.cancel() }

    /// The next item; waits until it is made.
    ///
    /// - Returns: The item, or nil behind the last one.
    /// - Throws: What was thrown when the item was made, again at each call from then on; `BridgeError` with the code
    ///   `cancelled` after ``cancel()``.
    public func next() throws -> Item? { try board.next() }

    /// Stops making items, and wakes whoever waits for one; an item that is being made is finished and dropped.
    public func cancel() { board.cancel() }
}

/// What the threads of a prefetcher share.
private final class PrefetchQueue<Item: Sendable>: @unchecked Sendable {
    // All variables are read and written under the lock of the condition.
    private let condition = NSCondition()
    private let count: Int
    private let depth: Int
    private var made: [Int: Result<Item, any Error>] = [:]
    private var nextToMake = 0
    private var nextToDeliver = 0
    private var isCancelled = false
    /// The first item that could not be made; none behind it is begun.
    private var failed: Int?

    init(count: Int, depth: Int) {
        self.count = count
        self.depth = depth
    }

    /// The index of an item to make, as soon as there is room; nil when there is no more to do.
    func take() -> Int? {
        condition.lock()
        defer { condition.unlock() }
        while !isCancelled, failed == nil, nextToMake < count, nextToMake - nextToDeliver >= depth { condition.wait() }
        guard !isCancelled, failed == nil, nextToMake < count else { return nil }
        nextToMake += 1
        return nextToMake - 1
    }

    func put(_ index: Int, _ result: Result<Item, any Error>) {
        condition.lock()
        defer { condition.unlock() }
        guard !isCancelled else { return }
        if case .failure = result { failed = min(failed ?? index, index) }
        made[index] = result
        condition.broadcast()
    }

    func next() throws -> Item? {
        condition.lock()
        defer { condition.unlock() }
        guard nextToDeliver < count else { return nil }
        while !isCancelled, made[nextToDeliver] == nil { condition.wait() }
        guard !isCancelled, let result = made[nextToDeliver] else {
            throw BridgeError(.cancelled, "the preparation of samples was interrupted")
        }
        // An error stays where it is: there is nothing behind it.
        let item = try result.get()
        made[nextToDeliver] = nil
        nextToDeliver += 1
        condition.broadcast()
        return item
    }

    func cancel() {
        condition.lock()
        defer { condition.unlock() }
        isCancelled = true
        made = [:]
        condition.broadcast()
    }
}
