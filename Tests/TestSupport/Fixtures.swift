public import Foundation

/// The committed checkpoints, see `Tests/Fixtures/README.md`.
public enum Fixtures {
    /// `Tests/Fixtures`.
    public static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures").path

    /// The repository.
    public static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    /// The directory of a checkpoint.
    public static func checkpoint(_ name: String) -> String { "\(root)/checkpoints/\(name)" }

    /// The names of all checkpoints.
    public static let all: [String] = {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "\(root)/checkpoints")) ?? []
        return names.sorted()
    }()

    /// The checkpoints that come back byte for byte: not the quantised ones, and not the one that holds a second format.
    public static let exact = all.filter { !$0.contains("fp8") && $0 != "mistral-both-formats" }
}

/// A directory that is gone with the object.
public final class TemporaryFolder: Sendable {
    /// The directory.
    public let path: String

    /// Makes a directory.
    public init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "bridge-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A path inside.
    public func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Copies a checkpoint to a place inside, where it may be changed.
    public func copy(ofCheckpoint name: String, as copy: String = "source") throws -> String {
        try FileManager.default.copyItem(atPath: Fixtures.checkpoint(name), toPath: path(copy))
        return path(copy)
    }

    /// Writes a file inside.
    @discardableResult
    public func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: URL(filePath: path(name)))
        return path(name)
    }
}

/// The paths below a directory with the content of each file.
public func contents(of directory: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
        let path = "\(directory)/\(name)"
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
            continue
        }
        files[name] = try Data(contentsOf: URL(filePath: path))
    }
    return files
}
