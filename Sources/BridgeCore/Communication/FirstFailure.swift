import Synchronization

/// The first error of a group, which every later call throws again: the ranks are no longer at the same call.
final class FirstFailure: Sendable {
    private let failure = Mutex<(any Error)?>(nil)

    /// Runs `body`, unless a call has failed before.
    ///
    /// - Throws: The first error of all calls.
    func guarding<Result>(_ body: () throws -> Result) throws -> Result {
        if let error = failure.withLock({ $0 }) { throw error }
        do { return try body() } catch {
            failure.withLock { $0 = error }
            throw error
        }
    }
}
