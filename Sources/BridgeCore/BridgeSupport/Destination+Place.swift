import Glibc

extension Destination {
    /// Checks that a path can be replaced by a directory.
    ///
    /// - Throws: `BridgeError` with code `destinationTaken`, or `fileSystem` where nothing may be written.
    package static func checkReplaceable(_ path: String) throws {
        func refuse(_ what: String) -> BridgeError { BridgeError(.destinationTaken, "\(path) \(what)") }
        guard !path.isEmpty else { throw refuse("is empty; name the path to write to") }
        let target = resolved(path)
        if let here = Files.real("."), target == here || ancestors(of: here).contains(target) {
            throw refuse(
                "is the current directory or contains it, and a result replaces the whole directory; give a new directory, "
                    + "such as \(Files.join(path, "result"))"
            )
        }
        if let last = path.split(separator: "/").last, last == "." || last == ".." {
            throw refuse("ends with \(last); give the directory's own name")
        }
        if isMountPoint(target) {
            throw refuse("is a mount point, which cannot be replaced; name a directory inside of it")
        }
        var status = stat()
        if lstat(Files.trimmed(path), &status) == 0, status.st_mode & S_IFMT == S_IFLNK, !Files.exists(path) {
            throw refuse("is a link to what does not exist; remove it, or name the path that it leads to")
        }
        guard let above = ancestors(of: target).first(where: { Files.exists($0) }), Files.kind(of: above) == .directory
        else {
            return
        }
        guard access(above, W_OK | X_OK) == 0 else { throw BridgeError.system("cannot write \(path) in \(above)") }
    }

    /// Whether another file system, or a part of one, is mounted at a path.
    private static func isMountPoint(_ path: String) -> Bool {
        Files.kind(of: path) == .directory && MountTable.entries.contains { $0.path == path }
    }
}
