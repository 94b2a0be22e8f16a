import BridgeSupport
import Glibc
import Network
import Synchronization
import TensorFiles

/// The download of one file, in parts and by several threads.
///
/// An incomplete content is a file of its own, with a ``DownloadState`` after the content that lists the downloaded
/// ranges, so that a later process resumes it. The checksum is updated as the parts become contiguous; a content is
/// renamed only when its checksum is the hub's.
final class HubTransfer: Sendable {
    /// A range of the content that one thread downloads.
    struct Piece {
        var range: Range<Int>
    }

    let file: HubFile

    /// The size of a part in bytes; the last one is smaller.
    static let pieceSize = 16 << 20
    /// The size of the first part when a reader waits for the header of the file.
    static let firstPieceSize = 1 << 20
    /// How far parts may be ahead of the first gap.
    static let reach = 8 * pieceSize

    private struct State {
        /// The start of the next part.
        var next = 0
        /// The unfinished parts and those after a gap: their starts and downloaded ends.
        var parts: [Int: (end: Int, hasEnded: Bool)] = [:]
        /// The end of the range without a gap.
        var prefix = 0
        /// The end of the range that the checksum covers.
        var hashed = 0
        var isHashing = false
        /// The parts that threads download.
        var running = 0
        /// The address of the content after redirects; nil when only the hub's is known.
        var location: String?
        var hasFailedOnce = false
    }

    private let state: Mutex<State>
    private let digest: Mutex<SendableDigest>
    private let storage: DirectIOFile
    private let destination: String
    private let lock: FileLock
    private let advanced: @Sendable () -> Void
    private let firstPiece: Int
    /// The bytes that were present at the start.
    let byteCountAtStart: Int

    private struct SendableDigest: @unchecked Sendable { var digest: StreamingHash }

    /// Starts or resumes a download.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - path: The path until it is complete.
    ///   - destination: The final path.
    ///   - lock: The lock against other processes.
    ///   - isReadEarly: Whether bytes are read before the checksum is verified: a partial file then has to start with a
    ///     valid header.
    ///   - advanced: Called after more bytes are available, or another part can be started.
    /// - Throws: `BridgeError` when the file cannot be created.
    init(
        _ file: HubFile,
        path: String,
        destination: String,
        lock: FileLock,
        isReadEarly: Bool,
        advanced: @escaping @Sendable () -> Void
    ) throws {
        self.file = file
        self.destination = destination
        self.lock = lock
        self.advanced = advanced
        try Files.createDirectory(Files.parent(of: path))
        storage = try DirectIOFile(path: path)
        let descriptor = storage.descriptor
        var state = State()
        let held = DownloadState(readFrom: descriptor, byteCount: file.byteCount)
        if let held, !isReadEarly || Self.beginsWell(descriptor, file, held.prefix) {
            state.prefix = held.prefix
            for part in held.parts { state.parts[part.lowerBound] = (part.upperBound, true) }
        } else {
            ftruncate(descriptor, 0)
        }
        state.next = state.prefix
        byteCountAtStart = state.prefix + state.parts.reduce(0) { $0 + $1.value.end - $1.key }
        firstPiece = isReadEarly && state.prefix == 0 ? Self.firstPieceSize : Self.pieceSize
        self.state = Mutex(state)
        digest = Mutex(SendableDigest(digest: try Self.makeDigest(file)))
        // The state reserves its space on the disk before the content can fill it.
        try mark()
    }

    /// Whether a partial file can be the start of a weight file, as far as it is present.
    private static func beginsWell(_ descriptor: Int32, _ file: HubFile, _ prefix: Int) -> Bool {
        var length: UInt64 = 0
        guard prefix >= 8, pread(descriptor, &length, 8, 0) == 8 else { return true }
        length = UInt64(littleEndian: length)
        guard length <= UInt64(min(file.byteCount - 8, SafetensorsHeader.largestHeader)) else { return false }
        guard 8 + Int(length) <= prefix else { return true }
        var text = [UInt8](repeating: 0, count: Int(length))
        guard pread(descriptor, &text, text.count, 8) == text.count else { return false }
        return (try? SafetensorsHeader(parsing: text, name: file.path)) != nil
    }

