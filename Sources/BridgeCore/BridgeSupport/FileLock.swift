import Glibc

/// A lock that programs take on a file by `flock`; it ends with the object, or with the process.
///
/// The Python package filelock, which huggingface_hub uses, takes the same.
public final class FileLock: Sendable {
    /// The open file.
    public let descriptor: Int32
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
    ///   - followsLink: Whether the path may be a link to the file.
    /// - Returns: The lock; nil when another process holds it.
    /// - Throws: `BridgeError` when the file cannot be created. On a file system without locks every process gets one.
    public static func take(
        _ path: String,
        waits: Bool = false,
        isTemporary: Bool = false,
        followsLink: Bool = false
    ) throws -> FileLock? {
        let link = followsLink ? 0 : O_NOFOLLOW
        return try take(path, waits: waits, isTemporary: isTemporary, followsLink: followsLink) {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | link, 0o666)
            if descriptor >= 0 { return descriptor }
            guard errno == ENOENT, !Files.exists(Files.parent(of: path)) else {
                throw BridgeError.system("cannot lock \(path)")
            }
            try Files.createDirectory(Files.parent(of: path))
            return nil
        }
    }

    /// Acquires the lock of a directory, which is created if it does not exist; its parent has to exist.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - neighbour: A path in the same parent, which the user knows, for messages.
    /// - Returns: The lock; nil when another process holds it.
    /// - Throws: `BridgeError` when the directory cannot be created or opened, or is a link.
    package static func take(directory path: String, nextTo neighbour: String) throws -> FileLock? {
        try take(path, waits: false, isTemporary: false, followsLink: false) {
            guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
                throw BridgeError.system("cannot create a directory next to \(neighbour)")
            }
            // A link at this name could lead to files of another owner.
            let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 || errno == ENOENT else { throw BridgeError.cannotOpen(path) }
            return descriptor >= 0 ? descriptor : nil
        }
    }

    /// Locks what `open` opens; a path that leads elsewhere by then is opened again, as is one for which it returns nil.
    private static func take(
        _ path: String,
        waits: Bool,
        isTemporary: Bool,
        followsLink: Bool,
        open: () throws -> Int32?
    ) throws -> FileLock? {
        while true {
            guard let descriptor = try open() else { continue }
            while flock(descriptor, waits ? LOCK_EX : LOCK_EX | LOCK_NB) != 0 {
                if errno == EINTR { continue }
                guard [EWOULDBLOCK, EACCES].contains(errno) else { break }
                close(descriptor)
                return nil
            }
            // The previous holder may have removed or renamed what was opened, whose lock is then without effect.
            var (locked, named) = (stat(), stat())
            if fstat(descriptor, &locked) == 0, (followsLink ? stat(path, &named) : lstat(path, &named)) == 0,
                locked.st_ino == named.st_ino
            {
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
