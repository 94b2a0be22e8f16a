import BridgeSupport
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
    /// The processors and threads of each rank.
    public let cores: [RankCores]
    /// The processors of this machine that the launcher has and has given to no rank.
    public let unusedProcessorCount: Int
    private let library: MPILibrary
    private let timeout: Mutex<RankTimeout>
    private let messages: MPIMessages
    private let world: OpaquePointer
    private let groupCount = Mutex(0)

    /// Joins the world, and limits the threads of this process to its part of the processors of the host.
    ///
    /// Called once per process, before other threads exist that use MPI or compute.
    ///
    /// - Parameters:
    ///   - timeout: How long a rank waits for others.
    ///   - threadCount: The number of threads of a rank that compute; nil for as many as each has processors.
    ///   - binds: Whether ranks divide the processors of a host, where there are enough.
    /// - Throws: `BridgeError` when MPI is missing or does not start.
    public init(timeout: RankTimeout = RankTimeout(), threadCount: Int? = nil, binds: Bool = true) throws {
        let library = try MPILibrary.shared()
        self.library = library
        try library.check(library.functions.start(), "start")
        let (rank, size) = (Int(library.functions.rank()), Int(library.functions.size()))
        (self.rank, self.size) = (rank, size)
        let world = try Self.create(Array(0..<size), tag: 0, library)
        self.world = world
        let processes = try RankProcesses(library, world, size: size, timeout: timeout)
        func gather(_ text: String, _ byteCount: Int) throws -> [String] {
            try library.gather(text, byteCount: byteCount, world, size: size, within: timeout)
        }
        let given = ProcessorSet.allowed() ?? ProcessorSet(0..<ProcessorSet.availableCount)
        let own = RankCores.Facts(
            machine: Machine.identifier,
            processors: given,
            threadCount: threadCount,
            binds: binds
        )
        let facts = try gather(own.text, RankCores.Facts.byteCount).map { RankCores.Facts($0) ?? own }
        var division = RankCores.Division(of: rank, facts)
        if division.parts > 1 {
            // A container may forbid it, and then the ranks share the processors.
            division.isOwn = given.parts(division.parts)[division.part].limitThisProcess()
        }
        let cores = RankCores(host: Machine.hostName, processors: ProcessorSet.allowed() ?? given, division)
        self.cores = try gather(cores.text, RankCores.byteCount).map { RankCores($0) ?? cores }
        unusedProcessorCount =
            ProcessorSet.allowed(process: getppid())
            .map { RankCores.unusedCount(rank, facts, of: $0) } ?? 0
        messages = MPIMessages(
            library,
            world,
            processes: processes,
            mailbox: try Self.mailbox(library, world, rank: rank, size: size, gather)
        )
        var timeout = timeout
        timeout.isOversubscribed = division.isOversubscribed
        self.timeout = Mutex(timeout)
    }

    /// The memory for messages within this host; nil for one rank on it.
    private static func mailbox(
        _ library: MPILibrary,
        _ world: OpaquePointer,
        rank: Int,
        size: Int,
        _ gather: (String, Int) throws -> [String]
    ) throws -> Mailbox? {
        var first = [Int32](repeating: 0, count: size)
        try library.check(library.functions.hosts(world, &first), "compare the hosts of \(size) ranks")
        let own = GroupHosts(Array(0..<size), first: first.map { Int($0) }, own: rank).own
        let possible = try gather("\(Mailbox.possibleBlocks(ranks: own.count))", 32).map { Int($0) ?? 0 }
        let blocks = own.map { possible[$0] }.min() ?? 0
        guard own.count > 1, blocks > 0 else { return nil }
        // The tags of other groups are positive.
        let group = try create(own, tag: 0, library)
        var bases = [UnsafeMutableRawPointer?](repeating: nil, count: own.count)
        try library.check(
            library.functions.share(group, Mailbox.byteCount(blocks: blocks), &bases),
            "share memory among \(own.count) ranks"
        )
        let parts = zip(own, bases).compactMap { rank, base in base.map { (rank, $0) } }
        return Mailbox(Dictionary(uniqueKeysWithValues: parts), rank: rank, blockCount: blocks)
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
        let connection = try connect(ranks, own: own, tag: tag, within: timeout)
        func messages(_ group: OpaquePointer, _ ranks: [Int]) -> ExchangeGroup {
            ExchangeGroup(
                MessageExchange(
                    library,
                    group,
                    rank: ranks.firstIndex(of: rank) ?? 0,
                    ranks: ranks,
                    timeout: timeout,
                    messages: self.messages
                )
            )
        }
        let hosts = connection.hosts
        var board: ExchangeGroup?
        if !connection.bases.isEmpty {
            board = ExchangeGroup(
                SharedBoard(
                    connection.bases,
                    rank: hosts.ownRank,
                    ranks: hosts.own,
                    slotByteCount: Self.slotByteCount,
                    timeout: timeout,
                    messages: self.messages,
                    owner: self.messages
                )
            )
        }
        if let board, hosts.count == 1 { return board }
        let all = messages(connection.group, ranks)
        guard hosts.count < ranks.count else { return all }
        return HierarchicalGroup(
            all,
            host: board ?? SingleRank(),
            leaders: connection.leaders.map { messages($0, hosts.leaders) },
            hosts
        )
    }

    /// What MPI has made for a group; any thread may use its pointers.
    private struct Connection: @unchecked Sendable {
        /// The communicator of all ranks.
        let group: OpaquePointer
        let hosts: GroupHosts
        /// The memory that the ranks on this host share; empty for one rank.
        let bases: [UnsafeMutableRawPointer]
        /// The communicator of the first ranks of the hosts, of which this rank is one.
        let leaders: OpaquePointer?
    }

    /// Creates communicators and, for the ranks on one host, memory that all of them see.
    ///
    /// The calls of MPI wait for all ranks without a limit, so they are made on a thread that is left when one is late.
    private func connect(_ ranks: [Int], own: Int, tag: Int, within timeout: RankTimeout) throws -> Connection {
        let library = library
        let found = Found()
        let connecting = BackgroundTask {
            // Up to three communicators of a group are created at the same time on different ranks.
            let group = try Self.create(ranks, tag: 3 * tag, library)
            var first = [Int32](repeating: 0, count: ranks.count)
            try library.check(library.functions.hosts(group, &first), "compare the hosts of \(ranks.count) ranks")
            let hosts = GroupHosts(ranks, first: first.map { Int($0) }, own: own)
            var bases = [UnsafeMutableRawPointer?](repeating: nil, count: hosts.own.count)
            if hosts.own.count > 1 {
                let host = hosts.count == 1 ? group : try Self.create(hosts.own, tag: 3 * tag + 1, library)
                try library.check(
                    library.functions.share(host, SharedBoard.byteCount(slots: Self.slotByteCount), &bases),
                    "share memory among \(bases.count) ranks"
                )
            }
            let leads = hosts.ownRank == 0 && hosts.count > 1 && hosts.count < ranks.count
            let leaders = leads ? try Self.create(hosts.leaders, tag: 3 * tag + 2, library) : nil
            let connection = Connection(
                group: group,
                hosts: hosts,
                bases: bases.compactMap(\.self),
                leaders: leaders
            )
            found.connection.withLock { $0 = connection }
        }
        let isDone = try connecting.wait(atMost: timeout.limit)
        guard isDone, let connection = found.connection.withLock({ $0 }) else {
            let members = ranks.map(String.init).joined(separator: ", ")
            throw timeout.error("one of the ranks \(members) did not connect", stopped: messages.processes.stopped)
        }
        return connection
    }

    /// What a thread has found.
    private final class Found: Sendable {
        let connection = Mutex<Connection?>(nil)
    }

    /// Leaves the world when all ranks do.
    public func finish() { library.functions.finish() }

    /// Ends all ranks at once; the launcher's exit status is `status`.
    public func abort(status: Int) { library.functions.abort(Int32(status)) }
}
