public import TensorRuntime

/// How long the collectives of a group take, beside a copy of as many bytes in the memory of a rank.
public struct CollectiveTimes: Sendable {
    /// A collective of one size.
    public struct Entry: Sendable {
        /// Its name, such as `all-reduce`; `copy` for the copy.
        public let name: String
        /// The bytes of the tensor that each rank gives, or gets where it gives a part.
        public let byteCount: Int
        /// The median time of the slowest rank, in seconds.
        public let seconds: Double
    }

    /// The collectives, each of every size.
    public let entries: [Entry]

    /// Measures the collectives; all ranks of the group call this.
    ///
    /// - Parameters:
    ///   - group: The ranks.
    ///   - byteCounts: The sizes, multiples of 4 and of the number of ranks.
    ///   - rounds: How often each is measured, after one that is not.
    ///   - engine: The engine of the tensors.
    /// - Throws: What the group throws.
    public init(
        _ group: any ProcessGroup,
        byteCounts: [Int],
        rounds: Int,
        on engine: any TensorEngine
    ) throws {
        let next = (group.rank + 1) % group.size
        let previous = (group.rank + group.size - 1) % group.size
        var entries: [Entry] = []
        for byteCount in byteCounts {
            let count = byteCount / 4
            // Zeros stay zeros, whatever the number of sums.
            let (whole, other) = (
                Tensor.zeros([count], .float32, on: engine), Tensor.zeros([count], .float32, on: engine)
            )
            let part = Tensor.zeros([count / group.size], .float32, on: engine)
            let works: [(String, () throws -> Void)] = [
                ("copy", { engine.copy(whole, into: other) }),
                ("all-reduce", { try group.allReduceSum(whole) }),
                ("reduce-scatter", { _ = try group.reduceScatterSum(whole) }),
                ("all-gather", { _ = try group.allGather(part) }),
                ("broadcast", { try group.broadcast(whole, from: 0) }),
                (
                    "send and receive",
                    {
                        try group.send(whole, to: next)
                        try group.receive(other, from: previous)
                    }
                ),
            ]
            for (name, work) in works {
                entries.append(
                    Entry(name: name, byteCount: byteCount, seconds: try Self.median(rounds, over: group, work))
                )
            }
        }
        self.entries = entries
    }

    private static func median(_ rounds: Int, over group: any ProcessGroup, _ work: () throws -> Void) throws -> Double
    {
        let clock = ContinuousClock()
        let times = try (0...rounds).map { _ in
            try group.barrier()
            let own = try clock.measure(work) / .seconds(1)
            // A collective is as slow as its slowest rank.
            return try group.allGather(withUnsafeBytes(of: own) { Array($0) })
                .map { $0.withUnsafeBytes { $0.loadUnaligned(as: Double.self) } }.max() ?? own
        }.dropFirst().sorted()
        return times[times.count / 2]
    }
}
