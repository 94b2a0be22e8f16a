import BridgeSupport
import CheckpointFormats
import Glibc
import Network
import Synchronization

/// Downloads files of a commit into the cache: several at once, and several parts of a large one.
final class HubDownload: @unchecked Sendable {
    /// The most connections: on a machine with few cores more of them only compete for writing.
    static var mostConnections: Int { Workers.defaultCount }

    private let environment: HubEnvironment
    private let retryPolicy: RetryPolicy
    private let cache: HubCache
    private let repository: HubRepository
    private let commit: String
    private let cancellation: Cancellation
    private let hasStopped = Atomic(false)
    private let arrived = Atomic(0)
    private let totalBytes: Int
    private let changes = ConditionLock()
    /// Used under the lock `changes`, which is signalled after each change.
    private var work: Work
    private let pending: [String: PendingFile]

    private struct Work {
        /// Files that are not started, or that another process downloads.
        var waiting: [HubFile]
        var transfers: [HubTransfer] = []
    }

    /// A download.
    ///
    /// - Parameters:
    ///   - files: The files, in the order of download.
    ///   - hub: The source and the cache.
    ///   - repository: Their repository.
    ///   - commit: Their commit.
    ///   - pending: Readers, by path, that are notified as bytes are written.
    init(
        _ files: [HubFile],
        from hub: Hub,
        repository: HubRepository,
        commit: String,
        pending: [String: PendingFile]
    ) {
        environment = hub.environment
        var retryPolicy = hub.retryPolicy
        retryPolicy.logger = hub.context.logger
        self.retryPolicy = retryPolicy
        cache = hub.cache
        self.repository = repository
        self.commit = commit
        cancellation = hub.context.cancellation
        totalBytes = files.reduce(0) { $0 + $1.byteCount }
        work = Work(waiting: files)
        self.pending = pending
    }

    /// Downloads the missing files.
    ///
    /// - Parameter progress: Called several times a second.
    /// - Throws: `BridgeError`; downloaded bytes are kept, and the next download resumes.
    func run(progress: (@Sendable (Progress) -> Void)?) throws {
        let files = changes.locked { work.waiting }
        guard !files.isEmpty else { return }
        try checkSpace(files)
        let pieces = files.reduce(0) { $0 + max(1, $1.byteCount / HubTransfer.pieceSize) }
        let count = min(Self.mostConnections, pieces)
        func show() {
            let done = min(arrived.load(ordering: .relaxed), totalBytes)
            progress?(Progress(activity: "Downloading", doneBytes: done, totalBytes: totalBytes))
        }
        defer { for transfer in changes.locked({ work.transfers }) { try? transfer.mark() } }
        // The first error is the cause; those of the other threads are cancellations.
        let reason = Mutex<(any Error)?>(nil)
        do {
            try Workers.run(
                items: count,
                workers: count,
                makeState: {},
                whileWaiting: show,
                body: { [self] (_: inout Void, _) in
                    do { try workThroughFiles() } catch {
                        reason.withLock { $0 = $0 ?? error }
                        hasStopped.store(true, ordering: .releasing)
                        throw error
                    }
                }
            )
        } catch {
            let error = reason.withLock { $0 } ?? error
            throw (error as? BridgeError)?.code == .cancelled ? Self.stopped : error
        }
    }

    /// The error of a cancelled download.
    private static var stopped: BridgeError { BridgeError(.cancelled, "interrupted; downloaded data is kept") }

    private func checkSpace(_ files: [HubFile]) throws {
        let needed = files.reduce(0) { sum, file in
            guard !cache.holdsContent(of: file, of: repository) else { return sum }
            return sum + max(0, file.byteCount - HubCache.blocks(of: cache.incomplete(file, of: repository)))
        }
        guard let free = Files.freeSpace(at: cache.path), free < needed else { return }
        throw BridgeError(
            .fileSystem,
            "\(repository) needs \(ByteFormat.text(needed)) in \(cache.path), and \(ByteFormat.text(free)) are free; free "
                + "space, or set a cache on another disk with HF_HUB_CACHE"
        )
    }

    private var isCancelled: Bool { cancellation.isCancelled || hasStopped.load(ordering: .acquiring) }

