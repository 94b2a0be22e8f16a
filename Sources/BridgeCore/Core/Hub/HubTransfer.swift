import Glibc
import Synchronization

/// The content of one file on its way into the cache, piece by piece and by several threads at once.
///
/// Until it is whole it lies in a file of its own, eight bytes longer than the content: the last eight say up to where it
/// has come without a gap, so that whoever finds it after a kill goes on from there. The checksum follows the pieces as they
/// become one stretch; only what agrees with the hub's takes the content's name.
final class HubTransfer: Sendable {
    /// A stretch of the content that one thread fetches.
    struct Piece {
        var range: Range<Int>
    }

    let file: HubFile

    /// How many bytes a piece has; the last one has fewer.
    static let pieceSize = 16 << 20
    /// How far pieces may be ahead of the first gap: what a kill can cost.
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
    private let path: String
    private let destination: String
    private let descriptor: Int32
    private let lock: HubLock

    private struct SendableDigest: @unchecked Sendable { var digest: Digest }

    /// Starts or goes on.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - path: Where it is until it is whole.
    ///   - destination: Where it will be.
    ///   - lock: What keeps others from doing the same.
    /// - Throws: `BridgeError` when the file cannot be made.
    init(_ file: HubFile, path: String, destination: String, lock: HubLock) throws {
        self.file = file
        self.path = path
        self.destination = destination
        self.lock = lock
        try Files.makeFolder(Files.parent(of: path))
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        var state = State()
        state.prefix = Self.resumable(descriptor, file.byteCount)
        state.next = state.prefix
        self.state = Mutex(state)
        do { digest = Mutex(SendableDigest(digest: try Self.makeDigest(file))) } catch {
            close(descriptor)
            throw error
        }
        // So the mark has its place on the disk before the content can fill that up.
        try mark()
    }

    deinit { close(descriptor) }

    /// How many bytes a file that was left behind has without a gap; 0 for one that is none of Bridge's.
    private static func resumable(_ descriptor: Int32, _ byteCount: Int) -> Int {
        var status = stat()
        var mark: UInt64 = 0
        guard fstat(descriptor, &status) == 0, Int(status.st_size) == byteCount + 8,
            pread(descriptor, &mark, 8, off_t(byteCount)) == 8
        else {
            ftruncate(descriptor, 0)
            return 0
        }
        let prefix = UInt64(littleEndian: mark)
        return prefix <= UInt64(byteCount) ? Int(prefix) : 0
    }

    /// Git's names are checksums of the content behind a line that says what it is.
    private static func makeDigest(_ file: HubFile) throws -> Digest {
        let digest = try Digest(file.sha256 == nil ? .sha1 : .sha256)
        if file.sha256 == nil {
            Array("blob \(file.byteCount)\0".utf8).withUnsafeBytes { digest.update($0) }
        }
        return digest
    }

    /// How many bytes are here without a gap.
    var prefix: Int { state.withLock { $0.prefix } }

    /// Where the content was found to be.
    var location: String? {
        get { state.withLock { $0.location } }
        set { state.withLock { $0.location = newValue } }
    }

    /// The next piece to fetch; nil when there is none now.
    func nextPiece() -> Piece? {
        state.withLock { state in
            guard state.next < file.byteCount, state.next < state.prefix + Self.reach else { return nil }
            let range = state.next..<min(file.byteCount, state.next + Self.pieceSize)
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

    /// Writes bytes of a piece at their place in the content.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int, of piece: Piece) throws {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw BridgeError.system("cannot write \(path)") }
            done += count
        }
        state.withLock { state in
            state.parts[piece.range.lowerBound]?.end = offset + bytes.count
            Self.advance(&state)
        }
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
    /// - Returns: Whether the content has come to its end and nobody is at it any more.
    func finish(_ piece: Piece, isWhole: Bool) throws -> Bool {
        state.withLock { state in
            if isWhole { state.parts[piece.range.lowerBound]?.hasEnded = true }
            Self.advance(&state)
        }
        try mark()
        try hash()
        return state.withLock { state in
            state.running -= 1
            return state.running == 0 && state.hashed == file.byteCount
        }
    }

    /// Writes down how far it has come.
    func mark() throws {
        var mark = UInt64(prefix).littleEndian
        guard pwrite(descriptor, &mark, 8, off_t(file.byteCount)) == 8 else {
            throw BridgeError.system("cannot write \(path)")
        }
    }

    /// Brings the checksum up to the first gap, unless another thread is at it.
    private func hash() throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let range: Range<Int>? = state.withLock { state in
                guard !state.isHashing, state.hashed < state.prefix else { return nil }
                state.isHashing = true
                return state.hashed..<min(state.prefix, state.hashed + buffer.count)
            }
            guard let range else { return }
            defer { state.withLock { $0.isHashing = false } }
            let count = buffer.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, range.count, off_t(range.lowerBound))
            }
            guard count == range.count else { throw BridgeError.system("cannot read \(path)") }
            digest.withLock { shared in
                buffer.withUnsafeBytes { shared.digest.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            }
            state.withLock { $0.hashed = range.upperBound }
        }
    }

    /// Whether all has come, also for a file that was whole when it was found.
    func isWhole() throws -> Bool {
        try hash()
        return state.withLock { $0.hashed == file.byteCount && $0.running == 0 }
    }

    /// Copies bytes that have come.
    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let count = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw BridgeError.system("cannot read \(path)") }
            guard count > 0 else { throw Self.hasOtherBytes(file) }
            done += count
        }
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
            let fresh = SendableDigest(digest: try Self.makeDigest(file))
            digest.withLock { $0 = fresh }
            ftruncate(descriptor, 0)
            let isSecond = state.withLock { state in
                defer { state = State(hasFailedOnce: true) }
                return state.hasFailedOnce
            }
            guard isSecond else { return false }
            unlink(path)
            throw BridgeError(
                .network,
                "\(file.path) has come twice with the checksum \(found), and the hub says \(expected); something on the way "
                    + "changes it, or the hub's copy is damaged: check HF_ENDPOINT and the proxy"
            )
        }
        guard ftruncate(descriptor, off_t(file.byteCount)) == 0 else {
            throw BridgeError.system("cannot write \(path)")
        }
        guard rename(path, destination) == 0 || Files.kind(of: destination) == .file else {
            throw BridgeError.system("cannot put \(destination) in its place")
        }
        return true
    }
}
