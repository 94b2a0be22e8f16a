/// The ranks along one axis of a layout, and what they do together.
///
/// Layers are given their group and never look for one, so that the same code runs on one rank, on threads in a test
/// and over a network. Every rank of a group makes the same calls in the same order.
public protocol ProcessGroup: Sendable {
    /// This process's rank, from 0 on.
    var rank: Int { get }
    /// The number of ranks.
    var size: Int { get }

    /// All-reduce: sums a tensor over all ranks, in place.
    func allReduceSum(_ tensor: Tensor) throws
    /// All-reduce: the largest value of each element over all ranks, in place.
    func allReduceMax(_ tensor: Tensor) throws
    /// All-gather: concatenates the tensors of all ranks, of one shape, along dimension 0.
    func allGather(_ tensor: Tensor) throws -> Tensor
    /// Adds up over all ranks and leaves each its part of dimension 0, which `size` divides.
    func reduceScatterSum(_ tensor: Tensor) throws -> Tensor
    /// Broadcast: gives all ranks the tensor of one, in place.
    func broadcast(_ tensor: Tensor, from root: Int) throws
    /// Returns when all ranks have called it.
    func barrier() throws
}

/// A group of one, where every collective is done before it begins.
public struct SingleRank: ProcessGroup {
    /// The group.
    public init() {}
    /// The only rank.
    public var rank: Int { 0 }
    /// One.
    public var size: Int { 1 }
    /// Nothing to add.
    public func allReduceSum(_ tensor: Tensor) {}
    /// Nothing to compare with.
    public func allReduceMax(_ tensor: Tensor) {}
    /// The tensor itself.
    public func allGather(_ tensor: Tensor) -> Tensor { tensor }
    /// The tensor itself.
    public func reduceScatterSum(_ tensor: Tensor) -> Tensor { tensor }
    /// The tensor itself.
    public func broadcast(_ tensor: Tensor, from root: Int) {}
    /// A single rank does not wait.
    public func barrier() {}
}
