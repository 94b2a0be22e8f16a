import Synchronization

/// How far a run is.
public struct Progress: Sendable {
    /// What is being done, as a participle: "Importing".
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

/// A switch that asks a run to stop.
///
/// The run then leaves its destination as it was and throws `BridgeError` with code `cancelled`.
public final class Cancellation: Sendable {
    private let flag = Atomic(false)
    private let other: Cancellation?

    /// A switch that is off.
    public init() { other = nil }

    /// A switch that is on as soon as another one is.
    package init(after other: Cancellation) { self.other = other }

    /// Asks for the stop.
    ///
    /// May be called from any thread, and from a signal handler.
    public func cancel() { flag.store(true, ordering: .relaxed) }

    /// Takes the request back, for whoever goes on with something else.
    public func renew() { flag.store(false, ordering: .relaxed) }

    /// Whether somebody has asked.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) || (other?.isCancelled ?? false) }

    package func check() throws {
        if isCancelled { throw BridgeError(.cancelled, "interrupted; the destination is as it was before") }
    }
}
