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
    /// Adds up over all ranks, in place: each then has the sums of its rows, and unknown values in the others.
    func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) throws
    /// All-gather in place: each rank has some of the rows, and then all of them.
    func allGather(_ tensor: Tensor, rows: [Range<Int>]) throws
    /// Broadcast: gives all ranks the tensor of one, in place.
    func broadcast(_ tensor: Tensor, from root: Int) throws
    /// All-gather of bytes, whose numbers may differ; in the order of the ranks.
    func allGather(_ bytes: [UInt8]) throws -> [[UInt8]]
    /// Returns when all ranks have called it.
    func barrier() throws
    /// Gives a tensor to a rank; does not wait until it is taken. Messages with one tag are taken in order.
    func send(_ tensor: Tensor, to rank: Int, tag: Int) throws
    /// Waits for a tensor of the same shape and type with a tag from a rank, in place.
    func receive(_ tensor: Tensor, from rank: Int, tag: Int) throws
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
    public func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) {}
    /// The tensor itself.
    public func allGather(_ tensor: Tensor, rows: [Range<Int>]) {}
    /// The tensor itself.
    public func broadcast(_ tensor: Tensor, from root: Int) {}
    /// The bytes themselves.
    public func allGather(_ bytes: [UInt8]) -> [[UInt8]] { [bytes] }
    /// A single rank does not wait.
    public func barrier() {}
    /// A single rank has nobody to send to.
    public func send(_ tensor: Tensor, to rank: Int, tag: Int) {}
    /// A single rank has nobody to receive from.
    public func receive(_ tensor: Tensor, from rank: Int, tag: Int) {}
}

extension ProcessGroup {
    /// The ranges of a number of items that the ranks have, as equal as possible.
    public func parts(of count: Int) -> [Range<Int>] {
        (0..<size).map { count * $0 / size..<count * ($0 + 1) / size }
    }

    /// Gives a tensor to a rank.
    public func send(_ tensor: Tensor, to rank: Int) throws { try send(tensor, to: rank, tag: 0) }
    /// Waits for a tensor from a rank, in place.
    public func receive(_ tensor: Tensor, from rank: Int) throws { try receive(tensor, from: rank, tag: 0) }

    /// The sums of numbers over all ranks, in double precision and in the order of the ranks.
    public func allReduceSum(_ values: [Double]) throws -> [Double] {
        guard size > 1 else { return values }
        let own = values.withUnsafeBytes { Array($0) }
        var sums = [Double](repeating: 0, count: values.count)
        for bytes in try allGather(own) {
            bytes.withUnsafeBytes {
                for index in sums.indices { sums[index] += $0.load(fromByteOffset: 8 * index, as: Double.self) }
            }
        }
        return sums
    }
}

extension ProcessGroup {
    /// All-reduce of several float32 tensors, in place; small ones travel together.
    public func allReduceSum(_ tensors: [Tensor]) throws {
        guard size > 1 else { return }
        let limit = 1 << 16
        for tensor in tensors where tensor.count > limit { try allReduceSum(tensor) }
        let small = tensors.filter { $0.count <= limit }
        guard let engine = small.first?.engine else { return }
        let whole = Tensor(uninitialized: [small.reduce(0) { $0 + $1.count }], .float32, on: engine)
        func each(_ body: (Tensor, Tensor) -> Void) {
            var start = 0
            for tensor in small {
                body(tensor, whole.narrowed(0, to: start..<start + tensor.count).reshaped(tensor.shape))
                start += tensor.count
            }
        }
        each { engine.copy($0, into: $1) }
        try allReduceSum(whole)
        each { engine.copy($1, into: $0) }
    }
}
