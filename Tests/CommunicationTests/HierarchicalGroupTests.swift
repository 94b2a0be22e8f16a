import BridgeSupport
import Communication
import TensorRuntime
import TestSupport
import Testing

/// Collectives of ranks on several hosts: sums against those made here in the order of the ranks of a host and then of the
/// hosts, copies against the values of each rank.
@Suite struct HierarchicalGroupTests {
    struct Case: Sendable, CustomTestStringConvertible {
        /// The host of each rank.
        var hosts: [Int]
        var count: Int

        var testDescription: String { "\(hosts), \(count) values" }
    }

    static let cases =
        [[0, 0, 1, 1], [0, 0, 0, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 1, 2, 2, 2, 1, 0]].flatMap { hosts in
            [1, 24, 5_000].map { Case(hosts: hosts, count: $0 * hosts.count) }
        } + [Case(hosts: [0, 0, 1, 1], count: 300_000)]

    /// Values whose float32 sums depend on the order.
    private static func values(_ rank: Int, _ count: Int) -> [Float] {
        (0..<count).map { index in
            let number = Float((index * 2_654_435 + rank * 40_503) % 100_003) / 100_003 - 0.5
            return number * Float(1 << ((index + 3 * rank) % 12))
        }
    }

    /// The sums in the order that the group promises.
    private static func sums(_ test: Case) -> [Float] {
        let all = test.hosts.indices.map { values($0, test.count) }
        let members = Set(test.hosts).map { host in test.hosts.indices.filter { test.hosts[$0] == host } }
            .sorted { $0[0] < $1[0] }
        return (0..<test.count).map { index in
            let ofHosts = members.map { ranks in ranks.dropFirst().reduce(all[ranks[0]][index]) { $0 + all[$1][index] }
            }
            return ofHosts.dropFirst().reduce(ofHosts[0], +)
        }
    }

    @Test(arguments: cases)
    func sumsAreInTheOrderOfRanksAndHosts(_ test: Case) throws {
        let (size, expected) = (test.hosts.count, Self.sums(test))
        let results = try ThreadWorld.run(size, hosts: test.hosts) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            let values = Self.values(world.rank, test.count)
            let sum = Tensor(values, shape: [test.count], on: engine)
            try group.allReduceSum(sum)
            let part = try group.reduceScatterSum(Tensor(values, shape: [test.count], on: engine))
            let rows = Tensor(values, shape: [test.count], on: engine)
            try group.reduceScatterSum(rows, rows: group.parts(of: test.count))
            let own = group.parts(of: test.count)[world.rank]
            let whole = try group.allGather(part)
            try group.allGather(rows, rows: group.parts(of: test.count))
            let largest = Tensor(values, shape: [test.count], on: engine)
            try group.allReduceMax(largest)
            return (sum.floats(), part.floats(), own, whole.floats(), rows.floats(), largest.floats())
        }
        let all = test.hosts.indices.map { Self.values($0, test.count) }
        let largest = (0..<test.count).map { index in all.map { $0[index] }.max() }
        for (sum, part, own, whole, rows, most) in results {
            #expect(sum == expected)
            #expect(part == Array(expected[own]))
            #expect(whole == expected && rows == expected)
            #expect(most.map { Optional($0) } == largest)
        }
    }

    /// 1 + 8 x 2^-9 is 1 + 2^-6; rounded on each host it would be 1.
    @Test func bfloat16IsRoundedOnce() throws {
        let results = try ThreadWorld.run(8, hosts: [0, 0, 1, 1, 2, 2, 3, 3]) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<8), name: "all")
            let tensor = Tensor([world.rank == 0 ? 1 : 0x1p-9], shape: [1], on: engine).cast(to: .bfloat16)
            try group.allReduceSum(tensor)
            return tensor.cast(to: .float32).floats()[0]
        }
        // 1 + 7 x 2^-9 = 1.013671875; the nearest bfloat16 is 1.015625.
        #expect(results == [Float](repeating: 1.015625, count: 8))
    }

    static let hosts = [[0, 0, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 1, 2, 2, 2, 1, 0], [0, 0, 1]]

    /// Values of which some are NaN with bits of their own.
    private static func bits(_ rank: Int, _ count: Int) -> [Float] {
        (0..<count).map { index in
            index % 5 == 3
                ? Float(bitPattern: 0x7FC0_0000 + UInt32(rank * 1000 + index)) : Float(rank) + Float(index) / 64
        }
    }

    private static func patterns(_ tensor: Tensor) -> [UInt32] { tensor.floats().map(\.bitPattern) }

    /// More than a slot, which has 1 MiB, and few values.
    @Test(arguments: hosts, [3, 150_001])
    func gathersHaveTheBitsOfEachRank(_ hosts: [Int], _ width: Int) throws {
        let size = hosts.count
        let results = try ThreadWorld.run(size, hosts: hosts) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            let part = Tensor(Self.bits(world.rank, 2 * width), shape: [2, width], on: engine)
            let whole = try group.allGather(part)
            return (whole.shape, Self.patterns(whole))
        }
        let expected = hosts.indices.flatMap { Self.bits($0, 2 * width).map(\.bitPattern) }
        for (shape, found) in results {
            #expect(shape == [2 * size, width])
            #expect(found == expected)
        }
    }

    /// Ranks have different numbers of rows, which are not in the order of the ranks; row 0 is nobody's.
    @Test(arguments: hosts)
    func rowsAreGatheredInPlace(_ hosts: [Int]) throws {
        let (size, width) = (hosts.count, 7)
        var rows = [Range<Int>](repeating: 0..<0, count: size)
        var count = 1
        for rank in hosts.indices.reversed() {
            rows[rank] = count..<count + rank % 3 + (rank == 1 ? 0 : 1)
            count = rows[rank].upperBound
        }
        let (all, ranges) = (count, rows)
        let results = try ThreadWorld.run(size, hosts: hosts) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            let tensor = Tensor(Self.bits(world.rank, all * width), shape: [all, width], on: engine)
            try group.allGather(tensor, rows: ranges)
            return Self.patterns(tensor)
        }
        for (rank, found) in results.enumerated() {
            for row in 0..<all {
                let owner = rows.firstIndex { $0.contains(row) } ?? rank
                let values = Self.bits(owner, all * width)[row * width..<(row + 1) * width]
                #expect(found[row * width..<(row + 1) * width].elementsEqual(values.map(\.bitPattern)), "row \(row)")
            }
        }
    }

    @Test(arguments: hosts)
    func everyRankCanBroadcast(_ hosts: [Int]) throws {
        let (size, count) = (hosts.count, 300_001)
        let results = try ThreadWorld.run(size, hosts: hosts) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            return try (0..<size).map { root in
                let tensor = Tensor(Self.bits(world.rank, count), shape: [count], on: engine)
                try group.broadcast(tensor, from: root)
                return Self.patterns(tensor) == Self.bits(root, count).map(\.bitPattern)
            }
        }
        #expect(results == [[Bool]](repeating: [Bool](repeating: true, count: size), count: size))
    }

    @Test func aFailedRankEndsTheRanksOfOtherHosts() throws {
        let error = #expect(throws: BridgeError.self) {
            try ThreadWorld.run(4, hosts: [0, 0, 1, 1]) { world in
                let group = try world.group([0, 1, 2, 3], name: "all")
                if world.rank == 3 { throw BridgeError(.badArgument, "rank 3 has no data") }
                let tensor = Tensor([1], shape: [1], on: TestEngine.cpu(threadCount: 1))
                try group.allReduceSum(tensor)
            }
        }
        #expect(error?.message == "rank 3 has no data")
    }
}
