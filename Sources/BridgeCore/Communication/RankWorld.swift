public import TensorRuntime

/// All ranks of a run: where groups come from.
public protocol RankWorld: AnyObject, Sendable {
    /// This rank, from 0 on.
    var rank: Int { get }
    /// The number of ranks.
    var size: Int { get }

    /// The group of some ranks, which all of them create in the same order.
    ///
    /// - Parameters:
    ///   - ranks: Their numbers in the world, in the order of the group; this rank is one of them.
    ///   - name: The group's name for messages, such as `tensor-parallel`.
    /// - Returns: The group.
    /// - Throws: `BridgeError` when the ranks cannot be connected.
    func group(_ ranks: [Int], name: String) throws -> any ProcessGroup

    /// Sets how long ranks wait for others, in groups that are created from here on.
    func limitWaits(to limit: Duration)
}

/// The world of a run with one rank.
public final class SingleRankWorld: RankWorld {
    /// The world.
    public init() {}
    /// The only rank.
    public var rank: Int { 0 }
    /// One.
    public var size: Int { 1 }
    /// The group of the only rank.
    public func group(_ ranks: [Int], name: String) -> any ProcessGroup { SingleRank() }
    /// There is nobody to wait for.
    public func limitWaits(to limit: Duration) {}
}
