package import BridgeSupport

/// Which files of a directory may be carried along, into another directory or to the hub.
///
/// A directory may come from an untrusted source, and a link in it may lead to any file of the user: its content would
/// be published with the model. So it has to stay inside the directory, or lead to the blobs of a hub cache, as the
/// links of a downloaded model do.
package enum CarriedFiles {
    /// Checks that a path leads to a file inside.
    ///
    /// - Parameters:
    ///   - path: The file or directory; links are followed.
    ///   - root: The directory that it belongs to.
    /// - Throws: `BridgeError` for one that leads out.
    package static func check(_ path: String, in root: String) throws {
        guard let target = Files.real(path), let home = Files.real(root) else { return }
        guard target != home, !target.hasPrefix(home == "/" ? home : home + "/"), !isCached(target) else { return }
        throw BridgeError(
            .fileSystem,
            "\(path) is a link to \(target), outside of \(root) and of the hub's cache, and would be copied; put a copy of "
                + "the target file here if it belongs to the model, or remove it"
        )
    }

    /// Whether a path is a content of a cache laid out as huggingface_hub does it: `models--ORG--NAME/blobs/CHECKSUM`.
    private static func isCached(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        guard parts.count >= 3, parts[parts.count - 2] == "blobs" else { return false }
        let (name, repository) = (parts[parts.count - 1], parts[parts.count - 3])
        return ["models--", "datasets--", "spaces--"].contains { repository.hasPrefix($0) }
            && (name.utf8.count == 40 || name.utf8.count == 64)
            && name.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// Opens a file that is copied.
    ///
    /// - Throws: `BridgeError` for one that is outside of the directory, and one that cannot be opened.
    package static func open(_ name: String, in root: String) throws -> FileStorage {
        let path = Files.join(root, name)
        try check(path, in: root)
        return try FileStorage(path: path)
    }
}
