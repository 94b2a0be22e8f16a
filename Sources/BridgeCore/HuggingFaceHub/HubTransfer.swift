import BridgeSupport
import Glibc
import Network
import Synchronization
import TensorFiles

/// The content of one file on its way into the cache, piece by piece and by several threads at once.
///
/// Until it is whole it lies in a file of its own, with a ``DownloadState`` behind the content that says which stretches have come,
/// so that whoever finds it after a kill goes on from there. The checksum follows the pieces as they
/// become one stretch; only what agrees with the hub's takes the content's name.
final class HubTransfer: Sendable {
    /// A stretch of the content that one thread fetches.
    struct Piece {
        var range: Range<Int>
    }

    let file: HubFile

    /// How many bytes a piece has; the last one has fewer.
    static let pieceSize = 16 << 20
    /// How many bytes the first piece has where somebody waits to read how a file begins.
    static let firstPieceSize = 1 << 20
    /// How far pieces may be ahead of the first gap.
    static let reach = 8 * pieceSize

    private struct State {
        /// Where the next piece starts.
        var next = 0
        /// The pieces that are under way or lie behind a gap: their starts, and up to where they have come.
        var parts: [Int: (end: Int, hasEnded: Bool)] = [:]
        /// Up to where there is no gap.
        var prefix = 0
        /// Up to where the checksum has come.
        var hashed = 0
        var isHashing = false
        /// The pieces that threads are at.
        var running = 0
        /// Where the content was found to be; nil while only the hub knows.
        var location: String?
        var hasFailedOnce = false
    }

    private let state: Mutex<State>
    private let digest: Mutex<SendableDigest>
    private let storage: DirectIOFile
    private let destination: String
    private let lock: FileLock
    private let firstPiece: Int
    /// How many bytes were here when it was found.
    let byteCountAtStart: Int

    private struct SendableDigest: @unchecked Sendable { var digest: StreamingHash }

    /// Starts or goes on.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - path: Where it is until it is whole.
    ///   - destination: Where it will be.
    ///   - lock: What keeps others from doing the same.
    ///   - isReadEarly: Whether somebody reads its bytes before their checksum is known: what was left behind then has to
    ///     begin as such a file begins.
    /// - Throws: `BridgeError` when the file cannot be made.
    init(_ file: HubFile, path: String, destination: String, lock: FileLock, isReadEarly: Bool) throws {
        self.file = file
        self.destination = destination
        self.lock = lock
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
        // So the mark has its place on the disk before the content can fill that up.
        try mark()
    }

    /// Whether what was left behind can be the start of a file of weights, as far as it goes.
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

    /// Git's names are checksums of the content behind a line that says what it is.
    private static func makeDigest(_ file: HubFile) throws -> StreamingHash {
        let digest = try StreamingHash(file.sha256 == nil ? .sha1 : .sha256)
        if file.sha256 == nil {
            Array("blob \(file.byteCount)\0".utf8).withUnsafeBytes { digest.update($0) }
        }
        return digest
    }

    /// How many bytes are here without a gap.
    var prefix: Int { state.withLock { $0.prefix } }

    /// Whether no thread is at it.
    var isIdle: Bool { state.withLock { $0.running == 0 } }

    /// Where the content was found to be.
    var location: String? {
        get { state.withLock { $0.location } }
        set { state.withLock { $0.location = newValue } }
    }

