import Foundation

/// A value that threads change and wait for.
public final class Monitor<Value>: @unchecked Sendable {
    // Read and written under the lock of the condition.
    private var stored: Value
    private let condition = NSCondition()

    /// A monitor with a first value.
    public init(_ value: Value) { stored = value }

    /// The value.
    public var value: Value { condition.withLock { stored } }

    /// Changes the value and wakes all waiting threads.
    @discardableResult
    public func update<Result>(_ change: (inout Value) throws -> Result) rethrows -> Result {
        try condition.withLock {
            defer { condition.broadcast() }
            return try change(&stored)
        }
    }

    /// Waits until the value meets a condition.
    ///
    /// - Returns: Whether it does; false after two minutes.
    public func wait(until isMet: (Value) -> Bool) -> Bool {
        let deadline = Date().addingTimeInterval(120)
        return condition.withLock {
            while !isMet(stored) {
                guard condition.wait(until: deadline) else { return isMet(stored) }
            }
            return true
        }
    }
}
