import Foundation

/// What did not happen.
public struct WaitError: Error, CustomStringConvertible {
    /// The sentence.
    public let description: String
}

/// Waits for something outside this process's own threads, which can only be looked for, such as the content of a file.
///
/// Threads of a test wait with a ``Monitor`` instead.
///
/// - Parameters:
///   - effect: What is waited for, for the error.
///   - hasHappened: Called about a thousand times a second.
/// - Throws: `WaitError` after two minutes, and what `hasHappened` throws.
public func wait(until effect: String, _ hasHappened: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while try !hasHappened() {
        guard ContinuousClock.now < deadline else {
            throw WaitError(description: "not within two minutes: \(effect)")
        }
        usleep(1000)
    }
}