    /// Git object ids are checksums of a line with type and size, followed by the content.
    private static func makeDigest(_ file: HubFile) throws -> StreamingHash {
        let digest = try StreamingHash(file.sha256 == nil ? .sha1 : .sha256)
        if file.sha256 == nil {
            Array("blob \(file.byteCount)\0".utf8).withUnsafeBytes { digest.update($0) }
        }
        return digest
    }

    /// The downloaded bytes before the first gap.
    var prefix: Int { state.withLock { $0.prefix } }

    /// Whether no thread works on it.
    var isIdle: Bool { state.withLock { $0.running == 0 } }

    /// The address of the content after redirects.
    var location: String? {
        get { state.withLock { $0.location } }
        set { state.withLock { $0.location = newValue } }
    }

    /// The next part to download; nil when there is none now.
    func nextPiece() -> Piece? {
        state.withLock { state in
            state.next = max(state.next, state.prefix)
            // Ranges after a gap from an earlier run.
            while let held = state.parts[state.next] { state.next = held.end }
            guard state.next < file.byteCount, state.next < state.prefix + Self.reach else { return nil }
            let size = state.next == 0 ? firstPiece : Self.pieceSize
            let held = state.parts.keys.filter { $0 > state.next }.min() ?? file.byteCount
            let range = state.next..<min(held, state.next + size)
            state.next = range.upperBound
            state.parts[range.lowerBound] = (range.lowerBound, false)
            state.running += 1
            return Piece(range: range)
        }
    }

    /// Extends a part over all unassigned bytes, for a server that ignores ranges.
    func extend(_ piece: inout Piece) {
        state.withLock { state in
            // Only the last part can be extended: the bytes after it are unassigned.
            guard state.next == piece.range.upperBound else { return }
            state.next = file.byteCount
            piece.range = piece.range.lowerBound..<file.byteCount
        }
    }

