import Glibc

/// Identifies the state of a file without reading it: device and inode, size and modification time.
struct FileStamp: Equatable, Sendable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let seconds: Int64
    private let nanoseconds: Int64

    init(_ status: stat) {
        (device, inode, size) = (UInt64(status.st_dev), UInt64(status.st_ino), Int64(status.st_size))
        (seconds, nanoseconds) = (Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec))
    }

    /// The state of the file at a path, links followed; nil when there is none.
    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The state of an open file; nil when the system does not tell.
    init?(descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    /// The error for a file that is not what it was.
    static func changed(_ path: String) -> BridgeError {
        BridgeError(
            .fileSystem,
            "\(path) was changed while it was read, so the result would be a mixture; the destination is as it was before. "
                + "Run again when nothing writes to the file"
        )
    }
}

/// The files of some directories at one moment, to find out later whether any of them was changed.
public struct SourceFiles: Sendable {
    private var stamps: [(path: String, stamp: FileStamp)] = []

    /// More directories below each other than a checkpoint has.
    private static let deepest = 4
    private static let most = 100_000

    /// Stores the states of the files.
    ///
    /// - Parameter paths: Files and directories; nil and paths that do not exist, such as an id on the hub, are
    ///   ignored.
    public init(_ paths: [String?]) {
        for case let path? in paths { add(path) }
    }

    private mutating func add(_ path: String) {
        func addFile(_ path: String) {
            if stamps.count < Self.most, let stamp = FileStamp(path: path) { stamps.append((path, stamp)) }
        }
        if Files.kind(of: path) == .file { addFile(path) }
        guard Files.kind(of: path) == .directory else { return }
        try? Files.walk(path, depth: Self.deepest - 1, skipsUnreadable: true) { entry in
            guard !entry.name.hasPrefix(".") else { return false }
            if entry.kind == .file { addFile(Files.join(path, entry.path)) }
            return true
        }
    }

    /// Checks that no file has changed; a removed file is not an error, because it was read before.
    ///
    /// - Throws: `BridgeError` that names the file.
    public func confirmUnchanged() throws {
        for (path, stamp) in stamps {
            if let now = FileStamp(path: path), now != stamp { throw FileStamp.changed(path) }
        }
    }
}
