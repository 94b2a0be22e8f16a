import BridgeCore
import Synchronization

/// A value that is computed on a thread of its own, and waited for only for some time.
final class TimedTask<Value: Sendable>: Sendable {
    private let task: BackgroundTask
    private let result: Result

    private final class Result: Sendable {
        let value = Mutex<Value?>(nil)
    }

    /// Starts the work.
    init(_ body: @escaping @Sendable () throws -> Value) {
        let result = Result()
        self.result = result
        task = BackgroundTask {
            let value = try body()
            result.value.withLock { $0 = value }
        }
    }

    /// The value; nil when there is none in time.
    ///
    /// - Throws: The error of the work.
    func value(atMost limit: Duration) throws -> Value? {
        try task.wait(atMost: limit) ? result.value.withLock { $0 } : nil
    }
}