    /// Appends bytes to a part.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - offset: Their offset in the content.
    ///   - piece: The part.
    ///   - block: The write buffer of this part.
    /// - Throws: `BridgeError` when the write fails.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, of piece: Piece, through block: WriteBuffer) throws {
        var done = 0
        while done < bytes.count {
            done += block.take(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + done)
            if block.isFull { try flush(block, of: piece) }
        }
    }

    /// Writes the buffer of a part at its offset in the content.
    func flush(_ block: WriteBuffer, of piece: Piece) throws {
        guard !block.isEmpty else { return }
        // Also after a failed write: later bytes would be written at a wrong offset.
        defer { block.clear() }
        try storage.write(block.bytes, at: block.range.lowerBound)
        let isNext = state.withLock { state in
            state.parts[piece.range.lowerBound]?.end = block.range.upperBound
            Self.advance(&state)
            guard !state.isHashing, state.hashed == block.range.lowerBound else { return false }
            state.isHashing = true
            return true
        }
        advanced()
        if isNext { hash(block.bytes, endingAt: block.range.upperBound) }
        try mark()
    }

    /// Moves the end of the range without a gap.
    private static func advance(_ state: inout State) {
        while let part = state.parts.first(where: { $0.key <= state.prefix && $0.value.end > state.prefix })
            ?? state.parts.first(where: { $0.key <= state.prefix && $0.value.hasEnded })
        {
            state.prefix = max(state.prefix, part.value.end)
            guard part.value.hasEnded else { break }
            state.parts[part.key] = nil
        }
    }

    /// Ends a part, complete or not, and updates the checksum.
    ///
    /// - Parameters:
    ///   - piece: The part.
    ///   - isComplete: Whether all of it is downloaded.
    ///   - block: Its write buffer; empty afterwards.
    /// - Returns: Whether the content is complete and no thread works on it.
    /// - Throws: `BridgeError` when the file cannot be written or read.
    func finish(_ piece: Piece, isComplete: Bool, through block: WriteBuffer) throws -> Bool {
        try flush(block, of: piece)
        state.withLock { state in
            if isComplete { state.parts[piece.range.lowerBound]?.hasEnded = true }
            Self.advance(&state)
        }
        try mark()
        try hash(through: block)
        defer { advanced() }
        return state.withLock { state in
            state.running -= 1
            return state.running == 0 && state.hashed == file.byteCount
        }
    }

    /// Writes the state after the content.
    func mark() throws {
        let mark = state.withLock { state in
            DownloadState(prefix: state.prefix, parts: state.parts.map { $0.key..<max($0.key, $0.value.end) })
        }
        guard mark.write(to: storage.descriptor, byteCount: file.byteCount) else {
            throw BridgeError.system("cannot write \(storage.path)")
        }
    }

    /// Updates the checksum with the next bytes of the content; the state records that a thread does this.
    private func hash(_ bytes: UnsafeRawBufferPointer, endingAt end: Int) {
        digest.withLock { $0.digest.update(bytes) }
        state.withLock { state in
            state.hashed = end
            state.isHashing = false
        }
    }

    /// Updates the checksum to the first gap with bytes of the file, unless another thread does this.
    private func hash(through block: WriteBuffer) throws {
        while true {
            let range: Range<Int>? = state.withLock { state in
                guard !state.isHashing, state.hashed < state.prefix else { return nil }
                state.isHashing = true
                let end = state.hashed / WriteBuffer.byteCount * WriteBuffer.byteCount + WriteBuffer.byteCount
                return state.hashed..<min(state.prefix, end)
            }
            guard let range else { return }
            do {
                let bytes = try storage.readPages(range, into: block.memory)
                guard bytes.count == range.count else { throw Self.hasOtherBytes(file) }
                hash(bytes, endingAt: range.upperBound)
            } catch {
                state.withLock { $0.isHashing = false }
                throw error
            }
        }
    }

    /// Whether the content is complete, also for a file that was complete at the start.
    func isComplete(through block: WriteBuffer) throws -> Bool {
        try hash(through: block)
        return state.withLock { $0.hashed == file.byteCount && $0.running == 0 }
    }

    /// Copies downloaded bytes, for a caller that reads them once.
    func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws {
        let count = try storage.readUncached(at: offset, into: buffer, through: &scratch)
        guard count == buffer.count else { throw Self.hasOtherBytes(file) }
    }

    /// The error when a reader has read bytes that differ from the hub's.
    static func hasOtherBytes(_ file: HubFile) -> BridgeError {
        BridgeError(.network, "\(file.path) differs from the hub's file; run the command again")
    }

    /// Renames the content when its checksum is the hub's.
    ///
    /// - Returns: Whether it is; otherwise the file is downloaded again.
    /// - Throws: `BridgeError` when it is wrong for the second time, or the file cannot be renamed.
    func commit() throws -> Bool {
        let found = digest.withLock { $0.digest.hexadecimal() }
        let expected = file.blobName
        guard found == expected else {
            // An empty file cannot be downloaded again.
            guard file.byteCount > 0 else {
                unlink(storage.path)
                throw BridgeError(
                    .network,
                    "the hub lists \(file.path) with 0 bytes and the content '\(expected)', which is not the checksum of an empty "
                        + "file; its listing is wrong: check HF_ENDPOINT"
                )
            }
            let fresh = SendableDigest(digest: try Self.makeDigest(file))
            digest.withLock { $0 = fresh }
            ftruncate(storage.descriptor, 0)
            let isSecond = state.withLock { state in
                defer { state = State(hasFailedOnce: true) }
                return state.hasFailedOnce
            }
            guard isSecond else { return false }
            unlink(storage.path)
            throw BridgeError(
                .network,
                "\(file.path) was downloaded twice with the checksum \(found), expected \(expected) as the hub lists it; a proxy or mirror "
                    + "changes it, or the hub's copy is damaged: check HF_ENDPOINT and the proxy"
            )
        }
        guard ftruncate(storage.descriptor, off_t(file.byteCount)) == 0 else {
            throw BridgeError.system("cannot write \(storage.path)")
        }
        guard rename(storage.path, destination) == 0 || Files.kind(of: destination) == .file else {
            throw BridgeError.system("cannot rename \(storage.path) to \(destination)")
        }
        return true
    }
}
