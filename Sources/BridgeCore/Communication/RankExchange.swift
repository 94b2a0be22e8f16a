import BridgeSupport

/// Rounds of bytes among the ranks of a group: what all collectives are made of.
///
/// Every rank of a group makes the same calls in the same order.
public protocol RankExchange: AnyObject, Sendable {
    /// This rank within the group, from 0 on.
    var rank: Int { get }
    /// The number of ranks.
    var size: Int { get }
    /// The most bytes that a rank can publish in a round.
    var slotByteCount: Int { get }

    /// One round: each rank writes its slot, then all ranks read the slots of all.
    ///
    /// - Parameters:
    ///   - byteCount: How many bytes of a slot are used, the same on all ranks.
    ///   - publish: Writes the slot of this rank.
    ///   - read: Reads the slots, in the order of the ranks. They are valid during the call.
    /// - Throws: `BridgeError` when a rank has failed or does not arrive in time.
    func round(
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws

    /// A round in which each rank reads only its part of every slot.
    ///
    /// - Parameters:
    ///   - parts: The bytes of a slot that each rank reads, in the order of the ranks; the same on all ranks.
    ///   - publish: Writes the slot of this rank.
    ///   - read: Reads this rank's part of every slot, in the order of the ranks. They are valid during the call.
    /// - Throws: `BridgeError` when a rank has failed or does not arrive in time.
    func round(
        parts: [Range<Int>],
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws

    /// A round in which one rank writes its slot, and all ranks read that one.
    ///
    /// - Parameters:
    ///   - root: The rank that writes.
    ///   - byteCount: How many bytes of its slot are used, the same on all ranks.
    ///   - publish: Writes the slot; called on that rank.
    ///   - read: Reads the slot of that rank, which is valid during the call.
    /// - Throws: `BridgeError` when a rank has failed or does not arrive in time.
    func round(
        from root: Int,
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: (UnsafeRawPointer) -> Void
    ) throws

    /// Gives bytes to a rank, which may be taken later; does not wait for that.
    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws

    /// Waits for bytes with a tag from a rank, in the order in which it sends them.
    func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int) throws
}

extension RankExchange {
    /// A round in which the other ranks write nothing.
    public func round(
        from root: Int,
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: (UnsafeRawPointer) -> Void
    ) throws {
        try round(byteCount, publish: { if rank == root { publish($0) } }, read: { read($0[root]) })
    }
}

/// How long a rank waits for others, and what it says when they do not arrive.
public struct RankTimeout: Sendable {
    /// The longest wait.
    public var limit: Duration
    /// Whether ranks share cores, so that a waiting one should sleep at once.
    public var isOversubscribed: Bool

    /// A timeout.
    public init(limit: Duration = .seconds(600), isOversubscribed: Bool = true) {
        self.limit = limit
        self.isOversubscribed = isOversubscribed
    }

    /// The error of a wait that was too long.
    ///
    /// - Parameters:
    ///   - problem: What did not happen.
    ///   - stopped: The ranks that are known to be stopped: other ranks may only be waiting for them.
    /// - Returns: The error.
    func error(_ problem: String, stopped: [Int] = []) -> BridgeError {
        let seconds = (limit.seconds * 10).rounded() / 10
        let cause =
            stopped.isEmpty
            ? "it may be stopped, stuck or slow: look at its host, or raise dist.distributed_timeout_minutes"
            : "\(Self.named(stopped)) stopped by a signal (SIGSTOP or SIGTSTP); the run resumes from its last checkpoint"
        return BridgeError(.rankFailed, "\(problem) within \(seconds) s; \(cause)")
    }

    private static func named(_ ranks: [Int]) -> String {
        "\(ranks.count == 1 ? "rank" : "ranks") \(ranks.map(String.init).joined(separator: ", ")) "
            + (ranks.count == 1 ? "is" : "are")
    }
}
