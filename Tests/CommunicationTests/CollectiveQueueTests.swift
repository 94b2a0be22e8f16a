import BridgeSupport
import Communication
import Synchronization
import TensorRuntime
import TestSupport
import Testing

/// Collectives on a thread of their own.
@Suite struct CollectiveQueueTests {
    @Test func collectivesRunInTheirOrderAndCanBeWaitedFor() throws {
        let queue = CollectiveQueue()
        let order = Mutex<[Int]>([])
        let pending = (0..<100).map { number in queue.start { order.withLock { $0.append(number) } } }
        try pending[40].wait()
        #expect(order.withLock { Array($0.prefix(41)) } == Array(0...40))
        try queue.wait()
        #expect(order.withLock { $0 } == Array(0..<100))
    }

    @Test func theCallerContinuesBeforeACollectiveEnds() throws {
        let queue = CollectiveQueue()
        let lock = ConditionLock()
        let isReached = Mutex(false)
        // The collective waits for what the caller does after it has started it.
        let pending = queue.start { lock.locked { while !isReached.withLock({ $0 }) { lock.wait() } } }
        lock.locked {
            isReached.withLock { $0 = true }
            lock.signalAll()
        }
        try pending.wait()
    }

    @Test func noCollectiveRunsAfterOneThatFailed() throws {
        let queue = CollectiveQueue()
        let ran = Mutex(false)
        let second = queue.start { throw BridgeError(.rankFailed, "rank 3 has ended") }
        let third = queue.start { ran.withLock { $0 = true } }
        for pending in [second, third] {
            let error = #expect(throws: BridgeError.self) { try pending.wait() }
            #expect(error?.message == "rank 3 has ended")
        }
        #expect(!ran.withLock { $0 })
    }

    /// Ranks that compute with one group meanwhile sum with another.
    @Test func sumsOfOneGroupOverlapWithThoseOfAnother() throws {
        let count = 30_000
        let results = try ThreadWorld.run(3) { world in
            let engine = TestEngine.cpu(threadCount: 1)
            let ranks = [0, 1, 2]
            let (own, overlapped) = (try world.group(ranks, name: "own"), try world.group(ranks, name: "overlapped"))
            let queue = CollectiveQueue()
            let tensors = (0..<20).map { number in
                Tensor([Float](repeating: Float(number + world.rank), count: count), shape: [count], on: engine)
            }
            for tensor in tensors { queue.start { try overlapped.allReduceSum(tensor) } }
            let sums = try (0..<20).map { try own.allReduceSum([Double($0 * world.rank)])[0] }
            try queue.wait()
            return (sums, tensors.map { Set($0.floats()) })
        }
        for (sums, tensors) in results {
            #expect(sums == (0..<20).map { Double($0 * 3) })
            #expect(tensors == (0..<20).map { [Float(3 * $0 + 3)] })
        }
    }
}
