import CSystem
import Glibc

/// A directory that is written next to its destination and renamed when it is complete.
///
/// The directory being made is called `.NAME.partial` and locked, so that a second run on the same destination is refused,
/// while what a killed run has left is cleared away by the next.
package final class StagedDirectory {
    /// The directory of the files until ``commit()``.
    package let path: String
    /// The final path.
    package let destination: String

    /// Nil after the end.
    private var lock: FileLock?
    private let replaces: Bool
    /// The directories above the destination that were made for it, the innermost first.
    private let madeParents: [String]
    /// Whether the directory belongs to this run: not before it is locked, nor after the end.
    private var isOpen = false

    /// Starts to create a directory.
    ///
    /// - Parameters:
    ///   - destination: The final path.
    ///   - overwrite: Whether an existing directory is replaced.
    /// - Throws: `BridgeError` with code `destinationTaken`, or `fileSystem`.
    package init(destination: String, overwrite: Bool) throws {
        let destination = Files.trimmed(destination)
        let parent = Files.parent(of: destination)
        try Self.check(destination, overwrite: overwrite)
        madeParents = Files.missingDirectories(parent)
        try Files.createDirectory(parent)
        self.destination = destination
        replaces = overwrite
        path = Files.join(parent, ".\(Files.name(of: destination)).partial")
        guard let lock = try FileLock.take(directory: path, nextTo: destination) else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing \(destination); wait for it, or choose another directory"
            )
        }
        self.lock = lock
        isOpen = true
        for name in try Files.list(path) { try Files.remove(Files.join(path, name)) }
    }

    deinit { abandon() }

    /// Checks that a directory can be created; nothing is changed.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken` when something else exists there.
    package static func check(_ destination: String, overwrite: Bool) throws {
        try Destination.checkReplaceable(destination)
        var status = stat()
        if !overwrite, lstat(destination, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
            throw BridgeError(
                .destinationTaken,
                "\(destination) is a link; name the directory that it leads to, or pass --overwrite to replace the link"
            )
        }
        switch Files.kind(of: destination) {
        case .directory where !overwrite:
            guard try Files.list(destination).isEmpty else {
                throw BridgeError(
                    .destinationTaken,
                    "\(destination) already exists; choose another directory or pass --overwrite"
                )
            }
        case .file, .other:
            throw BridgeError(.destinationTaken, "\(destination) exists and is not a directory; choose another path")
        default: break
        }
    }

    /// Runs `body`, which writes the files; its errors name the destination, which the user knows, and not the staging directory.
    package func filling<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch var error as BridgeError {
            error.message = error.message.replacing(path, with: destination)
            throw error
        }
    }

    /// Flushes everything and renames the directory to the destination.
    ///
    /// - Throws: `BridgeError` when another process has created the destination meanwhile; it is then unchanged.
    package func commit() throws {
        try Self.flush(path)
        let parent = Files.parent(of: destination)
        if replaces, Files.exists(destination), csys_exchange(path, destination) == 0 {
            try Files.flushDirectory(parent)
            // The old directory has the partial name now.
            try Files.remove(path)
        } else {
            if replaces { try Files.remove(destination) }
            guard csys_rename_new(path, destination) == 0 else {
                guard errno == EEXIST else { throw BridgeError.system("cannot rename the result to \(destination)") }
                throw BridgeError(
                    .destinationTaken,
                    "\(destination) has appeared meanwhile; choose another directory or pass --overwrite"
                )
            }
            try Files.flushDirectory(parent)
        }
        isOpen = false
        lock = nil
    }

    /// Removes what has been made so far.
    package func abandon() {
        guard isOpen else { return }
        isOpen = false
        try? Files.remove(path)
        // One that another process uses by now is not empty and is kept.
        Files.removeEmpty(madeParents)
        lock = nil
    }

    private static func flush(_ directory: String) throws {
        var directories = [directory]
        try Files.walk(directory) { entry in
            guard entry.kind == .directory, !entry.isLink else { return false }
            directories.append(Files.join(directory, entry.path))
            return true
        }
        for directory in directories.reversed() { try Files.flushDirectory(directory) }
    }
}
