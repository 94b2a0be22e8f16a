import BridgeSupport
import CMPI
import Glibc

/// Messages between processes: large ones within a host through its ``Mailbox``, all others through MPI.
final class MPIMessages: RankMessages, @unchecked Sendable {
    private let library: MPILibrary
    private let world: OpaquePointer
    let processes: RankProcesses
    private let mailbox: Mailbox?
    /// Messages on their way, with the bytes that MPI reads until they are complete.
    private var pending: [(request: OpaquePointer, bytes: UnsafeMutableRawBufferPointer)] = []
    private let lock = ConditionLock()
    /// One message has at most this many bytes, since MPI counts in 32 bits.
    private static let limit = 1 << 30
    /// In place of the number of a block: the bytes are in the next message.
    private static let noBlock: Int64 = -1

    init(_ library: MPILibrary, _ world: OpaquePointer, processes: RankProcesses, mailbox: Mailbox?) {
        self.library = library
        self.world = world
        self.processes = processes
        self.mailbox = mailbox
    }

    var stopped: [Int] { processes.stopped }

    func check(_ rank: Int) throws { try processes.check(rank) }

    func send(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        try lock.locked {
            try freeSent()
            guard let mailbox, mailbox.carries(bytes.count, with: rank) else {
                for part in Self.parts(of: bytes.count, Self.limit) {
                    try post(UnsafeRawBufferPointer(rebasing: bytes[part]), to: rank, tag: tag)
                }
                return
            }
            for part in Self.parts(of: bytes.count, Mailbox.blockByteCount) {
                let part = UnsafeRawBufferPointer(rebasing: bytes[part])
                let block = mailbox.put(part)
                let number = block.map(Int64.init) ?? Self.noBlock
                try withUnsafeBytes(of: number) { try post($0, to: rank, tag: tag) }
                if block == nil { try post(part, to: rank, tag: tag) }
            }
        }
    }

    /// The ranges of bytes that travel together; one empty range for no bytes.
    private static func parts(of count: Int, _ limit: Int) -> [Range<Int>] {
        stride(from: 0, to: max(count, 1), by: limit).map { $0..<min($0 + limit, count) }
    }

    private func freeSent() throws {
        for (index, message) in pending.enumerated().reversed() {
            var done: Int32 = 0
            try library.check(library.functions.test(message.request, &done), "send to a rank")
            guard done != 0 else { continue }
            message.bytes.deallocate()
            pending.remove(at: index)
        }
    }

    /// Starts a message with a copy of the bytes.
    private func post(_ bytes: UnsafeRawBufferPointer, to rank: Int, tag: Int) throws {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        copy.copyMemory(from: bytes)
        var request: OpaquePointer?
        try library.check(
            library.functions.send(world, Int32(rank), Int32(tag), copy.baseAddress, bytes.count, &request),
            "send to rank \(rank)"
        )
        if let request { pending.append((request, copy)) }
    }

    func receive(
        into bytes: UnsafeMutableRawBufferPointer,
        from rank: Int,
        tag: Int,
        within timeout: RankTimeout
    ) throws {
        func take(_ bytes: UnsafeMutableRawBufferPointer) throws {
            var request: OpaquePointer?
            try library.check(
                library.functions.receive(world, Int32(rank), Int32(tag), bytes.baseAddress, bytes.count, &request),
                "receive from rank \(rank)"
            )
            try library.wait(for: request, within: timeout, processes, of: [rank]) { "rank \(rank) sent nothing" }
        }
        guard let mailbox, mailbox.carries(bytes.count, with: rank) else {
            for part in Self.parts(of: bytes.count, Self.limit) {
                try take(UnsafeMutableRawBufferPointer(rebasing: bytes[part]))
            }
            return
        }
        for part in Self.parts(of: bytes.count, Mailbox.blockByteCount) {
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[part])
            var number = Self.noBlock
            try withUnsafeMutableBytes(of: &number) { try take($0) }
            if number == Self.noBlock { try take(part) } else { try mailbox.take(Int(number), into: part, from: rank) }
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
