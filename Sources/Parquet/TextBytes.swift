import CCompression
import Glibc

/// The text of a file of rows, unpacked where the file is compressed and without a byte order mark.
public enum TextBytes {
    /// The unpacked bytes of a file, or of the beginning of one.
    ///
    /// - Parameters:
    ///   - bytes: The bytes of a file.
    ///   - limit: The most bytes that it may have once it is unpacked.
    /// - Returns: The bytes; nil where they are not compressed.
    /// - Throws: `ParquetError` for a file that is damaged, too large, or compressed in another way than gzip or zstd.
    public static func unpacked(_ bytes: [UInt8], limit: Int) throws(ParquetError) -> [UInt8]? {
        guard let format = Format(of: bytes.prefix(8)) else { return nil }
        guard format.isRead else {
            throw ParquetError(
                "it is compressed with \(format.rawValue), which is not supported; use gzip or zstd, or unpack it"
            )
        }
        var output = Output(limit: limit)
        // Untouched memory is not allocated, and a growing array is copied to twice its size.
        output.bytes.reserveCapacity(limit)
        let status = withUnsafeMutablePointer(to: &output) { output in
            bytes.withUnsafeBufferPointer { input in
                let take: ccomp_take = { context, bytes, count in
                    guard let output = context?.assumingMemoryBound(to: Output.self) else { return 0 }
                    guard count <= output.pointee.limit - output.pointee.bytes.count else { return 0 }
                    output.pointee.bytes += UnsafeBufferPointer(start: bytes, count: count)
                    return 1
                }
                return format == .gzip
                    ? ccomp_gunzip(input.baseAddress, input.count, take, output)
                    : ccomp_unzstd(input.baseAddress, input.count, take, output)
            }
        }
        switch status {
        case 1: return output.bytes
        case 0: throw ParquetError("its \(format.rawValue) data is damaged or truncated")
        default: throw ParquetError("it has more than \(limit) bytes once it is unpacked; unpack it, or split it")
        }
    }

    /// Whether a file that begins so is compressed.
    public static func isCompressed(_ bytes: some Sequence<UInt8>) -> Bool { Format(of: bytes) != nil }

    /// The number of bytes of a text's byte order mark.
    ///
    /// - Throws: `ParquetError` for the mark of UTF-16 or UTF-32, which JSON rows are not read from.
    public static func byteOrderMark(_ bytes: some Sequence<UInt8>) throws(ParquetError) -> Int {
        let start = Array(bytes.prefix(3))
        if start == [0xEF, 0xBB, 0xBF] { return 3 }
        if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) {
            throw ParquetError("it begins with the byte order mark of UTF-16; save it as UTF-8")
        }
        return 0
    }

    private struct Output {
        var bytes: [UInt8] = []
        let limit: Int
    }

    /// Formats by their first bytes.
    private enum Format: String, CaseIterable {
        case gzip
        case zstd
        case bzip2
        case xz
        case lz4
        case zip

        init?(of bytes: some Sequence<UInt8>) {
            let bytes = Array(bytes.prefix(8))
            guard let format = Self.allCases.first(where: { bytes.starts(with: $0.magic) }) else { return nil }
            self = format
        }

        var isRead: Bool { self == .gzip || self == .zstd }

        private var magic: [UInt8] {
            switch self {
            case .gzip: [0x1F, 0x8B]
            case .zstd: [0x28, 0xB5, 0x2F, 0xFD]
            case .bzip2: Array("BZh".utf8)
            case .xz: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00]
            case .lz4: [0x04, 0x22, 0x4D, 0x18]
            case .zip: [0x50, 0x4B, 0x03, 0x04]
            }
        }
    }
}
