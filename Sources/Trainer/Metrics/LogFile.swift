import BridgeCore
import Glibc

/// An append-only file: each piece is written at once, so a killed run leaves complete pieces.
final class LogFile {
    private let path: String
    private let lock: FileLock

    /// Opens a file for appending after its first `kept` bytes; nil for all of its bytes.
    ///
    /// - Throws: `BridgeError` when it cannot be opened, or another run has it open.
    init(path: String, keeping kept: Int? = nil) throws {
        self.path = path
        guard let lock = try FileLock.take(path, followsLink: true) else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing to \(path); wait for it, or set another logger.log_dir"
            )
        }
        self.lock = lock
        if let kept, ftruncate(lock.descriptor, kept) != 0 { throw BridgeError.system("cannot shorten \(path)") }
        lseek(lock.descriptor, 0, SEEK_END)
    }

    func append(_ bytes: [UInt8]) throws { try Files.write(bytes, to: lock.descriptor, named: path) }
}
