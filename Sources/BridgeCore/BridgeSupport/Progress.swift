import Synchronization

/// The progress of a run.
public struct Progress: Sendable {
    /// The current activity, as a participle: "Importing".
    public var activity: String
    /// Bytes that are done.
    public var doneBytes: Int
    /// Bytes in all.
    public var totalBytes: Int

    package init(activity: String, doneBytes: Int, totalBytes: Int) {
        self.activity = activity
        self.doneBytes = doneBytes
        self.totalBytes = totalBytes
    }
}

/// A cancellation request.
///
/// The run then leaves its destination as it was and throws `BridgeError` with code `cancelled`.
public final class Cancellation: Sendable {
    private let flag = Atomic(false)
    private let other: Cancellation?

    /// A switch that is off.
    public init() { other = nil }

    /// A switch that is on as soon as another one is.
    package init(after other: Cancellation) { self.other = other }

    /// Requests cancellation.
    ///
    /// May be called from any thread, and from a signal handler.
    public func cancel() { flag.store(true, ordering: .relaxed) }

    /// Resets the request, for a caller that continues with other work.
    public func renew() { flag.store(false, ordering: .relaxed) }

    /// Whether cancellation was requested.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) || (other?.isCancelled ?? false) }

    package func check() throws {
        if isCancelled { throw BridgeError(.cancelled, "interrupted; the destination is as it was before") }
    }
}
