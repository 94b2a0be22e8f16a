import BridgeSupport
import Communication
import TensorRuntime
import TestSupport
import Testing

/// Collectives among threads, against sums in double precision and copies made by hand.
@Suite struct ThreadWorldTests {
    private static func values(_ rank: Int, _ count: Int) -> [Float] {
        (0..<count).map { Float((rank + 1) * 31 + $0 * 7 % 1013) / 64 }
    }

    /// More than a slot, which has 1 MiB, and not a multiple of anything.
    @Test(arguments: [1, 2, 3, 5, 8], [1, 7, 20_001, 700_001])
    func sumsAndMaximaOfAllRanks(size: Int, count: Int) throws {
        let all = (0..<size).map { Self.values($0, count) }
        let sums = (0..<count).map { index in Float(all.reduce(0.0) { $0 + Double($1[index]) }) }
        let results = try ThreadWorld.run(size) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            let tensor = Tensor(Self.values(world.rank, count), shape: [count], on: engine)
            try group.allReduceSum(tensor)
            let largest = Tensor(Self.values(world.rank, count), shape: [count], on: engine)
            try group.allReduceMax(largest)
            return (tensor.floats(), largest.floats())
        }
        #expect(results.count == size)
        for (sum, largest) in results {
            // The values are multiples of 1/64 below 2^15, so that float32 sums are exact.
            #expect(sum == sums)
            #expect(largest == Self.values(size - 1, count))
        }
    }

    /// bfloat16 is summed in float32 and rounded once: 1 + 8 x 2^-9 is 1 + 2^-6, and adding in bfloat16 would lose all.
    @Test func bfloat16IsSummedInFloat32() throws {
        let results = try ThreadWorld.run(8) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<8), name: "all")
            let value: Float = world.rank == 0 ? 1 : 0x1p-9
            let tensor = Tensor([value], shape: [1], on: engine).cast(to: .bfloat16)
            try group.allReduceSum(tensor)
            return tensor.cast(to: .float32).floats()[0]
        }
        // 1 + 7 x 2^-9 = 1.013671875; the nearest bfloat16 is 1.015625.
        #expect(results == [Float](repeating: 1.015625, count: 8))
    }

    @Test(arguments: [2, 3, 4], [5, 300_007])
    func scattersAndGathers(size: Int, width: Int) throws {
        let results = try ThreadWorld.run(size) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group(Array(0..<size), name: "all")
            let tensor = Tensor(Self.values(world.rank, size * width), shape: [size, width], on: engine)
            let part = try group.reduceScatterSum(tensor)
            let whole = try group.allGather(part)
            try group.allReduceSum(tensor)
            return (
                part.shape, whole.floats() == tensor.floats(),
                try group.allGather([UInt8](repeating: 7, count: world.rank))
            )
        }
        for (shape, isEqual, bytes) in results {
            #expect(shape == [1, width])
            #expect(isEqual)
            #expect(bytes == (0..<size).map { [UInt8](repeating: 7, count: $0) })
        }
    }

    /// What a rank divides among the others has the rows of all of them, and its gradient needs their number only.
    @Test func whatIsDividedIsNotKeptForTheBackwardPass() throws {
        let kept = try ThreadWorld.run(2) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group([0, 1], name: "all")
            let x = Tensor(Self.values(world.rank, 8 * 3), shape: [1, 8, 3], on: engine).trackingGradient()
            func divided() throws -> (sum: Tensor, part: Tensor, kept: () -> Bool) {
                let (first, second) = (x * 2, x * 3)
                weak let one = first.storage
                weak let other = second.storage
                let sum = try first.scatteredSum(1, over: group)
                // A part is a view of the rows; a product of it is not.
                let part = second.part(1, of: group) * 1
                return (sum, part, { one != nil || other != nil })
            }
            let (sum, part, kept) = try divided()
            let isKept = kept()
            let gradient = try #require(Gradients(of: (sum + part).sum())[x]).floats()
            // Each rank adds 2 for its rows, and the gathered gradient of each half is that of the rank that has it.
            return (isKept, gradient)
        }
        for (isKept, gradient) in kept {
            #expect(!isKept)
            #expect(gradient == [Float](repeating: 5, count: 24))
        }
    }

    @Test func broadcastsAndMessages() throws {
        let results = try ThreadWorld.run(3) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let group = try world.group([0, 1, 2], name: "all")
            let tensor = Tensor(Self.values(world.rank, 400_000), shape: [400_000], on: engine)
            try group.broadcast(tensor, from: 2)
            let isOfTwo = tensor.floats() == Self.values(2, 400_000)
            // A ring: each rank gives its number to the next, twice.
            let next = (world.rank + 1) % 3
            let previous = (world.rank + 2) % 3
            for number in [10, 20] {
                try group.send(Tensor([Float(number + world.rank)], shape: [1], on: engine), to: next)
            }
            let taken = Tensor([0, 0], shape: [2], on: engine)
            try group.receive(taken.narrowed(0, to: 0..<1), from: previous)
            try group.receive(taken.narrowed(0, to: 1..<2), from: previous)
            return (isOfTwo, taken.floats())
        }
        for (rank, (isOfTwo, taken)) in results.enumerated() {
            #expect(isOfTwo)
            #expect(taken == [Float(10 + (rank + 2) % 3), Float(20 + (rank + 2) % 3)])
        }
    }

    @Test func sumsOfDoublesAreInOrder() throws {
        let results = try ThreadWorld.run(3) { world in
            try world.group([0, 1, 2], name: "all").allReduceSum([1e16, 1, Double(world.rank)])
        }
        #expect(results == [[Double]](repeating: [3e16, 3, 3], count: 3))
    }

    /// The others do not wait for a rank that threw, and its error is the run's.
    @Test func aFailedRankEndsTheOthers() throws {
        let error = #expect(throws: BridgeError.self) {
            try ThreadWorld.run(3) { world in
                if world.rank == 1 { throw BridgeError(.badArgument, "rank 1 has no data") }
                try world.group([0, 1, 2], name: "all").barrier()
            }
        }
        #expect(error?.message == "rank 1 has no data")
    }

    @Test func aMissingRankIsNamedAfterTheTimeLimit() throws {
        let error = #expect(throws: BridgeError.self) {
            try ThreadWorld.run(3, timeout: RankTimeout(limit: .milliseconds(50))) { world in
                if world.rank != 2 { try world.group([0, 1, 2], name: "all").barrier() }
            }
        }
        #expect(error?.code == .rankFailed)
        #expect(error?.message.contains("rank 2 did not take part") == true)
    }
}
