package import Glibc

/// The few file system calls that Bridge needs, with errors as sentences.
public enum Files {
    /// The type of a file.
    public enum Kind: Sendable {
        case file
        case directory
        case other
    }

    /// The type of a file, symbolic links followed; nil when it does not exist.
    public static func kind(of path: String) -> Kind? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return .file
        case S_IFDIR: return .directory
        default: return .other
        }
    }

    /// The identity of a file or directory, whatever path leads to it; nil when it does not exist.
    public static func identity(of path: String) -> String? {
        var status = stat()
        return stat(path, &status) == 0 ? identity(of: status) : nil
    }

    /// The identity of the file or directory of a `stat`.
    package static func identity(of status: stat) -> String { "\(status.st_dev):\(status.st_ino)" }

    /// Whether both paths lead to one file or directory, which is there.
    public static func areOne(_ one: String, _ other: String) -> Bool {
        guard let identity = identity(of: one) else { return false }
        return identity == Self.identity(of: other)
    }

    /// The absolute path of a file without links; nil when it does not exist.
    public static func real(_ path: String) -> String? {
        guard let found = realpath(path, nil) else { return nil }
        defer { free(found) }
        return String(cString: found)
    }

    /// Whether a file of any type exists at a path.
    public static func exists(_ path: String) -> Bool { kind(of: path) != nil }

    /// Whether the process may write a file, or change the entries of a directory.
    public static func isWritable(_ path: String) -> Bool { access(path, W_OK) == 0 }

    /// Whether this process may execute a file.
    public static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }

    /// The size of a file in bytes; 0 when there is none.
    public static func size(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }

    /// A path inside a directory.
    public static func join(_ directory: String, _ name: String) -> String {
        directory.isEmpty ? name : directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    /// The last part of a path.
    public static func name(of path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }

    /// The path without its last part.
    public static func parent(of path: String) -> String {
        var path = path[...]
        while path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The path without slashes at its end.
    public static func trimmed(_ path: String) -> String {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// The names in a directory, sorted by their bytes.
    public static func list(_ directory: String) throws -> [String] {
        guard let stream = opendir(directory) else { throw BridgeError.system("cannot list \(directory)") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The content of a file of at most `limit` bytes.
    public static func contents(of path: String, limit: Int = 512 << 20) throws -> [UInt8] {
        let file = try FileStorage(path: path)
        guard file.byteCount <= limit else {
            throw BridgeError(
                .corruptInput,
                "\(path) has \(file.byteCount) bytes, more than the \(limit) that such a file may have"
            )
        }
        return try file.bytes(0..<file.byteCount)
    }

    /// Creates a directory and its parents.
    public static func createDirectory(_ path: String) throws {
        if kind(of: path) == .directory { return }
        let above = parent(of: path)
        if above != path, !exists(above) { try createDirectory(above) }
        guard mkdir(path, 0o777) == 0 || (errno == EEXIST && kind(of: path) == .directory) else {
            throw BridgeError.system("cannot make the directory \(path)")
        }
    }

    /// The directories that ``createDirectory(_:)`` would create, the innermost first.
    public static func missingDirectories(_ path: String) -> [String] {
        var (directories, directory) = ([String](), path)
        while !exists(directory), directory != parent(of: directory) {
            directories.append(directory)
            directory = parent(of: directory)
        }
        return directories
    }

    /// Removes directories, the innermost first, up to one that is not empty.
    public static func removeEmpty(_ directories: [String]) {
        for directory in directories where rmdir(directory) != 0 { break }
    }

    /// Writes a file and flushes it to the disk.
    public static func write(_ bytes: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw BridgeError.system("cannot write \(path)") }
        defer { close(descriptor) }
        try write(to: descriptor, path) { put in try bytes.withUnsafeBytes(put) }
    }

    /// Writes an open file in parts and flushes it to the disk.
    private static func write(
        to descriptor: Int32,
        _ path: String,
        _ content: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws {
        try content { try write($0, to: descriptor, named: path) }
        guard fsync(descriptor) == 0 else { throw BridgeError.system("cannot flush \(path)") }
    }

    /// Writes bytes at the position of an open file.
    public static func write(_ bytes: [UInt8], to descriptor: Int32, named path: String) throws {
        try bytes.withUnsafeBytes { try write($0, to: descriptor, named: path) }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, named path: String) throws {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let count = Glibc.write(descriptor, base + done, bytes.count - done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw BridgeError.system("cannot write \(path)") }
            done += count
        }
    }

    /// Replaces a small file atomically.
    public static func replace(_ path: String, with bytes: [UInt8]) throws {
        try replace(path) { put in try bytes.withUnsafeBytes(put) }
    }

    /// Replaces a file atomically with one that is written in parts.
    ///
    /// Until then it is called `PATH.partial` and locked; the partial file of a killed program is overwritten.
    public static func replace(
        _ path: String,
        _ content: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws {
        let temporary = "\(path).partial"
        guard let lock = try FileLock.take(temporary, waits: true) else {
            throw BridgeError(.fileSystem, "\(temporary) is locked by another program")
        }
        do {
            guard ftruncate(lock.descriptor, 0) == 0 else { throw BridgeError.system("cannot write \(path)") }
            try write(to: lock.descriptor, path, content)
            guard rename(temporary, path) == 0 else { throw BridgeError.system("cannot write \(path)") }
        } catch {
            unlink(temporary)
            throw error
        }
        try flushDirectory(parent(of: path))
    }

    /// Flushes a directory's entries to the disk.
    public static func flushDirectory(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        defer { close(descriptor) }
        // Some file systems cannot flush a directory and say EINVAL; there is nothing more to do there.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw BridgeError.system("cannot flush the directory \(path)")
        }
    }

    /// Removes a file, or a directory with all that is in it.
    ///
    /// Does not follow symbolic links.
    public static func remove(_ path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        var directories: [String] = []
        func removeFile(_ path: String) throws {
            guard unlink(path) == 0 else { throw BridgeError.system("cannot remove \(path)") }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try removeFile(path) }
        try walk(path) { entry in
            let location = join(path, entry.path)
            guard entry.kind == .directory, !entry.isLink else {
                try removeFile(location)
                return false
            }
            directories.append(location)
            return true
        }
        for directory in directories.reversed() + [path] {
            guard rmdir(directory) == 0 else { throw BridgeError.system("cannot remove \(directory)") }
        }
    }

    /// The free bytes of the file system of a path; nil when it does not report them.
    public static func freeSpace(at path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int(status.f_bavail) * Int(status.f_frsize)
    }

    /// Whether a name is that of a file inside a directory.
    public static func isPlainName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.contains("/") && !name.contains("\0")
    }
}