    /// The work of one thread.
    private func workThroughFiles() throws {
        let client = try HubClient(
            environment,
            retryPolicy: retryPolicy,
            idleSeconds: environment.http.idleSeconds,
            isCancelled: { [self] in isCancelled }
        )
        let block = WriteBuffer()
        while let (transfer, piece) = try next(block) {
            if let piece {
                var piece = piece
                do { try fetch(&piece, of: transfer, client, block) } catch {
                    _ = try? transfer.finish(piece, isComplete: false, through: block)
                    throw error
                }
                guard try transfer.finish(piece, isComplete: true, through: block) else { continue }
            }
            guard try transfer.commit() else {
                arrived.subtract(transfer.file.byteCount, ordering: .relaxed)
                pending[transfer.file.path]?.fails(HubTransfer.hasOtherBytes(transfer.file))
                continue
            }
            try settle(transfer.file)
            changes.locked {
                work.transfers.removeAll { $0 === transfer }
                changes.signalAll()
            }
        }
    }

    /// The next part to download, as soon as there is one; a transfer without a part is complete.
    ///
    /// Nil when all files are complete.
    private func next(_ block: WriteBuffer) throws -> (HubTransfer, HubTransfer.Piece?)? {
        try changes.locked {
            while true {
                if isCancelled { throw Self.stopped }
                if let found = try search(block) { return found }
                if work.waiting.isEmpty, work.transfers.isEmpty { return nil }
                // Cancellation and the locks of other processes give no signal.
                changes.wait(milliseconds: 20)
            }
        }
    }

    private func search(_ block: WriteBuffer) throws -> (HubTransfer, HubTransfer.Piece?)? {
        // A reader of pending files needs the headers of all files before the rest of one.
        if !pending.isEmpty, let first = try begin(block) { return first }
        // Otherwise prefer files with no active connection: with one connection per file the checksum is computed from
        // data still in memory.
        if pending.isEmpty {
            for transfer in work.transfers where transfer.isIdle {
                if let piece = transfer.nextPiece() { return (transfer, piece) }
            }
            if let first = try begin(block) { return first }
        }
        for transfer in work.transfers {
            if let piece = transfer.nextPiece() { return (transfer, piece) }
        }
        return nil
    }

    /// Starts a file that no other process downloads; nil when there is none.
    private func begin(_ block: WriteBuffer) throws -> (HubTransfer, HubTransfer.Piece?)? {
        var index = 0
        while index < work.waiting.count {
            let file = work.waiting[index]
            if cache.holdsContent(of: file, of: repository) {
                cache.clearIncomplete(file, of: repository)
                work.waiting.remove(at: index)
                arrived.add(file.byteCount, ordering: .relaxed)
                try settle(file)
                continue
            }
            guard let lock = try FileLock.take(cache.lock(file, of: repository)) else {
                index += 1
                continue
            }
            // The previous holder of the lock may have completed the file.
            if cache.holdsContent(of: file, of: repository) { continue }
            work.waiting.remove(at: index)
            let transfer = try HubTransfer(
                file,
                path: cache.incomplete(file, of: repository),
                destination: cache.blob(file, of: repository),
                lock: lock,
                isReadEarly: pending[file.path] != nil,
                advanced: { [changes, reader = pending[file.path]] in
                    reader?.advance()
                    changes.locked { changes.signalAll() }
                }
            )
            arrived.add(transfer.byteCountAtStart, ordering: .relaxed)
            pending[file.path]?.begins(transfer)
            work.transfers.append(transfer)
            if let piece = transfer.nextPiece() { return (transfer, piece) }
            if try transfer.isComplete(through: block) { return (transfer, nil) }
        }
        return nil
    }

    private func settle(_ file: HubFile) throws {
        try cache.link(file, commit, of: repository)
        try pending[file.path]?.isComplete(at: cache.blob(file, of: repository))
    }

