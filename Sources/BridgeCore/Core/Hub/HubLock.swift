import Glibc

/// A lock that keeps two programs from fetching the same content twice: `flock` on a file that stays, as the Python package
/// filelock does it, which huggingface_hub uses.
final class HubLock: Sendable {
    private let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Takes a lock; nil when somebody else holds it.
    ///
    /// - Throws: `BridgeError` when the file cannot be made.
    static func take(_ path: String) throws -> HubLock? {
        try Files.makeFolder(Files.parent(of: path))
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o664)
        guard descriptor >= 0 else { throw BridgeError.system("cannot lock \(path)") }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0, [EWOULDBLOCK, EACCES].contains(errno) {
            close(descriptor)
            return nil
        }
        // A file system that knows no locks lets everybody in: contents are checked before they get their names, so two
        // that fetch the same cost time and no more.
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_nlink > 0 else {
            // Somebody removed it between the two calls, so it guards nothing.
            close(descriptor)
            return nil
        }
        return HubLock(descriptor)
    }

    deinit { close(descriptor) }
}
