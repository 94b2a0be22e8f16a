public import Foundation

/// A directory that is removed with the object.
public final class TemporaryDirectory: Sendable {
    /// The directory.
    public let url: URL

    /// Makes a directory.
    public init() throws {
        url = FileManager.default.temporaryDirectory.appending(path: "bridge-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        // `nobody` has to pass through where a test runs as another user.
        chmod(url.path, 0o755)
    }

    deinit { try? FileManager.default.removeItem(at: url) }

    /// The path of the directory.
    public var path: String { url.path }

    /// A path in the directory, as a URL.
    public func url(_ name: String) -> URL { url.appendingPathComponent(name) }

    /// A path in the directory.
    public func path(_ name: String) -> String { url(name).path }

    /// Copies a checkpoint of the fixtures into the directory, where it may be changed.
    public func copy(ofCheckpoint name: String, as copy: String = "source") throws -> String {
        try FileManager.default.copyItem(atPath: Fixtures.checkpoint(name), toPath: path(copy))
        return path(copy)
    }

    /// Writes a file in the directory.
    @discardableResult
    public func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: url(name))
        return path(name)
    }

    /// Everything in the directory, hidden or not, as sorted paths.
    public var content: [String] { Self.content(of: path) }

    /// Everything below a path, hidden or not, as sorted paths; empty where nothing exists.
    public static func content(of path: String) -> [String] {
        ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// Everything below a path with the bytes of each file; directories have none.
    public static func bytes(of path: String) -> [String: Data] {
        let files = content(of: path).map { name in
            (name, (try? Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) ?? Data())
        }
        return Dictionary(files) { first, _ in first }
    }
}
