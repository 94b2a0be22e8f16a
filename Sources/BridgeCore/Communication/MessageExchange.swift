import BridgeSupport
import CMPI

/// Rounds through messages of MPI, for groups whose ranks are on several hosts.
final class MessageExchange: RankExchange, @unchecked Sendable {
    let rank: Int
    let size: Int
    let slotByteCount = 4 << 20
    private let library: MPILibrary
    private let group: OpaquePointer
    private let ranks: [Int]
    private let timeout: RankTimeout
    private let messages: MPIMessages
    private let own: UnsafeMutableRawPointer
    private let all: UnsafeMutableRawPointer

    init(
        _ library: MPILibrary,
        _ group: OpaquePointer,
        rank: Int,
        ranks: [Int],
        timeout: RankTimeout,
        messages: MPIMessages
    ) {
        self.library = library
        self.group = group
        self.rank = rank
        self.ranks = ranks
        self.timeout = timeout
        self.messages = messages
        size = ranks.count
        own = .allocate(byteCount: slotByteCount, alignment: 64)
        all = .allocate(byteCount: slotByteCount * ranks.count, alignment: 64)
    }

    deinit {
        own.deallocate()
        all.deallocate()
    }

    func round(
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws {
        publish(own)
        // A round without bytes is a barrier, which has to be sent too.
        let count = max(byteCount, 1)
        var request: OpaquePointer?
        try library.check(library.functions.all_gather(group, own, all, count, &request), "gather from \(size) ranks")
        try wait(for: request)
        read((0..<size).map { UnsafeRawPointer(all + $0 * count) })
    }

    /// Sends each rank its part only.
    func round(
        parts: [Range<Int>],
        publish: (UnsafeMutableRawPointer) -> Void,
        read: ([UnsafeRawPointer]) -> Void
    ) throws {
        publish(own)
        let count = parts[rank].count
        var request: OpaquePointer?
        try library.check(
            library.functions.exchange(
                group,
                own,
                parts.map { Int32($0.count) },
                parts.map { Int32($0.lowerBound) },
                all,
                count,
                &request
            ),
            "exchange with \(size) ranks"
        )
        try wait(for: request)
        read((0..<size).map { UnsafeRawPointer(all + $0 * count) })
    }

    /// Sends the slot of one rank only.
    func round(
        from root: Int,
        _ byteCount: Int,
        publish: (UnsafeMutableRawPointer) -> Void,
        read: (UnsafeRawPointer) -> Void
    ) throws {
        if rank == root { publish(own) }
        var request: OpaquePointer?
        try library.check(
            library.functions.broadcast(group, Int32(root), own, max(byteCount, 1), &request),
            "broadcast to \(size) ranks"
        )
        try wait(for: request)
        read(UnsafeRawPointer(own))
    }

    private func wait(for request: OpaquePointer?) throws {
        let others = ranks.filter { $0 != ranks[rank] }
        try library.wait(for: request, within: timeout, messages.processes, of: others) {
            // MPI does not tell which of several ranks is late.
            let names = others.map(String.init).joined(separator: ", ")
            return "\(others.count == 1 ? "rank" : "one of the ranks") \(names) did not take part in a collective"
        }
    }

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        try messages.send(bytes, to: ranks[rank], tag: tag)
    }

    func receive(into bytes: UnsafeMutableRawBufferPointer, from rank: Int, tag: Int) throws {
        try messages.receive(into: bytes, from: ranks[rank], tag: tag, within: timeout)
    }
}
