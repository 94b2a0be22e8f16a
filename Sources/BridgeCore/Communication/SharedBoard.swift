import BridgeSupport
import CSystem
import Glibc
import Synchronization

/// Rounds through memory that all ranks of a group see: threads of one process, or processes of one host.
///
/// Each rank has a part of the memory: a word that counts its rounds, then two slots, used in turn. A rank writes a slot
/// two rounds after its last use, when every rank has arrived at the round between and so has read it; one wait per round
/// is enough.
final class SharedBoard: RankExchange, @unchecked Sendable {
    let rank: Int
    let slotByteCount: Int
    private let parts: [UnsafeMutableRawPointer]
    private let ranks: [Int]
    private let timeout: RankTimeout
    private let messages: any RankMessages
    /// Keeps the memory.
    private let owner: AnyObject
    private var count: UInt32 = 0

    var size: Int { parts.count }

    /// The bytes before the slots: the word of rounds, and the number of the process on another cache line.
    private static let headerByteCount = 4096
    private static let processOffset = 64
    /// How often the word of a rank is read before the thread sleeps, where each rank has a core.
    private static let spinCount = 4000

    /// The memory that each rank needs for slots of a size.
    static func byteCount(slots: Int) -> Int { headerByteCount + 2 * slots }

    /// A board in cleared memory.
    ///
    /// - Parameters:
    ///   - parts: The memory of each rank of the group.
    ///   - rank: This rank within the group.
    ///   - ranks: Their numbers in the world.
    ///   - slotByteCount: The size of a slot.
    ///   - timeout: How long to wait for others.
    ///   - messages: Messages between the ranks of the world.
    ///   - owner: The owner of the memory.
    init(
        _ parts: [UnsafeMutableRawPointer],
        rank: Int,
        ranks: [Int],
        slotByteCount: Int,
        timeout: RankTimeout,
        messages: any RankMessages,
        owner: AnyObject
    ) {
        self.parts = parts
        self.rank = rank
        self.ranks = ranks
        self.slotByteCount = slotByteCount
        self.timeout = timeout
        self.messages = messages
        self.owner = owner
        csys_word_store(parts[rank] + Self.processOffset, UInt32(getpid()))
    }

    /// Whether the process of a rank has ended; not known before it has created its board.
    private func hasEnded(_ other: Int) -> Bool {
        let process = csys_word_load(parts[other] + Self.processOffset)
        return process != 0 && kill(pid_t(process), 0) != 0 && errno == ESRCH
    }

    func round(
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws {
        count &+= 1
        let offset = Self.headerByteCount + Int(count & 1) * slotByteCount
        publish(parts[rank] + offset)
        csys_word_store(parts[rank], count)
        let limit = ContinuousClock.now + timeout.limit
        for other in parts.indices where other != rank { try wait(for: other, until: limit) }
        read(parts.map { UnsafeRawPointer($0 + offset) })
    }

    private func wait(for other: Int, until limit: ContinuousClock.Instant) throws {
        let word = parts[other]
        func hasArrived(_ value: UInt32) -> Bool { Int32(bitPattern: value &- count) >= 0 }
        if !timeout.isOversubscribed {
            for _ in 0..<Self.spinCount where hasArrived(csys_word_load(word)) { return }
        }
        while true {
            let value = csys_word_load(word)
            if hasArrived(value) { return }
            try messages.check()
            if hasEnded(other) {
                // It may have arrived just before its end.
                if hasArrived(csys_word_load(word)) { return }
                throw BridgeError(
                    .rankFailed,
                    "rank \(ranks[other]) has ended (process \(csys_word_load(word + Self.processOffset))), so the run cannot "
                        + "go on; it may have been killed, for example when the memory was full"
                )
            }
            guard ContinuousClock.now < limit else { throw missing(other) }
            csys_word_wait(word, value, 20)
        }
    }

    private func missing(_ other: Int) -> BridgeError {
        let late = parts.indices.filter { Int32(bitPattern: csys_word_load(parts[$0]) &- count) < 0 }.map { ranks[$0] }
        return BridgeError(
            .rankFailed,
            "\(late.count == 1 ? "rank" : "ranks") \(late.map(String.init).joined(separator: ", ")) did not take part in "
                + "a collective within \(timeout.limit.components.seconds) s; look for its error above, or raise "
                + "dist.distributed_timeout_minutes"
        )
    }

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        try messages.send(bytes, to: ranks[rank], tag: tag)
    }

    func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int) throws {
        let limit = ContinuousClock.now + timeout.limit
        try messages.receive(into: bytes, from: ranks[rank], tag: tag, until: limit)
    }
}

/// Messages between two ranks of a world, and the news that a rank has failed.
protocol RankMessages: AnyObject, Sendable {
    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws
    func receive(
        into bytes: UnsafeMutableRawBufferPointer,
        from rank: Int,
        tag: Int,
        until limit: ContinuousClock.Instant
    ) throws
    /// Throws when a rank has failed.
    func check() throws
}
