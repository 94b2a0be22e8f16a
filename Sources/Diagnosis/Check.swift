import BridgeCore

/// A check of this machine, bounded in time.
public struct Check: Sendable {
    /// Its name, one word.
    public let name: String
    let limit: Duration
    let adviceForTimeout: String
    let body: @Sendable () throws -> Finding

    /// A check.
    ///
    /// - Parameters:
    ///   - name: Its name, one word.
    ///   - limit: The longest that it may take.
    ///   - adviceForTimeout: What to do when it takes longer.
    ///   - body: The check, on a thread of its own; an error is a failed check.
    public init(
        _ name: String,
        atMost limit: Duration,
        adviceForTimeout: String,
        _ body: @escaping @Sendable () throws -> Finding
    ) {
        (self.name, self.limit, self.adviceForTimeout, self.body) = (name, limit, adviceForTimeout, body)
    }

    /// The finding.
    ///
    /// A check that does not end in time is left on its thread: it waits for a disk or a network. That is a warning: a busy
    /// machine is slow without being broken.
    ///
    /// - Parameter remaining: The longest that it may take, whatever its own limit.
    /// - Returns: The finding.
    func run(atMost remaining: Duration) -> Finding {
        let limit = min(limit, max(remaining, .milliseconds(100)))
        let task = TimedTask(body)
        do {
            if let finding = try task.value(atMost: limit) { return finding }
            let seconds = ByteFormat.rounded(limit.seconds, digits: 1)
            return Finding(.warning, "no result within \(seconds) s", advice: adviceForTimeout)
        } catch {
            return Finding(.failed, (error as? BridgeError)?.message ?? "\(error)")
        }
    }
}
