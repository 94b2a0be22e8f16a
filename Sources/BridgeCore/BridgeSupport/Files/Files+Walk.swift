import Glibc

extension Files {
    /// A file or directory that a walk has found.
    public struct Entry: Sendable {
        /// Its path below the directory of the walk.
        public let path: String
        /// Its type, symbolic links followed; nil for a link to a path that does not exist.
        public let kind: Kind?
        /// Whether it is a symbolic link.
        public let isLink: Bool
        /// The number of the inode; that of the link itself for a link.
        package let inode: UInt64
        /// The size in bytes; that of the link itself for a link.
        package let byteCount: Int

        /// The last part of the path.
        public var name: String { Files.name(of: path) }
    }

    /// Visits the entries of a directory and of those below it, in the order of their names.
    ///
    /// Links are followed where the caller decides so; a directory is entered once, so that the walk ends.
    ///
    /// - Parameters:
    ///   - root: The directory.
    ///   - depth: The most levels of directories that are entered below it.
    ///   - mostNames: A directory with more entries is not entered.
    ///   - skipsUnreadable: Whether a directory that cannot be listed is skipped.
    ///   - visit: Gets each entry, and decides whether a directory is entered.
    /// - Throws: `BridgeError` for a directory that cannot be listed, and what `visit` throws.
    public static func walk(
        _ root: String,
        depth: Int = 64,
        mostNames: Int = .max,
        skipsUnreadable: Bool = false,
        _ visit: (Entry) throws -> Bool
    ) throws {
        var entered: Set<String> = []
        func walk(_ inner: String, _ depth: Int) throws {
            let directory = inner.isEmpty ? root : join(root, inner)
            if let identity = identity(of: directory), !entered.insert(identity).inserted { return }
            let names: [String]
            do { names = try list(directory) } catch {
                guard skipsUnreadable else { throw error }
                return
            }
            guard names.count <= mostNames else { return }
            for name in names {
                let path = inner.isEmpty ? name : "\(inner)/\(name)"
                var status = stat()
                let isThere = lstat(join(root, path), &status) == 0
                let entry = Entry(
                    path: path,
                    kind: kind(of: join(root, path)),
                    isLink: isThere && status.st_mode & S_IFMT == S_IFLNK,
                    inode: UInt64(status.st_ino),
                    byteCount: Int(status.st_size)
                )
                if try visit(entry), entry.kind == .directory, depth > 0 { try walk(path, depth - 1) }
            }
        }
        try walk("", depth)
    }
}
