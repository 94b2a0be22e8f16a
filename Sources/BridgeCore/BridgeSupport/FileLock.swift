import Glibc

/// A lock that programs take on a file by `flock`; it ends with the object, or with the process.
///
/// The Python package filelock, which huggingface_hub uses, takes the same.
public final class FileLock: Sendable {
    let descriptor: Int32
    /// The file, where it goes with the lock.
    private let temporary: String?

    private init(_ descriptor: Int32, temporary: String?) {
        (self.descriptor, self.temporary) = (descriptor, temporary)
    }

    /// Acquires a lock.
    ///
    /// - Parameters:
    ///   - path: The file, created with its directory if it does not exist.
    ///   - waits: Whether to wait until another process releases it.
    ///   - isTemporary: Whether the file is removed at the end.
    /// - Returns: The lock; nil when another process holds it.
    /// - Throws: `BridgeError` when the file cannot be created. On a file system without locks every process gets one.
    public static func take(_ path: String, waits: Bool = false, isTemporary: Bool = false) throws -> FileLock? {
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o666)
            if descriptor < 0, errno == ENOENT, !Files.exists(Files.parent(of: path)) {
                try Files.createDirectory(Files.parent(of: path))
                continue
            }
            guard descriptor >= 0 else { throw BridgeError.system("cannot lock \(path)") }
            while flock(descriptor, waits ? LOCK_EX : LOCK_EX | LOCK_NB) != 0 {
                if errno == EINTR { continue }
                guard [EWOULDBLOCK, EACCES].contains(errno) else { break }
                close(descriptor)
                return nil
            }
            // The previous holder may have removed or renamed the opened file, whose lock is then without effect.
            var (locked, named) = (stat(), stat())
            if fstat(descriptor, &locked) == 0, lstat(path, &named) == 0, locked.st_ino == named.st_ino {
                return FileLock(descriptor, temporary: isTemporary ? path : nil)
            }
            close(descriptor)
        }
    }

    deinit {
        if let temporary { unlink(temporary) }
        close(descriptor)
    }
}
