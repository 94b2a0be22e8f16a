/// A short text that tells whether files have changed, from their sizes and samples of their contents.
///
/// It takes milliseconds whatever the size: of a large file 64 samples of 64 KiB are read, the first and the last bytes among
/// them. It finds a file that was replaced or grew; a change between two samples stays unnoticed.
public enum ContentFingerprint {
    private static let sampleCount = 64
    private static let sampleBytes = 64 << 10

    /// The fingerprint of some files, in their order; names do not matter.
    ///
    /// - Parameter files: Their paths.
    /// - Returns: 32 hexadecimal digits.
    /// - Throws: `BridgeError` for a file that cannot be read.
    public static func of(_ files: [String]) throws -> String {
        var digests: [BlockChecksum.Digest] = []
        for file in files {
            let storage = try FileStorage(path: file)
            let size = storage.byteCount
            digests.append(withUnsafeBytes(of: UInt64(size).littleEndian, BlockChecksum.digest))
            let last = max(size - sampleBytes, 0)
            let starts =
                size <= sampleCount * sampleBytes
                ? Array(stride(from: 0, to: size, by: sampleBytes))
                : (0..<sampleCount).map { last / (sampleCount - 1) * $0 }.dropLast() + [last]
            for start in starts {
                let bytes = try storage.bytes(start..<min(start + sampleBytes, size))
                digests.append(bytes.withUnsafeBytes(BlockChecksum.digest))
            }
        }
        return BlockChecksum.root(digests).description
    }
}
