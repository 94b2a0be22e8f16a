import TensorRuntime

/// A group on several hosts whose collectives are made within the hosts and then between them.
///
/// The ranks of a host add up or gather in shared memory, the first ranks of the hosts do so with messages, and give the
/// result to the other ranks of their host. So a host sends and receives a tensor once, whatever the number of its ranks.
/// Sums are in the order of the ranks of a host, then of the hosts, in float32: a repeated run has the same bits.
final class HierarchicalGroup: ProcessGroup {
    private let all: any ProcessGroup
    private let host: any ProcessGroup
    private let leaders: (any ProcessGroup)?
    private let hosts: GroupHosts
    private let failure = FirstFailure()

    /// A group.
    ///
    /// - Parameters:
    ///   - all: All ranks, for messages and small values.
    ///   - host: The ranks on this host.
    ///   - leaders: The first ranks of all hosts, on each of those; nil on the other ranks.
    ///   - hosts: Where the ranks are.
    init(_ all: any ProcessGroup, host: any ProcessGroup, leaders: (any ProcessGroup)?, _ hosts: GroupHosts) {
        (self.all, self.host, self.leaders, self.hosts) = (all, host, leaders, hosts)
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

    // MARK: Copies

    /// All-gather: concatenates along dimension 0.
    func allGather(_ tensor: Tensor) throws -> Tensor {
        let count = tensor.shape[0]
        let whole = Tensor(
            uninitialized: [count * size] + tensor.shape.dropFirst(),
            tensor.elementType,
            on: tensor.engine
        )
        let rows = (0..<size).map { $0 * count..<($0 + 1) * count }
        tensor.engine.copy(tensor.detached, into: whole.narrowed(0, to: rows[rank]))
        try allGather(whole, rows: rows)
        return whole
    }

    /// All-gather in place: the rows of each rank.
    func allGather(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try failure.guarding {
            let ofHosts = hosts.members.map { members in members.map { rows[$0] } }
            if host.size > 1 { try host.allGather(tensor, rows: ofHosts[hosts.ownHost]) }
            if let joined = Self.joined(ofHosts) {
                try gather(tensor, joined)
            } else {
                // The rows of a host are apart: they travel side by side, in the order of the hosts.
                var count = 0
                let packed = ofHosts.map { ranges in
                    let first = count
                    count += ranges.reduce(0) { $0 + $1.count }
                    return first..<count
                }
                let buffer = Tensor(
                    uninitialized: [count] + tensor.shape.dropFirst(),
                    tensor.elementType,
                    on: tensor.engine
                )
                func each(_ host: Int, _ body: (_ rows: Tensor, _ packed: Tensor) -> Void) {
                    var first = packed[host].lowerBound
                    for range in ofHosts[host] {
                        body(tensor.narrowed(0, to: range), buffer.narrowed(0, to: first..<first + range.count))
                        first += range.count
                    }
                }
                each(hosts.ownHost) { tensor.engine.copy($0, into: $1) }
                try gather(buffer, packed)
                for host in ofHosts.indices where host != hosts.ownHost {
                    each(host) { tensor.engine.copy($1, into: $0) }
                }
            }
        }
    }

    /// Gathers the rows of each host, which are one range; all ranks of a host have those of theirs.
    private func gather(_ tensor: Tensor, _ rows: [Range<Int>]) throws {
        if let leaders { try leaders.allGather(tensor, rows: rows) }
        guard host.size > 1 else { return }
        // Neighbouring ranges are given to the ranks of this host at once.
        let others = rows.indices.filter { $0 != hosts.ownHost && !rows[$0].isEmpty }.map { rows[$0] }
        var parts: [Range<Int>] = []
        for range in others.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = parts.last, last.upperBound == range.lowerBound {
                parts[parts.count - 1] = last.lowerBound..<range.upperBound
            } else {
                parts.append(range)
            }
        }
        for part in parts { try host.broadcast(tensor.narrowed(0, to: part), from: 0) }
    }

    /// The rows of each host as one range; nil where those of a host are apart or not in the order of its ranks.
    private static func joined(_ ofHosts: [[Range<Int>]]) -> [Range<Int>]? {
        var joined: [Range<Int>] = []
        for ranges in ofHosts {
            for (range, next) in zip(ranges, ranges.dropFirst()) where range.upperBound != next.lowerBound {
                return nil
            }
            guard let first = ranges.first, let last = ranges.last else { return nil }
            joined.append(first.lowerBound..<last.upperBound)
        }
        return joined
    }

    /// Broadcast: gives all ranks the tensor of one, in place.
    func broadcast(_ tensor: Tensor, from root: Int) throws {
        try failure.guarding {
            let (source, member) = hosts.location(of: root)
            let isSource = source == hosts.ownHost
            if isSource, host.size > 1 { try host.broadcast(tensor, from: member) }
            if let leaders { try leaders.broadcast(tensor, from: source) }
            if !isSource, host.size > 1 { try host.broadcast(tensor, from: 0) }
        }
    }

    // MARK: The rest

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