    /// Downloads a part, and resumes it as often as the retry policy allows.
    private func fetch(
        _ piece: inout HubTransfer.Piece,
        of transfer: HubTransfer,
        _ client: HubClient,
        _ block: WriteBuffer
    ) throws {
        var offset = piece.range.lowerBound
        var attempt = (start: ContinuousClock.now, offset: offset)
        // A connection that delivers the minimum rate resets the count of failures. The pause precedes an attempt: many
        // short attempts may not shorten the pauses.
        func hasProgress() -> Bool {
            defer { attempt = (.now, offset) }
            let seconds = (ContinuousClock.now - attempt.start) / .seconds(1)
            return offset > attempt.offset
                && Double(offset - attempt.offset) >= seconds * Double(environment.http.leastBytesPerSecond)
        }
        func makeAttempt(isLast: Bool) throws -> RetryPolicy.Attempt<Void> {
            let response = try ask(&piece, of: transfer, client, block, offset: &offset)
            if offset == piece.range.upperBound { return .done(()) }
            guard (200..<300).contains(response.status) else {
                try check(response, transfer, isLast: isLast)
                return .failed(
                    reason: "the hub responds with status \(response.status)",
                    retryAfter: RetryPolicy.retryAfter(response)
                )
            }
            throw HTTPFailure(
                kind: .cut,
                reason: isLast
                    ? "it ends at byte \(offset) of \(transfer.file.path)" : "the connection was closed early"
            )
        }
        do {
            try retryPolicy.run(
                about: "\(transfer.file.path): ",
                mostUnreachable: .max,
                isCancelled: { isCancelled },
                hasProgress: hasProgress,
                attempt: makeAttempt
            )
        } catch let failure as HTTPFailure {
            throw failure.error("\(repository)", environment)
        }
    }

    /// Whether a failed response can be followed by a successful one.
    private func check(_ response: HTTPResponse, _ transfer: HubTransfer, isLast: Bool) throws {
        // Addresses of the storage expire; the hub gives a new one.
        if transfer.location != nil, response.status < 500, response.status != 429, !isLast {
            transfer.location = nil
            return
        }
        guard RetryPolicy.isTransient(response.status), !isLast else {
            throw HubErrorResponse(
                response: response,
                repository: repository,
                file: transfer.file.path,
                environment: environment
            ).error
        }
    }

    /// One request for the rest of a part.
    private func ask(
        _ piece: inout HubTransfer.Piece,
        of transfer: HubTransfer,
        _ client: HubClient,
        _ block: WriteBuffer,
        offset: inout Int
    ) throws -> HTTPResponse {
        let file = transfer.file
        let address = transfer.location ?? client.address(of: file, commit, in: repository)
        let progress = PieceProgress(piece: piece, offset: offset)
        let request = HTTPRequest(address: address, range: offset..<piece.range.upperBound)
        defer { (piece, offset) = (progress.piece, progress.offset) }
        return try client.exchange(
            request,
            about: repository,
            moved: { transfer.location = $0 },
            whileWaiting: { if block.isStale { try transfer.flush(block, of: progress.piece) } },
            take: {
                [self] response, bytes in
                guard response.status == 206 || response.status == 200 else { return false }
                if progress.isFirst { try progress.begin(response, of: transfer) }
                let useful = progress.useful(bytes)
                if useful.count > 0 {
                    try transfer.write(useful, at: progress.offset, of: progress.piece, through: block)
                    progress.offset += useful.count
                    arrived.add(useful.count, ordering: .relaxed)
                }
                return progress.offset < progress.piece.range.upperBound
            }
        )
    }
}

/// The state of one response.
private final class PieceProgress {
    var piece: HubTransfer.Piece
    var offset: Int
    var isFirst = true
    /// Bytes at the start of the response that are downloaded already, when the server ignores ranges.
    private var surplus = 0

    init(piece: HubTransfer.Piece, offset: Int) {
        self.piece = piece
        self.offset = offset
    }

    /// Checks the head of a response.
    ///
    /// - Throws: `BridgeError` when it is another range or another file.
    func begin(_ response: HTTPResponse, of transfer: HubTransfer) throws {
        isFirst = false
        if response.status == 200 {
            surplus = offset
            transfer.extend(&piece)
            if let length = response["content-length"].flatMap({ Int($0) }), length != transfer.file.byteCount {
                throw HTTPResponse.wrong(transfer.file, "has \(length) bytes")
            }
            return
        }
        try response.check(startsAt: offset, of: transfer.file)
    }

    /// The bytes of the response that belong to the part and are missing.
    func useful(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let skipped = min(surplus, bytes.count)
        surplus -= skipped
        let count = min(bytes.count - skipped, piece.range.upperBound - offset)
        return UnsafeRawBufferPointer(rebasing: bytes[skipped..<skipped + count])
    }
}
