import BridgeCore
import Glibc
import JSONTree

/// The disk of the cache: its free space, and how fast it is written and read.
struct DiskCheck {
    /// The directory of the cache, which need not exist yet.
    let path: String
    /// The bytes that are written and read.
    var byteCount = 64 << 20
    /// The time after which no further piece is written, and then none is read.
    var limit: Duration = .milliseconds(700)

    private static let pieceByteCount = 8 << 20
    /// What a model of 7 billion parameters takes in bfloat16, with some space.
    private static let leastFree = 20_000_000_000

    /// - Throws: `BridgeError` when no file can be written.
    func run() throws -> Finding {
        let directory = Self.existing(path)
        let free = Files.freeSpace(at: directory) ?? 0
        let (written, read) = try speeds(in: directory)
        var finding = Finding(
            .ok,
            "\(ByteFormat.text(free)) free at \(directory), written with \(ByteFormat.text(Int(written)))/s, read with "
                + "\(ByteFormat.text(Int(read)))/s",
            facts: [
                "directory": .string(directory), "free": JSON(free), "written_bytes_per_second": JSON(Int(written)),
                "read_bytes_per_second": JSON(Int(read)),
            ]
        )
        if free < Self.leastFree {
            finding.lower(
                to: .warning,
                advice: "a model of 7B parameters takes 15 GB: free space, or set HF_HUB_CACHE to another disk"
            )
        }
        return finding
    }

    /// The directory of a path that exists.
    static func existing(_ path: String) -> String {
        guard let last = Files.missingDirectories(path).last else { return path }
        let parent = Files.parent(of: last)
        return parent.isEmpty ? "." : parent
    }

    /// The bytes per second of writes, each flushed, and of reads past the page cache.
    private func speeds(in directory: String) throws -> (written: Double, read: Double) {
        let descriptor = try Self.openWithoutName(in: directory)
        defer { close(descriptor) }
        // A file system that compresses would store equal bytes without a disk.
        var generator = SystemRandomNumberGenerator()
        var piece = (0..<Self.pieceByteCount / 8).map { _ in generator.next() }
        return try piece.withUnsafeMutableBytes { piece in
            var count = 0
            let written = try rate {
                guard pwrite(descriptor, piece.baseAddress, piece.count, off_t(count)) == piece.count,
                    fdatasync(descriptor) == 0
                else { throw Self.error("write to \(directory)") }
                count += piece.count
                return count < byteCount
            }
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            var position = 0
            let read = try rate {
                guard pread(descriptor, piece.baseAddress, piece.count, off_t(position)) == piece.count else {
                    throw Self.error("read from \(directory)")
                }
                position += piece.count
                return position < count
            }
            return (written, read)
        }
    }

    /// Measures a transfer, of which no piece is begun after the limit.
    ///
    /// - Parameter transfer: Transfers a piece; returns whether there are more.
    /// - Returns: The bytes per second.
    /// - Throws: The error of a piece.
    private func rate(_ transfer: () throws -> Bool) throws -> Double {
        let begin = ContinuousClock.now
        var count = 0
        repeat { count += Self.pieceByteCount } while try transfer() && ContinuousClock.now - begin < limit
        return Double(count) / max((ContinuousClock.now - begin).seconds, 1e-9)
    }

    /// Opens a file that no directory has, so that nothing is left, whatever happens.
    private static func openWithoutName(in directory: String) throws -> Int32 {
        // Linux's O_TMPFILE, a macro that Swift does not import.
        let descriptor = open(directory, 0o20000000 | O_DIRECTORY | O_RDWR | O_CLOEXEC, 0o600)
        if descriptor >= 0 { return descriptor }
        // Network file systems have only files with names.
        var name = Array(Files.join(directory, ".bridge-doctor-XXXXXX").utf8CString)
        let named = mkstemp(&name)
        guard named >= 0 else { throw error("write to \(directory)") }
        unlink(name)
        return named
    }

    private static func error(_ action: String) -> BridgeError {
        let reason = String(cString: strerror(errno)).lowercased()
        return BridgeError(
            .fileSystem,
            "cannot \(action): \(reason); free space, correct the permissions, or set HF_HUB_CACHE to another directory"
        )
    }
}
