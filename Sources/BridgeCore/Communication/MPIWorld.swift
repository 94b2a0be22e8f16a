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
    private let library: MPILibrary
    private let timeout: Mutex<RankTimeout>
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
        self.timeout = Mutex(timeout)
        try library.check(library.functions.start(), "start")
        rank = Int(library.functions.rank())
        size = Int(library.functions.size())
        world = try Self.create(Array(0..<size), tag: 0, library)
        messages = MPIMessages(
            library,
            world,
            processes: try RankProcesses(library, world, size: size, timeout: timeout)
        )
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

    /// Sets how long ranks wait for others.
    public func limitWaits(to limit: Duration) { timeout.withLock { $0.limit = limit } }

    /// The group of some ranks.
    public func group(_ ranks: [Int], name: String) throws -> any ProcessGroup {
        guard ranks.count > 1, let own = ranks.firstIndex(of: rank) else { return SingleRank() }
        let tag = groupCount.withLock { count in
            count += 1
            return count
        }
        let timeout = timeout.withLock { $0 }
        let (group, bases) = try connect(ranks, tag: tag, name: name, within: timeout)
        guard bases.count == ranks.count else {
            return ExchangeGroup(
                MessageExchange(library, group, rank: own, ranks: ranks, timeout: timeout, messages: messages)
            )
        }
        let board = SharedBoard(
            bases,
            rank: own,
            ranks: ranks,
            slotByteCount: Self.slotByteCount,
            timeout: timeout,
            messages: messages,
            owner: messages
        )
        return ExchangeGroup(board)
    }

    /// Creates a communicator and, on one host, memory that all its ranks see.
    ///
    /// The calls of MPI wait for all ranks without a limit, so they are made on a thread that is left when one is late.
    private func connect(
        _ ranks: [Int],
        tag: Int,
        name: String,
        within timeout: RankTimeout
    ) throws -> (group: OpaquePointer, bases: [UnsafeMutableRawPointer]) {
        let library = library
        let found = Found()
        let connection = BackgroundTask {
            let group = try Self.create(ranks, tag: tag, library)
            var isOnOneHost: Int32 = 0
            try library.check(
                library.functions.is_on_one_host(group, &isOnOneHost),
                "compare the hosts of \(name) ranks"
            )
            var bases = [UnsafeMutableRawPointer?](repeating: nil, count: ranks.count)
            if isOnOneHost != 0 {
                try library.check(
                    library.functions.share(group, SharedBoard.byteCount(slots: Self.slotByteCount), &bases),
                    "share memory among \(name) ranks"
                )
            }
            let addresses = bases.compactMap { $0.map { UInt(bitPattern: $0) } }
            found.words.withLock { $0 = [UInt(bitPattern: group)] + addresses }
        }
        let isDone = try connection.wait(atMost: timeout.limit)
        let pointers = found.words.withLock { $0 }.compactMap { UnsafeMutableRawPointer(bitPattern: $0) }
        guard isDone, let group = pointers.first else {
            let members = ranks.map(String.init).joined(separator: ", ")
            throw timeout.error("one of the ranks \(members) did not connect", stopped: messages.processes.stopped)
        }
        return (OpaquePointer(group), Array(pointers.dropFirst()))
    }

    /// The addresses that a thread has found.
    private final class Found: Sendable {
        let words = Mutex<[UInt]>([])
    }

    /// Leaves the world when all ranks do.
    public func finish() { library.functions.finish() }

    /// Ends all ranks at once; the launcher's exit status is `status`.
    public func abort(status: Int) { library.functions.abort(Int32(status)) }
}