    /// The next piece to fetch; nil when there is none now.
    func nextPiece() -> Piece? {
        state.withLock { state in
            state.next = max(state.next, state.prefix)
            // What an earlier run has left beyond a gap.
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

    /// Makes a piece take all that no other piece has yet, for a server that gives no parts of files.
    func extend(_ piece: inout Piece) {
        state.withLock { state in
            // Only the last one can: what is behind it is nobody's.
            guard state.next == piece.range.upperBound else { return }
            state.next = file.byteCount
            piece.range = piece.range.lowerBound..<file.byteCount
        }
    }

    /// Takes bytes of a piece, which come in their order.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - offset: Their place in the content.
    ///   - piece: The piece.
    ///   - block: Where bytes of this piece wait until they are enough for a write.
    /// - Throws: `BridgeError` when the disk is full or does not take them.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, of piece: Piece, through block: WriteBuffer) throws {
        var done = 0
        while done < bytes.count {
            done += block.take(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + done)
            if block.isFull { try flush(block, of: piece) }
        }
    }

    /// Writes what waits of a piece at its place in the content.
    func flush(_ block: WriteBuffer, of piece: Piece) throws {
        guard !block.isEmpty else { return }
        // Also when it cannot be written: what follows would come to the wrong place.
        defer { block.clear() }
        try storage.write(block.bytes, at: block.range.lowerBound)
        let isNext = state.withLock { state in
            state.parts[piece.range.lowerBound]?.end = block.range.upperBound
            Self.advance(&state)
            guard !state.isHashing, state.hashed == block.range.lowerBound else { return false }
            state.isHashing = true
            return true
        }
        if isNext { hash(block.bytes, endingAt: block.range.upperBound) }
        try mark()
    }

    /// Moves the end of the stretch without a gap.
    private static func advance(_ state: inout State) {
        while let part = state.parts.first(where: { $0.key <= state.prefix && $0.value.end > state.prefix })
            ?? state.parts.first(where: { $0.key <= state.prefix && $0.value.hasEnded })
        {
            state.prefix = max(state.prefix, part.value.end)
            guard part.value.hasEnded else { break }
            state.parts[part.key] = nil
        }
    }

    /// Ends a piece, whether it has come whole or not, and brings the checksum up to date.
    ///
    /// - Parameters:
    ///   - piece: The piece.
    ///   - isComplete: Whether all of it has come.
    ///   - block: What waits of it; empty afterwards.
    /// - Returns: Whether the content has come to its end and nobody is at it any more.
    /// - Throws: `BridgeError` when the disk is full or does not give back what it has.
    func finish(_ piece: Piece, isComplete: Bool, through block: WriteBuffer) throws -> Bool {
        try flush(block, of: piece)
        state.withLock { state in
            if isComplete { state.parts[piece.range.lowerBound]?.hasEnded = true }
            Self.advance(&state)
        }
        try mark()
        try hash(through: block)
        return state.withLock { state in
            state.running -= 1
            return state.running == 0 && state.hashed == file.byteCount
        }
    }

    /// Writes down how far it has come.
    func mark() throws {
        let mark = state.withLock { state in
            DownloadState(prefix: state.prefix, parts: state.parts.map { $0.key..<max($0.key, $0.value.end) })
        }
        guard mark.write(to: storage.descriptor, byteCount: file.byteCount) else {
            throw BridgeError.system("cannot write \(storage.path)")
        }
    }

    /// Brings the checksum further by what comes next in the content; the state says that somebody is at it.
    private func hash(_ bytes: UnsafeRawBufferPointer, endingAt end: Int) {
        digest.withLock { $0.digest.update(bytes) }
        state.withLock { state in
            state.hashed = end
            state.isHashing = false
        }
    }

    /// Brings the checksum up to the first gap by what lies in the file, unless another thread is at it.
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

    /// Whether all has come, also for a file that was whole when it was found.
    func isComplete(through block: WriteBuffer) throws -> Bool {
        try hash(through: block)
        return state.withLock { $0.hashed == file.byteCount && $0.running == 0 }
    }

    /// Copies bytes that have come, for somebody who reads them once.
    func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws {
        let count = try storage.readUncached(at: offset, into: buffer, through: &scratch)
        guard count == buffer.count else { throw Self.hasOtherBytes(file) }
    }

    /// What is wrong when a reader has seen bytes that are not the hub's.
    static func hasOtherBytes(_ file: HubFile) -> BridgeError {
        BridgeError(.network, "\(file.path) has come with other bytes than the hub's; run it again")
    }

    /// Gives the content its name when its checksum is the hub's.
    ///
    /// - Returns: Whether it is; otherwise everything is fetched once more.
    /// - Throws: `BridgeError` when it is wrong for the second time, or the file cannot be put in its place.
    func commit() throws -> Bool {
        let found = digest.withLock { $0.digest.hexadecimal() }
        let expected = file.blobName
        guard found == expected else {
            // Nothing can be fetched once more where nothing is to come.
            guard file.byteCount > 0 else {
                unlink(storage.path)
                throw BridgeError(
                    .network,
                    "the hub lists \(file.path) with 0 bytes and the content '\(expected)', which is not that of an empty "
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
                "\(file.path) has come twice with the checksum \(found), and the hub says \(expected); something on the way "
                    + "changes it, or the hub's copy is damaged: check HF_ENDPOINT and the proxy"
            )
        }
        guard ftruncate(storage.descriptor, off_t(file.byteCount)) == 0 else {
            throw BridgeError.system("cannot write \(storage.path)")
        }
        guard rename(storage.path, destination) == 0 || Files.kind(of: destination) == .file else {
            throw BridgeError.system("cannot put \(destination) in place")
        }
        return true
    }
}
