import BridgeSupport
import TestSupport
import Testing

@testable import Communication

/// Large tensors between two ranks of a host, in memory that both see.
@Suite struct MailboxTests {
    /// The mailboxes of two ranks, 4 and 7 of their world, with two blocks each.
    private final class Pair {
        let parts: [UnsafeMutableRawPointer]
        let sender, receiver: Mailbox

        init() throws {
            parts = (0..<2).map { _ in
                let memory = UnsafeMutableRawPointer.allocate(byteCount: Mailbox.byteCount(blocks: 2), alignment: 4096)
                memory.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
                return memory
            }
            let all = [4: parts[0], 7: parts[1]]
            sender = try #require(Mailbox(all, rank: 4, blockCount: 2))
            receiver = try #require(Mailbox(all, rank: 7, blockCount: 2))
        }

        deinit { for part in parts { part.deallocate() } }
    }

    private static func bytes(_ count: Int, _ seed: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ seed) }
    }

    private func taken(_ block: Int, _ count: Int, by mailbox: Mailbox, from rank: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try mailbox.take(block, into: $0, from: rank) }
        return bytes
    }

    @Test func bytesArriveAndBlocksAreUsedAgain() throws {
        let pair = try Pair()
        for round in 0..<5 {
            let counts = [Mailbox.blockByteCount, 1000 + round]
            let blocks = try counts.map { count in
                try #require(Self.bytes(count, round).withUnsafeBytes { pair.sender.put($0) })
            }
            #expect(Set(blocks) == [0, 1])
            // All blocks are full, and nobody waits for a free one.
            #expect(Self.bytes(9, 1).withUnsafeBytes { pair.sender.put($0) } == nil)
            for (block, count) in zip(blocks, counts).reversed() {
                #expect(try taken(block, count, by: pair.receiver, from: 4) == Self.bytes(count, round))
            }
        }
    }

    @Test func aBlockThatIsNotFullIsRefused() throws {
        let pair = try Pair()
        for block in [0, -2, 2, .max] {
            let error = #expect(throws: BridgeError.self) { try taken(block, 8, by: pair.receiver, from: 4) }
            #expect(error?.code == .rankFailed && error?.message.contains("rank 4 sent block \(block)") == true)
        }
    }

    @Test func onlyLargeTensorsOfTheHostGoThisWay() throws {
        let pair = try Pair()
        #expect(pair.sender.carries(Mailbox.leastByteCount, with: 7))
        #expect(!pair.sender.carries(Mailbox.leastByteCount - 1, with: 7))
        #expect(!pair.sender.carries(1 << 30, with: 5))
        #expect(Mailbox([4: pair.parts[0]], rank: 5, blockCount: 2) == nil)
        #expect(Mailbox([4: pair.parts[0]], rank: 4, blockCount: 0) == nil)
    }
}
