import BridgeCore
import Glibc

/// An append-only file: each piece is written at once, so a killed run leaves complete pieces.
final class LogFile {
    private let path: String
    private let descriptor: Int32

    /// Opens a file for appending after its first `kept` bytes; nil for all of its bytes.
    ///
    /// - Throws: `BridgeError` when it cannot be opened, or another run has it open.
    init(path: String, keeping kept: Int? = nil) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            close(descriptor)
            throw BridgeError(
                .destinationTaken,
                "another run is writing to \(path); wait for it, or set another logger.log_dir"
            )
        }
        if let kept, ftruncate(descriptor, kept) != 0 {
            let error = Self.error("cannot shorten \(path)")
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }

    /// Writes a file atomically.
    static func replace(_ path: String, with bytes: [UInt8]) throws {
        let partial = path + ".partial"
        try LogFile(path: partial, keeping: 0).append(bytes)
        guard rename(partial, path) == 0 else { throw error("cannot replace \(path)") }
    }

    func append(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.error("cannot write to \(path)") }
            done += count
        }
    }

    /// Creates a directory and its parents.
    static func createDirectory(_ path: String) throws {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/" + part
            guard mkdir(made, 0o755) == 0 || errno == EEXIST else { throw error("cannot create the directory \(path)") }
        }
    }

    private static func error(_ what: String) -> BridgeError {
        BridgeError(
            .fileSystem,
            "\(what): \(String(cString: strerror(errno))); free disk space or choose another location"
        )
    }
}
