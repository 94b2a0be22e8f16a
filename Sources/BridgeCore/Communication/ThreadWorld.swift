import BridgeSupport
import Glibc
import Synchronization
public import TensorRuntime

/// Ranks that are threads of one process, for tests and for trying a layout: the maths is that of processes.
public final class ThreadWorld: RankWorld {
    /// This rank.
    public let rank: Int
    private let shared: SharedWorld

    /// The number of ranks.
    public var size: Int { shared.size }

    private init(rank: Int, _ shared: SharedWorld) {
        self.rank = rank
        self.shared = shared
    }

    /// Runs `body` once for each rank, each on a thread of its own, and waits for all.
    ///
    /// - Parameters:
    ///   - size: The number of ranks.
    ///   - timeout: How long a rank waits for others.
    ///   - hosts: The host of each rank, for collectives as between hosts; nil for one host.
    ///   - body: What a rank does.
    /// - Returns: The results, by rank.
    /// - Throws: The error of the rank that failed first.
    public static func run<Result: Sendable>(
        _ size: Int,
        timeout: RankTimeout = RankTimeout(),
        hosts: [Int]? = nil,
        _ body: @escaping @Sendable (ThreadWorld) throws -> Result
    ) throws -> [Result] {
        let shared = SharedWorld(size: size, timeout: timeout, hosts: hosts)
        let results = Mutex<[Int: Result]>([:])
        // An error is the world's: the other ranks stop waiting for the one that threw it.
        @Sendable func run(_ rank: Int) {
            do {
                let result = try body(ThreadWorld(rank: rank, shared))
                results.withLock { $0[rank] = result }
            } catch {
                shared.fail(rank, error)
            }
        }
        try Workers.run(items: size, workers: size, makeState: {}, body: { _, rank in run(rank) })
        if let error = shared.failure { throw error }
        return results.withLock { found in (0..<size).compactMap { found[$0] } }
    }

    /// Sets how long ranks wait for others.
    public func limitWaits(to limit: Duration) { shared.timeout.withLock { $0.limit = limit } }

    /// The group of some ranks.
    public func group(_ ranks: [Int], name: String) throws -> any ProcessGroup {
        guard ranks.count > 1, let own = ranks.firstIndex(of: rank) else { return SingleRank() }
        let all = board(ranks)
        guard let host = shared.hosts else { return all }
        let first = ranks.map { rank in ranks.firstIndex { host[$0] == host[rank] } ?? 0 }
        let hosts = GroupHosts(ranks, first: first, own: own)
        guard hosts.count > 1, hosts.count < ranks.count else { return all }
        return HierarchicalGroup(
            all,
            host: hosts.own.count > 1 ? board(hosts.own) : SingleRank(),
            leaders: hosts.ownRank == 0 ? board(hosts.leaders) : nil,
            hosts
        )
    }

    /// The ranks of a group that see one board; this rank is one of them.
    private func board(_ ranks: [Int]) -> ExchangeGroup {
        let memory = shared.memory(of: ranks, by: rank)
        return ExchangeGroup(
            SharedBoard(
                memory.parts,
                rank: ranks.firstIndex(of: rank) ?? 0,
                ranks: ranks,
                slotByteCount: memory.slotByteCount,
                timeout: shared.timeout.withLock { $0 },
                messages: ThreadMessages(rank: rank, shared),
                owner: memory
            )
        )
    }
}

/// What the ranks of a ``ThreadWorld`` share.
private final class SharedWorld: Sendable {
    let size: Int
    let timeout: Mutex<RankTimeout>
    let hosts: [Int]?
    private let state = Mutex(State())

    private struct State {
        var boards: [String: BoardMemory] = [:]
        /// How many groups of the same ranks a rank has created.
        var created: [String: Int] = [:]
        var messages: [String: [[UInt8]]] = [:]
        var failure: (rank: Int, error: any Error)?
    }

    init(size: Int, timeout: RankTimeout, hosts: [Int]?) {
        self.size = size
        self.hosts = hosts
        self.timeout = Mutex(timeout)
    }

    var failure: (any Error)? { state.withLock { $0.failure?.error } }

    func fail(_ rank: Int, _ error: any Error) {
        state.withLock { if $0.failure == nil { $0.failure = (rank, error) } }
    }

    func check(_ rank: Int) throws {
        guard let failure = state.withLock({ $0.failure }), failure.rank != rank else { return }
        throw BridgeError(.rankFailed, "rank \(failure.rank) failed", cause: failure.error)
    }

    func memory(of ranks: [Int], by rank: Int) -> BoardMemory {
        state.withLock { state in
            let members = ranks.map(String.init).joined(separator: ",")
            let number = state.created["\(members) by \(rank)", default: 0]
            state.created["\(members) by \(rank)"] = number + 1
            let key = "\(members) number \(number)"
            let memory = state.boards[key] ?? BoardMemory(ranks: ranks.count)
            state.boards[key] = memory
            return memory
        }
    }

    func put(_ bytes: [UInt8], from: Int, to: Int, tag: Int) {
        state.withLock { $0.messages["\(from) \(to) \(tag)", default: []].append(bytes) }
    }

    func take(from: Int, to: Int, tag: Int) -> [UInt8]? {
        let key = "\(from) \(to) \(tag)"
        return state.withLock { state in
            guard let waiting = state.messages[key], !waiting.isEmpty else { return nil }
            return state.messages[key]?.removeFirst()
        }
    }
}

/// The memory of a board within one process.
private final class BoardMemory: Sendable {
    let slotByteCount = 1 << 20
    private let addresses: [UInt]

    var parts: [UnsafeMutableRawPointer] { addresses.compactMap(UnsafeMutableRawPointer.init(bitPattern:)) }

    init(ranks: Int) {
        let count = SharedBoard.byteCount(slots: slotByteCount)
        addresses = (0..<ranks).map { _ in
            let memory = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 4096)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 4096)
            return UInt(bitPattern: memory)
        }
    }

    deinit { for part in parts { part.deallocate() } }
}

/// Messages between threads.
private final class ThreadMessages: RankMessages {
    private let rank: Int
    private let shared: SharedWorld

    init(rank: Int, _ shared: SharedWorld) {
        self.rank = rank
        self.shared = shared
    }

    /// A thread is not stopped alone.
    var stopped: [Int] { [] }

    func check(_ rank: Int) throws { try shared.check(self.rank) }

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) {
        shared.put(Array(bytes), from: self.rank, to: rank, tag: tag)
    }

    func receive(
        into bytes: UnsafeMutableRawBufferPointer,
        from rank: Int,
        tag: Int,
        within timeout: RankTimeout
    ) throws {
        let limit = ContinuousClock.now + timeout.limit
        while true {
            if let found = shared.take(from: rank, to: self.rank, tag: tag) {
                guard found.count == bytes.count else {
                    throw BridgeError(
                        .rankFailed,
                        "rank \(rank) sent \(found.count) bytes and rank \(self.rank) expected \(bytes.count)"
                    )
                }
                bytes.copyBytes(from: found)
                return
            }
            try check(rank)
            guard ContinuousClock.now < limit else { throw timeout.error("rank \(rank) sent nothing") }
            usleep(50)
        }
    }
}
