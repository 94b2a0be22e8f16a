public import TensorRuntime

/// A rank of a world of which only the numbers are known, for planning: its groups exchange nothing.
///
/// The other ranks count as having the same values as this one, so that a model can be created with its shapes.
public final class PlannedWorld: RankWorld {
    /// This rank.
    public let rank: Int
    /// The number of ranks.
    public let size: Int

    /// A rank of a world.
    public init(rank: Int, size: Int) { (self.rank, self.size) = (rank, size) }

    /// Nobody waits.
    public func limitWaits(to limit: Duration) {}

    /// A group of the given size.
    public func group(_ ranks: [Int], name: String) -> any ProcessGroup {
        guard ranks.count > 1, let own = ranks.firstIndex(of: rank) else { return SingleRank() }
        return PlannedGroup(rank: own, size: ranks.count)
    }
}

/// A group of a ``PlannedWorld``.
private struct PlannedGroup: ProcessGroup {
    let rank: Int
    let size: Int

    func allReduceSum(_ tensor: Tensor) {}
    func allReduceMax(_ tensor: Tensor) {}
    func allGather(_ tensor: Tensor) -> Tensor {
        Tensor.concatenated([Tensor](repeating: tensor, count: size), dimension: 0)
    }
    func reduceScatterSum(_ tensor: Tensor) -> Tensor {
        let rows = tensor.shape[0] / size
        return tensor.narrowed(0, to: rank * rows..<(rank + 1) * rows)
    }
    func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) {}
    func allGather(_ tensor: Tensor, rows: [Range<Int>]) {}
    func broadcast(_ tensor: Tensor, from root: Int) {}
    func allGather(_ bytes: [UInt8]) -> [[UInt8]] { [[UInt8]](repeating: bytes, count: size) }
    func barrier() {}
    func send(_ tensor: Tensor, to rank: Int, tag: Int) {}
    func receive(_ tensor: Tensor, from rank: Int, tag: Int) {}
}
