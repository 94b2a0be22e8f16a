public import TensorRuntime

/// A world whose groups record the times of their collectives.
public final class TracedWorld: RankWorld {
    private let base: any RankWorld
    private let trace: ChromeTrace

    /// A world that records into a trace what another one does.
    public init(_ base: any RankWorld, into trace: ChromeTrace) { (self.base, self.trace) = (base, trace) }

    /// This rank.
    public var rank: Int { base.rank }
    /// The number of ranks.
    public var size: Int { base.size }

    /// Sets how long ranks wait for others.
    public func limitWaits(to limit: Duration) { base.limitWaits(to: limit) }

    /// The group of some ranks.
    public func group(_ ranks: [Int], name: String) throws -> any ProcessGroup {
        let group = try base.group(ranks, name: name)
        guard group.size > 1 else { return group }
        let lane: ChromeTrace.Lane =
            switch name {
            case ProcessGroupCollection.overlappedName: .overlapped
            case ProcessGroupCollection.checkpointName: .checkpoint
            default: .computation
            }
        return TracedGroup(base: group, category: name, lane: lane, trace: trace)
    }
}

/// A group that records its collectives.
private struct TracedGroup: ProcessGroup {
    let base: any ProcessGroup
    let category: String
    let lane: ChromeTrace.Lane
    let trace: ChromeTrace

    var rank: Int { base.rank }
    var size: Int { base.size }

    private func measure<Result>(_ name: String, bytes: Int, _ body: () throws -> Result) rethrows -> Result {
        try trace.measure(name, category: category, lane: lane, [("bytes", bytes), ("ranks", size)], body)
    }

    private func measure<Result>(_ name: String, _ tensor: Tensor, _ body: () throws -> Result) rethrows -> Result {
        try measure(name, bytes: tensor.count * tensor.elementType.byteCount, body)
    }

    func allReduceSum(_ tensor: Tensor) throws { try measure("all-reduce", tensor) { try base.allReduceSum(tensor) } }
    func allReduceMax(_ tensor: Tensor) throws { try measure("all-reduce", tensor) { try base.allReduceMax(tensor) } }
    func allGather(_ tensor: Tensor) throws -> Tensor {
        try measure("all-gather", tensor) { try base.allGather(tensor) }
    }
    func reduceScatterSum(_ tensor: Tensor) throws -> Tensor {
        try measure("reduce-scatter", tensor) { try base.reduceScatterSum(tensor) }
    }
    func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try measure("reduce-scatter", tensor) { try base.reduceScatterSum(tensor, rows: rows) }
    }
    func allGather(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try measure("all-gather", tensor) { try base.allGather(tensor, rows: rows) }
    }
    func broadcast(_ tensor: Tensor, from root: Int) throws {
        try measure("broadcast", tensor) { try base.broadcast(tensor, from: root) }
    }
    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        try measure("all-gather", bytes: bytes.count) { try base.allGather(bytes) }
    }
    func barrier() throws { try measure("barrier", bytes: 0) { try base.barrier() } }
    func send(_ tensor: Tensor, to rank: Int, tag: Int) throws {
        try measure("send", tensor) { try base.send(tensor, to: rank, tag: tag) }
    }
    func receive(_ tensor: Tensor, from rank: Int, tag: Int) throws {
        try measure("receive", tensor) { try base.receive(tensor, from: rank, tag: tag) }
    }
}
