/// A short text that tells whether files have changed, from their sizes and samples of their contents.
///
/// Of a large file 256 pieces of 256 KiB are read, evenly spaced, and the last one, so that a file of any size takes a moment. It
/// finds a file that was replaced or grew; a change between two pieces stays unnoticed.
public enum ContentFingerprint {
    private static let pieceCount = 256

    /// The fingerprint of some files, in their order; names do not matter.
    ///
    /// - Parameter files: Their paths.
    /// - Returns: 32 hexadecimal digits.
    /// - Throws: `BridgeError` for a file that cannot be read.
    public static func of(_ files: [String]) throws -> String {
        let hash = BlockChecksum.Stream()
        let piece = BlockChecksum.pieceByteCount
        for path in files {
            let file = try FileStorage(path: path)
            withUnsafeBytes(of: UInt64(file.byteCount).littleEndian) { hash.update($0) }
            let pieces = (file.byteCount + piece - 1) / piece
            let step = max(1, pieces / pieceCount)
            for number in 0..<pieces where number % step == 0 || number == pieces - 1 {
                let bytes = try file.bytes(number * piece..<min((number + 1) * piece, file.byteCount))
                bytes.withUnsafeBytes { hash.update($0) }
            }
        }
        return hash.digest.description
    }

    /// The fingerprint of values in memory.
    ///
    /// - Parameter give: Gives the bytes of the values, in any number of pieces.
    /// - Returns: 32 hexadecimal digits.
    public static func of(_ give: (_ add: (UnsafeRawBufferPointer) -> Void) -> Void) -> String {
        let hash = BlockChecksum.Stream()
        give { hash.update($0) }
        return hash.digest.description
    }
}
