public import BridgeSupport
import Glibc

/// The SHA-256 of files, as `sha256sum` prints it and the hub shows it.
public enum FileHash {
    private static let pieceByteCount = 1 << 20

    /// The SHA-256 of a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - cancellation: Checked after each piece.
    /// - Returns: 64 hexadecimal digits.
    /// - Throws: `BridgeError` for a file that cannot be read, without the library of checksums, and after a cancellation.
    public static func sha256(of path: String, cancellation: Cancellation = Cancellation()) throws -> String {
        let hash = try StreamingHash(.sha256)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw BridgeError.cannotOpen(path) }
        defer { close(descriptor) }
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceByteCount, alignment: 64)
        defer { piece.deallocate() }
        while true {
            try cancellation.check()
            let count = read(descriptor, piece.baseAddress, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw BridgeError.system("cannot read \(path)") }
            guard count > 0 else { return hash.hexadecimal() }
            hash.update(UnsafeRawBufferPointer(rebasing: piece[..<count]))
        }
    }

    /// The SHA-256 of some bytes.
    ///
    /// - Throws: `BridgeError` without the library of checksums.
    public static func sha256(of bytes: [UInt8]) throws -> String {
        let hash = try StreamingHash(.sha256)
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.hexadecimal()
    }
}
