import BridgeSupport

/// The files of a tokenizer.
enum TokenizerFile {
    /// No tokenizer file is near this size; anything larger is a mistake or an attack.
    private static let largest = 1 << 30

    /// Whether a regular file exists at a path.
    static func exists(_ path: String) -> Bool { Files.kind(of: path) == .file }

    /// All bytes of a file.
    static func contents(of path: String) throws(TokenizerError) -> [UInt8] {
        do { return try Files.contents(of: path, limit: largest) } catch {
            let cause = error as? BridgeError
            throw TokenizerError(
                cause?.code == .corruptInput ? .badFile : .unreadableFile,
                cause?.message ?? "\(path): \(error)"
            )
        }
    }
}
