import BridgeSupport
import CMPI
import Glibc

/// Messages between processes.
final class MPIMessages: RankMessages, @unchecked Sendable {
    private let library: MPILibrary
    private let world: OpaquePointer
    let processes: RankProcesses
    /// Messages on their way, with the bytes that MPI reads until they are complete.
    private var pending: [(request: OpaquePointer, bytes: UnsafeMutableRawBufferPointer)] = []
    private let lock = ConditionLock()
    /// One message has at most this many bytes, since MPI counts in 32 bits.
    private static let limit = 1 << 30

    init(_ library: MPILibrary, _ world: OpaquePointer, processes: RankProcesses) {
        self.library = library
        self.world = world
        self.processes = processes
    }

    var stopped: [Int] { processes.stopped }

    func check(_ rank: Int) throws { try processes.check(rank) }

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
        within timeout: RankTimeout
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
            try library.wait(for: request, within: timeout, processes, of: [rank]) { "rank \(rank) sent nothing" }
        }
    }
}

extension MPILibrary {
    /// Waits until a request is complete, longer and longer between looks so that ranks that share a core get on.
    ///
    /// - Parameters:
    ///   - request: The request.
    ///   - timeout: The longest wait.
    ///   - processes: The processes of the ranks; nil before they are known.
    ///   - ranks: The ranks that take part.
    ///   - problem: What did not happen, for the error.
    /// - Throws: `BridgeError` when a rank has ended, or after the longest wait.
    func wait(
        for request: OpaquePointer?,
        within timeout: RankTimeout,
        _ processes: RankProcesses? = nil,
        of ranks: [Int] = [],
        _ problem: () -> String
    ) throws {
        guard let request else { return }
        let limit = ContinuousClock.now + timeout.limit
        var (looks, failure) = (0, nil as (any Error)?)
        while true {
            var done: Int32 = 0
            try self.check(functions.test(request, &done), "complete a communication")
            if done != 0 { return }
            // What a rank sent just before its end has arrived by the next look.
            if let failure { throw failure }
            looks += 1
            guard looks > 200 else {
                sched_yield()
                continue
            }
            if looks > 2000, looks % 40 == 0 {
                do { for rank in ranks { try processes?.check(rank) } } catch { failure = error }
            }
            guard ContinuousClock.now < limit else {
                throw timeout.error(problem(), stopped: processes?.stopped ?? [])
            }
            usleep(looks > 2000 ? 500 : 20)
        }
    }
}
