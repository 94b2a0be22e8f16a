import Glibc
import Synchronization

/// Threads that process numbered items and may block on disks, which Swift's own pool does not support.
public enum Workers {
    /// The number of threads that keep two cores and a disk busy: while one waits for its write, another fills its
    /// buffer.
    public static var defaultCount: Int { max(4, min(8, 2 * sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    /// Runs `body` once for each item in 0..<count, in order of start, each time with the worker's own state.
    ///
    /// - Parameters:
    ///   - count: How many items there are.
    ///   - workers: How many threads.
    ///   - makeState: Makes a worker's state, on its thread.
    ///   - whileWaiting: Called on the caller's thread a few times a second.
    ///   - body: One item. After the first error no further item is started.
    /// - Throws: The first error of an item.
    public static func run<State: ~Copyable>(
        items count: Int,
        workers: Int,
        makeState: @escaping @Sendable () -> State,
        whileWaiting: () -> Void = {},
        body: @escaping @Sendable (inout State, Int) throws -> Void
    ) throws {
        let board = WorkQueue(count: count, running: max(1, min(workers, count)))
        for _ in 0..<board.initial {
            detach {
                var state = makeState()
                while let item = board.next() {
                    do { try body(&state, item) } catch { board.fail(error) }
                }
                board.leave()
            }
        }
        while !board.waitUntilDone(milliseconds: 100) { whileWaiting() }
        whileWaiting()
        if let error = board.error { throw error }
    }

    /// The stack of a thread in bytes, that of a main thread: templates and JSON are nested.
    private static let stackByteCount = 8 << 20

    /// Runs a closure on a new thread.
    public static func detach(_ body: @escaping @Sendable () -> Void) {
        let box = Unmanaged.passRetained(Box(body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackByteCount)
        var thread = pthread_t()
        let status = pthread_create(
            &thread,
            &attributes,
            { raw in
                if let raw { Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().body() }
                return nil
            },
            box.toOpaque()
        )
        if status == 0 { pthread_detach(thread) } else { box.takeRetainedValue().body() }
    }

    private final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// Work on a thread of its own, whose end can be waited for.
public final class BackgroundTask: Sendable {
    private let lock = ConditionLock()
    private let result = Mutex<Result<Void, any Error>?>(nil)

    /// Starts the work.
    public init(_ body: @escaping @Sendable () throws -> Void) {
        Workers.detach { [self] in
            let outcome = Result { try body() }
            lock.locked {
                result.withLock { $0 = outcome }
                lock.signalAll()
            }
        }
    }

    /// Waits for the end of the work, at most for some time.
    ///
    /// - Returns: Whether the work is done.
    /// - Throws: The error of the work.
    public func wait(atMost limit: Duration) throws -> Bool {
        let end = ContinuousClock.now + limit
        return try lock.locked {
            while true {
                if let result = result.withLock({ $0 }) {
                    try result.get()
                    return true
                }
                guard ContinuousClock.now < end else { return false }
                lock.wait(milliseconds: 100)
            }
        }
    }

    /// Waits for the end of the work.
    ///
    /// - Throws: The error of the work.
    public func wait() throws {
        try lock.locked {
            while true {
                if let result = result.withLock({ $0 }) { return try result.get() }
                lock.wait()
            }
        }
    }
}

/// The state that the threads of one run share.
private final class WorkQueue: @unchecked Sendable {
    let initial: Int
    private let count: Int
    private let cursor = Atomic(0)
    private let stopped = Atomic(false)
    private let lock = ConditionLock()
    private var running: Int
    private var firstError: (any Error)?

    init(count: Int, running: Int) {
        self.count = count
        self.running = running
        initial = running
    }

    var error: (any Error)? { lock.locked { firstError } }

    func next() -> Int? {
        guard !stopped.load(ordering: .relaxed) else { return nil }
        let item = cursor.wrappingAdd(1, ordering: .relaxed).oldValue
        return item < count ? item : nil
    }

    func fail(_ error: any Error) {
        stopped.store(true, ordering: .relaxed)
        lock.locked { firstError = firstError ?? error }
    }

    func leave() {
        lock.locked {
            running -= 1
            if running == 0 { lock.signalAll() }
        }
    }

    func waitUntilDone(milliseconds: Int) -> Bool {
        lock.locked {
            if running > 0 { lock.wait(milliseconds: milliseconds) }
            return running == 0
        }
    }
}
