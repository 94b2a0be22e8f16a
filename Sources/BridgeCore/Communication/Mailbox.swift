import BridgeSupport
import CSystem

/// Memory through which the ranks of a host give each other large tensors, without the copies of MPI's messages.
///
/// Each rank has a part: a word for each block, then the blocks. A rank copies bytes into a free block of its own part and
/// gives the receiver the number of the block in a message of MPI; the receiver copies them out and frees the block. Nobody
/// waits: without a free block the bytes go through MPI.
final class Mailbox: @unchecked Sendable {
    /// The part of each rank of the host, by its number in the world.
    private let parts: [Int: UnsafeMutableRawPointer]
    private let own: UnsafeMutableRawPointer
    private let blockCount: Int

    /// The bytes of a block: few enough that the receiver reads them from a cache, while the sender fills the next block.
    static let blockByteCount = 4 << 20
    /// Smaller tensors are as fast in a message of MPI.
    static let leastByteCount = 128 << 10
    /// The most blocks of a rank.
    private static let mostBlocks = 32
    /// The bytes before the blocks.
    private static let headerByteCount = 4096

    /// The states of a block.
    private enum State {
        static let free: UInt32 = 0
        static let filling: UInt32 = 1
        static let full: UInt32 = 2
    }

    /// The memory that a rank needs for a number of blocks.
    static func byteCount(blocks: Int) -> Int { headerByteCount + blocks * blockByteCount }

    /// How many blocks each rank of a host can have, by the free shared memory: containers often have 64 MB.
    static func possibleBlocks(ranks: Int) -> Int {
        let free = Files.freeSpace(at: "/dev/shm") ?? Files.freeSpace(at: "/tmp") ?? 0
        return min(mostBlocks, free / 4 / ranks / blockByteCount)
    }

    /// A mailbox in memory whose words are zero.
    ///
    /// - Parameters:
    ///   - parts: The part of each rank of the host, by its number in the world.
    ///   - rank: This rank.
    ///   - blockCount: The number of blocks of each.
    init?(_ parts: [Int: UnsafeMutableRawPointer], rank: Int, blockCount: Int) {
        guard let own = parts[rank], blockCount > 0 else { return nil }
        (self.parts, self.own, self.blockCount) = (parts, own, blockCount)
    }

    /// Whether a tensor goes to or comes from a rank this way; both ranks decide the same.
    func carries(_ byteCount: Int, with rank: Int) -> Bool { byteCount >= Self.leastByteCount && parts[rank] != nil }

    private func word(_ block: Int, of part: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer { part + 4 * block }

    private func memory(_ block: Int, of part: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        part + Self.headerByteCount + block * Self.blockByteCount
    }

    /// Copies bytes into a block; calls of one rank do not overlap.
    ///
    /// - Parameter bytes: At most as many as a block has.
    /// - Returns: The number of the block; nil when none is free, or shared memory is full.
    func put(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let source = bytes.baseAddress,
            let block = (0..<blockCount).first(where: { csys_word_load(word($0, of: own)) == State.free })
        else { return nil }
        let target = memory(block, of: own)
        // A write to memory that does not exist would end the process.
        guard csys_populate(target, Int64(bytes.count)) == 0 else { return nil }
        csys_word_store(word(block, of: own), State.filling)
        target.copyMemory(from: source, byteCount: bytes.count)
        csys_word_store(word(block, of: own), State.full)
        return block
    }

    /// Copies the bytes of a block, and frees it.
    ///
    /// - Parameters:
    ///   - block: The number from a message.
    ///   - bytes: Where to; as many as were put.
    ///   - rank: The rank that has put them.
    /// - Throws: `BridgeError` for a block that is not full.
    func take(_ block: Int, into bytes: UnsafeMutableRawBufferPointer, from rank: Int) throws {
        guard let part = parts[rank], (0..<blockCount).contains(block),
            csys_word_load(word(block, of: part)) == State.full
        else {
            throw BridgeError(
                .rankFailed,
                "rank \(rank) sent block \(block) of shared memory, expected a full one of \(blockCount); start all ranks with "
                    + "the same program"
            )
        }
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: memory(block, of: part), count: bytes.count))
        csys_word_store(word(block, of: part), State.free)
    }
}
