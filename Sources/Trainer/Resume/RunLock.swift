import BridgeCore
import Glibc

/// Keeps two runs from writing into the same folder: a file beside it that is locked as long as the run lasts.
final class RunLock {
    private let path: String
    private let descriptor: Int32

    /// Locks a folder, which need not be there yet.
    ///
    /// - Throws: `BridgeError` when another run has it, or nothing can be written beside it.
    init(folder: String) throws {
        let folder = String(folder.reversed().drop { $0 == "/" }.reversed())
        let cut = folder.lastIndex(of: "/").map { folder.index(after: $0) } ?? folder.startIndex
        let (parent, name) = (String(folder[..<cut]), folder[cut...])
        if !parent.isEmpty { try LogFile.makeFolder(parent) }
        path = "\(parent).\(name).running"
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
            guard descriptor >= 0 else {
                throw BridgeError(
                    .fileSystem,
                    "cannot write beside \(folder): \(String(cString: strerror(errno))); name another checkpoint.save"
                )
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw BridgeError(
                    .destinationTaken,
                    "another run is writing to \(folder); wait for it, or name another checkpoint.save"
                )
            }
            // The run that had the lock may have removed the file that was opened here.
            var (locked, named) = (stat(), stat())
            if fstat(descriptor, &locked) == 0, stat(path, &named) == 0, locked.st_ino == named.st_ino {
                self.descriptor = descriptor
                return
            }
            close(descriptor)
        }
    }

    deinit {
        unlink(path)
        close(descriptor)
    }
}
