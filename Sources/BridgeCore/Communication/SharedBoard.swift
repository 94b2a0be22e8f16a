import BridgeSupport
import CSystem

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

    /// The bytes before the slots, of which the first are the word of rounds.
    private static let headerByteCount = 4096
    /// How often the word of a rank is read before the thread sleeps, where each rank has a core.
    private static let spinCount = 4000

    /// The memory that each rank needs for slots of a size.
    static func byteCount(slots: Int) -> Int { headerByteCount + 2 * slots }

    /// A board in cleared memory, which has a part for each rank of the group.
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

    func round(
        parts: [Range<Int>],
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws {
        let start = parts[rank].lowerBound
        try round(parts.map(\.upperBound).max() ?? 0, publish: publish) { slots in read(slots.map { $0 + start }) }
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
            do { try messages.check(ranks[other]) } catch {
                // It may have arrived just before its end.
                if hasArrived(csys_word_load(word)) { return }
                throw error
            }
            guard ContinuousClock.now < limit else { throw missing(other) }
            csys_word_wait(word, value, 20)
        }
    }

    private func missing(_ other: Int) -> BridgeError {
        let late = parts.indices.filter { Int32(bitPattern: csys_word_load(parts[$0]) &- count) < 0 }.map { ranks[$0] }
        return timeout.error(
            "\(late.count == 1 ? "rank" : "ranks") \(late.map(String.init).joined(separator: ", ")) did not take part in a "
                + "collective",
            stopped: messages.stopped
        )
    }

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        try messages.send(bytes, to: ranks[rank], tag: tag)
    }

    func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int) throws {
        try messages.receive(into: bytes, from: ranks[rank], tag: tag, within: timeout)
    }
}

/// Messages between two ranks of a world, and the news that a rank has failed.
protocol RankMessages: AnyObject, Sendable {
    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws
    func receive(
        into bytes: UnsafeMutableRawBufferPointer,
        from rank: Int,
        tag: Int,
        within timeout: RankTimeout
    ) throws
    /// Throws when a rank has failed.
    func check(_ rank: Int) throws
    /// The ranks that are known to be stopped.
    var stopped: [Int] { get }
}
