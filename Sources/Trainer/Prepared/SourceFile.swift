import BridgeCore
import Glibc
import JSONTree
import Network

/// A file that data was prepared from: its state and its SHA-256.
///
/// A file with the same path, size and time of modification is taken for unchanged; another one is read to find out.
struct SourceFile: Sendable, Equatable {
    /// The path: absolute, or below the directory of the images.
    let path: String
    /// The size in bytes.
    let byteCount: Int
    /// The time of the last modification, in nanoseconds since 1970.
    let modified: Int
    /// The SHA-256, 64 hexadecimal digits.
    let sha256: String

    /// The size and the time of modification of a file; nil where there is none.
    private static func state(of path: String) -> (byteCount: Int, modified: Int)? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let (seconds, nanoseconds) = (Int(status.st_mtim.tv_sec), Int(status.st_mtim.tv_nsec))
        return (Int(status.st_size), seconds &* 1_000_000_000 &+ nanoseconds)
    }

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - name: The path that is kept; nil for the absolute one.
    ///   - known: What is known of files, by path and state.
    ///   - cancellation: Stops the reading.
    /// - Throws: `BridgeError` when it cannot be read.
    init(
        path: String,
        name: String? = nil,
        known: [SourceFile] = [],
        cancellation: Cancellation = Cancellation()
    ) throws {
        guard let state = Self.state(of: path) else {
            throw BridgeError(.fileSystem, "\(path) does not exist or is not a file")
        }
        self.path = name ?? Files.real(path) ?? path
        (byteCount, modified) = state
        let own = (self.path, byteCount, modified)
        let found = known.first { ($0.path, $0.byteCount, $0.modified) == own }
        sha256 = try found?.sha256 ?? FileHash.sha256(of: path, cancellation: cancellation)
    }

    /// Whether the file at a path still has this content; a file that is not there does not count as changed.
    ///
    /// - Throws: `BridgeError` when it cannot be read.
    func isUnchanged(at path: String) throws -> Bool {
        guard let state = Self.state(of: path) else { return true }
        guard state.byteCount == byteCount else { return false }
        return try state.modified == modified || FileHash.sha256(of: path) == sha256
    }

    var json: JSON {
        [
            "path": .string(path), "bytes": JSON(byteCount), "modified": JSON(modified), "sha256": .string(sha256),
        ]
    }

    init(_ reader: JSONReader) throws {
        path = try reader.string("path")
        byteCount = try reader.integer("bytes")
        modified = try reader.integer("modified", in: Int.min...Int.max)
        sha256 = try reader.string("sha256")
    }
}
