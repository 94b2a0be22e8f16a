import CXXHash

/// The checksum of a file that is written and read in blocks of one size, in any order.
///
/// Each block has its XXH3-128; the file's checksum is the XXH3-128 of those, one behind the other. A SHA-256 over the
/// whole file would run in one thread at 1.6 GB/s and be what limits a conversion; this runs beside the copy at memory
/// speed, and says which block is damaged. It guards against damage, not against forgery.
package enum BlockChecksum {
    /// The name in a manifest.
    package static let algorithm = "xxh3-128-blocks"
    /// The size of a block in bytes; the last one of a file may be shorter.
    package static let blockByteCount = 8 << 20

    /// The checksum of one block.
    package struct Digest: Sendable, Hashable, CustomStringConvertible {
        fileprivate var high: UInt64
        fileprivate var low: UInt64

        /// 32 hexadecimal digits.
        package var description: String { Self.hex(high) + Self.hex(low) }

        private static func hex(_ value: UInt64) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    /// The checksum of some bytes.
    package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        return Digest(high: hash.high64, low: hash.low64)
    }

    /// The checksum of a file with the given blocks.
    package static func root(_ blocks: [Digest]) -> Digest {
        let words = blocks.flatMap { [$0.high.bigEndian, $0.low.bigEndian] }
        return words.withUnsafeBytes { digest($0) }
    }
}
