public import BridgeSupport
import CMPI
import Glibc
import Synchronization
public import TensorRuntime

/// The ranks that `mpirun` or `srun` started: one process each, on one or more hosts.
public final class MPIWorld: RankWorld, @unchecked Sendable {
    /// This rank.
    public let rank: Int
    /// The number of ranks.
    public let size: Int
    /// The name and version of the MPI library.
    public let libraryName: String
    private let library: MPILibrary
    private let timeout: RankTimeout
    private let messages: MPIMessages
    private let world: OpaquePointer
    private let groupCount = Mutex(0)

    /// Joins the world; called once per process, before other threads exist that use MPI.
    ///
    /// - Parameter timeout: How long a rank waits for others.
    /// - Throws: `BridgeError` when MPI is missing or does not start.
    public init(timeout: RankTimeout) throws {
        let library = try MPILibrary.shared()
        self.library = library
        self.timeout = timeout
        try library.check(library.functions.start(), "start")
        rank = Int(library.functions.rank())
        size = Int(library.functions.size())
        var text = [CChar](repeating: 0, count: 256)
        library.functions.library(&text, text.count)
        libraryName = String(cString: text)
        world = try Self.create(Array(0..<size), tag: 0, library)
        messages = MPIMessages(library, world, rank: rank)
    }

    private static func create(_ ranks: [Int], tag: Int, _ library: MPILibrary) throws -> OpaquePointer {
        var group: OpaquePointer?
        try library.check(
            library.functions.create_group(ranks.map { Int32($0) }, Int32(ranks.count), Int32(tag), &group),
            "create a group of \(ranks.count) ranks"
        )
        guard let group else { throw BridgeError(.rankFailed, "MPI created no group of \(ranks.count) ranks") }
        return group
    }

    /// The most bytes of a slot of a group's shared memory.
    private static let slotByteCount = 4 << 20

    /// The group of some ranks.
    public func group(_ ranks: [Int], name: String) throws -> any ProcessGroup {
        guard ranks.count > 1, let own = ranks.firstIndex(of: rank) else { return SingleRank() }
        let tag = groupCount.withLock { count in
            count += 1
            return count
        }
        let group = try Self.create(ranks, tag: tag, library)
        var isOnOneHost: Int32 = 0
        try library.check(library.functions.is_on_one_host(group, &isOnOneHost), "compare the hosts of \(name) ranks")
        guard isOnOneHost != 0 else {
            return ExchangeGroup(
                MessageExchange(library, group, rank: own, ranks: ranks, timeout: timeout, messages: messages),
                ranks: ranks,
                name: name
            )
        }
        var bases = [UnsafeMutableRawPointer?](repeating: nil, count: ranks.count)
        try library.check(
            library.functions.share(group, SharedBoard.byteCount(slots: Self.slotByteCount), &bases),
            "share memory among \(name) ranks"
        )
        let board = SharedBoard(
            bases.compactMap { $0 },
            rank: own,
            ranks: ranks,
            slotByteCount: Self.slotByteCount,
            timeout: timeout,
            messages: messages,
            owner: messages
        )
        return ExchangeGroup(board, ranks: ranks, name: name)
    }

    /// Leaves the world when all ranks do.
    public func finish() { library.functions.finish() }

    /// Ends all ranks at once; the launcher's exit status is `status`.
    public func abort(status: Int) { library.functions.abort(Int32(status)) }
}

/// Messages between processes.
final class MPIMessages: RankMessages, @unchecked Sendable {
    private let library: MPILibrary
    private let world: OpaquePointer
    private let rank: Int
    /// Messages on their way, with the bytes that MPI reads until they are complete.
    private var pending: [(request: OpaquePointer, bytes: UnsafeMutableRawBufferPointer)] = []
    private let lock = ConditionLock()
    /// One message has at most this many bytes, since MPI counts in 32 bits.
    private static let limit = 1 << 30

    init(_ library: MPILibrary, _ world: OpaquePointer, rank: Int) {
        self.library = library
        self.world = world
        self.rank = rank
    }

    /// The launcher ends all ranks when one has failed.
    func check() {}

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        try lock.locked {
            for (index, message) in pending.enumerated().reversed() {
                var done: Int32 = 0
                try library.check(library.functions.test(message.request, &done), "send to a rank")
                guard done != 0 else { continue }
                message.bytes.deallocate()
                pending.remove(at: index)
            }
            for first in stride(from: 0, to: max(bytes.count, 1), by: Self.limit) {
                let count = min(Self.limit, bytes.count - first)
                let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 64)
                if let start = bytes.baseAddress { copy.baseAddress?.copyMemory(from: start + first, byteCount: count) }
                var request: OpaquePointer?
                try library.check(
                    library.functions.send(world, Int32(rank), Int32(tag), copy.baseAddress, count, &request),
                    "send to rank \(rank)"
                )
                if let request { pending.append((request, copy)) }
            }
        }
    }

    func receive(
        into bytes: UnsafeMutableRawBufferPointer,
        from rank: Int,
        tag: Int,
        until limit: ContinuousClock.Instant
    ) throws {
        for first in stride(from: 0, to: max(bytes.count, 1), by: Self.limit) {
            let count = min(Self.limit, bytes.count - first)
            var request: OpaquePointer?
            try library.check(
                library.functions.receive(
                    world,
                    Int32(rank),
                    Int32(tag),
                    bytes.baseAddress.map { $0 + first },
                    count,
                    &request
                ),
                "receive from rank \(rank)"
            )
            try library.wait(for: request, until: limit) {
                "rank \(rank) sent nothing in time; look for its error above, or raise dist.distributed_timeout_minutes"
            }
        }
    }
}

extension MPILibrary {
    /// Waits until a request is complete, longer and longer between looks so that ranks that share a core get on.
    func wait(for request: OpaquePointer?, until limit: ContinuousClock.Instant, _ problem: () -> String) throws {
        guard let request else { return }
        var looks = 0
        while true {
            var done: Int32 = 0
            try check(functions.test(request, &done), "complete a communication")
            if done != 0 { return }
            looks += 1
            guard looks > 200 else {
                sched_yield()
                continue
            }
            guard ContinuousClock.now < limit else { throw BridgeError(.rankFailed, problem()) }
            usleep(looks > 2000 ? 500 : 20)
        }
    }
}
