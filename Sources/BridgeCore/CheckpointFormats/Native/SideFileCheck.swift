import BridgeSupport
import Synchronization

/// Compares the files besides the weights of a checkpoint with its manifest, once for all copies of the checkpoint's value.
final class SideFileCheck: Sendable {
    private let found = Mutex<[String]?>(nil)

    /// The paths of the files that differ.
    ///
    /// - Throws: `BridgeError` when one cannot be read.
    func changed(in checkpoint: NativeCheckpoint) throws -> [String] {
        try found.withLock { found in
            if let found { return found }
            let files = checkpoint.manifest.files.filter {
                $0.name.hasPrefix("\(NativeCheckpoint.huggingFaceDirectory)/")
            }
            let changed = try files.filter { try Self.isChanged($0, in: checkpoint.path) }.map(\.name)
            found = changed
            return changed
        }
    }

    /// Whether a file differs from the manifest's entry.
    ///
    /// - Throws: `BridgeError` when it cannot be read.
    static func isChanged(_ file: NativeManifest.File, in directory: String) throws -> Bool {
        let size = BlockChecksum.blockByteCount
        let storage = try FileStorage(path: Files.join(directory, file.name))
        guard storage.byteCount == file.byteCount else { return true }
        for (index, start) in stride(from: 0, to: file.byteCount, by: size).enumerated() {
            let bytes = try storage.bytes(start..<min(start + size, file.byteCount))
            if !file.expects(index, bytes.withUnsafeBytes(BlockChecksum.digest)) { return true }
        }
        return false
    }
}
