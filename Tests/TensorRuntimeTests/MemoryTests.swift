import TestSupport
import Testing

@testable import TensorRuntime

/// Memory goes back and forth between tensors and the pool.
@Suite struct MemoryTests {
    @Test func aBlockServesTheNextRequestOfAboutItsSize() {
        let pool = MemoryPool(limit: 1 << 20)
        let first = pool.take(10_000)
        let second = pool.take(10_000)
        #expect(first != second)
        #expect(Int(bitPattern: first) % 64 == 0 && Int(bitPattern: second) % 64 == 0)
        pool.giveBack(first, 10_000)
        let larger = pool.take(10_100)
        #expect(larger == first, "10,100 bytes fit into the block that 10,000 took")
        pool.giveBack(larger, 10_100)
        let other = pool.take(20_000)
        #expect(other != first)
        pool.giveBack(other, 20_000)
        pool.giveBack(second, 10_000)
    }

    @Test func tensorsGiveTheirMemoryBack() {
        let engine = TestEngine.cpu(threadCount: 1)
        var tensor: Tensor? = Tensor(uninitialized: [1000], .float32, on: engine)
        let address = tensor?.pointer
        let view = tensor?.narrowed(0, to: 5..<9)
        tensor = nil
        #expect(Tensor(uninitialized: [1000], .float32, on: engine).pointer != address, "a view still needs it")
        _ = view?.count
        let other = Tensor(uninitialized: [1000], .float32, on: engine)
        #expect(Int(bitPattern: other.pointer) % 64 == 0)
    }

    @Test func aBlockIsUsedAgainWhenItsTensorIsGone() {
        let engine = TestEngine.cpu(threadCount: 1)
        func address() -> UnsafeMutableRawPointer { Tensor(uninitialized: [999], .float32, on: engine).pointer }
        #expect(address() == address())
    }

    @Test func readOnlyMemoryRetainsItsOwner() {
        final class Owner: Sendable {
            nonisolated(unsafe) let bytes: UnsafeMutablePointer<Float>
            init() {
                bytes = .allocate(capacity: 4)
                bytes.initialize(repeating: 2.5, count: 4)
            }
            deinit { bytes.deallocate() }
        }
        let engine = TestEngine.cpu(threadCount: 1)
        var owner: Owner? = Owner()
        weak let watched = owner
        var tensor = owner.map { owner in
            Tensor(
                storage: engine.makeStorage(
                    mapping: UnsafeRawBufferPointer(start: owner.bytes, count: 16),
                    owner: owner,
                    for: engine
                ),
                elementType: .float32,
                shape: [4]
            )
        }
        owner = nil
        #expect(tensor?.storage.isReadOnly == true)
        #expect(tensor?.floats() == [2.5, 2.5, 2.5, 2.5])
        #expect(watched != nil)
        tensor = nil
        #expect(watched == nil)
    }
}
