import Foundation

/// A directory that is there as long as this object.
final class Scratch {
    let root: URL

    init() throws {
        root = URL(fileURLWithPath: NSTemporaryDirectory())
            .appendingPathComponent("bridge-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        // `nobody` has to come through where a test runs as another user.
        chmod(root.path, 0o755)
    }

    deinit { try? FileManager.default.removeItem(at: root) }

    /// A place in the directory.
    func url(_ name: String) -> URL { root.appendingPathComponent(name) }
    /// The path of a place in the directory.
    func path(_ name: String) -> String { url(name).path }

    /// Everything in the directory, hidden or not, as sorted paths.
    var content: [String] { Self.content(of: root.path) }

    /// Everything below a path.
    static func content(of path: String) -> [String] {
        ((try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []).sorted()
    }

    /// The bytes of all files below a path, by name.
    static func bytes(of path: String) -> [String: Data] {
        let files = content(of: path).map { name in
            (name, (try? Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))) ?? Data())
        }
        return Dictionary(files) { first, _ in first }
    }
}
