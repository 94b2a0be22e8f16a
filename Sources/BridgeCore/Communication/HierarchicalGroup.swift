import TensorRuntime

/// A group on several hosts whose reductions are made within the hosts first.
///
/// The ranks of a host add up in shared memory, the first ranks of the hosts add up those sums with messages, and give the
/// result to the other ranks of their host. So a host sends and receives a tensor once, whatever the number of its ranks.
/// Sums are in the order of the ranks of a host, then of the hosts, in float32: a repeated run has the same bits.
final class HierarchicalGroup: ProcessGroup {
    private let all: any ProcessGroup
    private let host: any ProcessGroup
    private let leaders: (any ProcessGroup)?
    private let failure = FirstFailure()

    /// A group.
    ///
    /// - Parameters:
    ///   - all: All ranks, for what is not a reduction.
    ///   - host: The ranks on this host.
    ///   - leaders: The first ranks of all hosts, on each of those; nil on the other ranks.
    init(_ all: any ProcessGroup, host: any ProcessGroup, leaders: (any ProcessGroup)?) {
        (self.all, self.host, self.leaders) = (all, host, leaders)
    }

    /// This rank within the group.
    var rank: Int { all.rank }
    /// The number of ranks.
    var size: Int { all.size }

    // MARK: Reductions

    /// All-reduce: sums in place.
    func allReduceSum(_ tensor: Tensor) throws { try reduce(tensor) { try $0.allReduceSum($1) } }

    /// All-reduce: the largest values in place.
    func allReduceMax(_ tensor: Tensor) throws { try reduce(tensor) { try $0.allReduceMax($1) } }

    /// Sums over all ranks and leaves each its part of dimension 0.
    func reduceScatterSum(_ tensor: Tensor) throws -> Tensor {
        let sum = Tensor(uninitialized: tensor.shape, tensor.elementType, on: tensor.engine)
        tensor.engine.copy(tensor.detached, into: sum)
        try allReduceSum(sum)
        let count = tensor.shape[0] / size
        return sum.narrowed(0, to: rank * count..<(rank + 1) * count).contiguous()
    }

    /// Sums in place, those of all rows.
    func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) throws { try allReduceSum(tensor) }

    private func reduce(_ tensor: Tensor, _ body: (any ProcessGroup, Tensor) throws -> Void) throws {
        guard tensor.elementType == .bfloat16 else { return try reduceInPlace(tensor, body) }
        // Rounded once, and not on every host.
        let wide = tensor.detached.cast(to: .float32)
        try reduceInPlace(wide, body)
        tensor.engine.copy(wide, into: tensor)
    }

    private func reduceInPlace(_ tensor: Tensor, _ body: (any ProcessGroup, Tensor) throws -> Void) throws {
        try failure.guarding {
            if host.size > 1 { try body(host, tensor) }
            if let leaders { try body(leaders, tensor) }
            if host.size > 1 { try host.broadcast(tensor, from: 0) }
        }
    }

    // MARK: The rest

    /// All-gather: concatenates along dimension 0.
    func allGather(_ tensor: Tensor) throws -> Tensor { try failure.guarding { try all.allGather(tensor) } }

    /// All-gather in place: the rows of each rank.
    func allGather(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try failure.guarding { try all.allGather(tensor, rows: rows) }
    }

    /// Broadcast: gives all ranks the tensor of one, in place.
    func broadcast(_ tensor: Tensor, from root: Int) throws {
        try failure.guarding { try all.broadcast(tensor, from: root) }
    }

    /// The bytes of every rank, in the order of the ranks; their numbers may differ.
    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] { try failure.guarding { try all.allGather(bytes) } }

    /// Returns when all ranks have called it.
    func barrier() throws { try failure.guarding { try all.barrier() } }

    /// Gives a tensor to a rank of the group.
    func send(_ tensor: Tensor, to rank: Int, tag: Int) throws {
        try failure.guarding { try all.send(tensor, to: rank, tag: tag) }
    }

    /// Takes a tensor from a rank of the group, in place.
    func receive(_ tensor: Tensor, from rank: Int, tag: Int) throws {
        try failure.guarding { try all.receive(tensor, from: rank, tag: tag) }
    }
}
