import CBlockHash

/// The checksum of a file that is written and read in blocks of one size, in any order.
///
/// Each block has its XXH3-128; the file's checksum is the XXH3-128 of the concatenated block checksums. A SHA-256 over
/// the whole file would run in one thread at 1.6 GB/s and limit a conversion; this one runs during the copy at memory
/// speed, and identifies the damaged block. It protects against damage, not against forgery.
package enum BlockChecksum {
    /// The name in a manifest.
    package static let algorithm = "xxh3-128-blocks"
    /// The size of a block in bytes; the last one of a file may be shorter.
    package static let blockByteCount = 8 << 20

    /// The checksum of one block.
    package struct Digest: Sendable, Hashable, CustomStringConvertible {
        private var high: UInt64
        private var low: UInt64

        fileprivate init(_ digest: cbh_digest) { (high, low) = (digest.high, digest.low) }

        /// Its bytes in the checksum of a file.
        fileprivate var words: [UInt64] { [high.bigEndian, low.bigEndian] }

        /// 32 hexadecimal digits.
        package var description: String { Self.hex(high) + Self.hex(low) }

        private static func hex(_ value: UInt64) -> String {
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    /// The checksum of some bytes.
    package static func digest(_ bytes: UnsafeRawBufferPointer) -> Digest {
        Digest(cbh_hash(bytes.baseAddress, bytes.count))
    }

    /// The bytes of a block that are read or written at once, and hashed while they are still in a core's own cache.
    package static let pieceByteCount = 256 << 10

    /// The checksum of bytes that come in pieces.
    package struct Stream: ~Copyable {
        private let state = UnsafeMutableRawPointer.allocate(
            byteCount: Int(CBH_STATE_BYTES),
            alignment: Int(CBH_STATE_ALIGNMENT)
        )

        /// The checksum of no bytes.
        package init() { cbh_reset(state) }

        deinit { state.deallocate() }

        /// Starts from scratch.
        package func reset() { cbh_reset(state) }

        /// Hashes the next bytes.
        package func update(_ bytes: UnsafeRawBufferPointer) { cbh_update(state, bytes.baseAddress, bytes.count) }

        /// The checksum of all bytes so far.
        package var digest: Digest { Digest(cbh_finish(state)) }
    }

    /// The checksum of a file with the given blocks.
    package static func root(_ blocks: [Digest]) -> Digest {
        let words = blocks.flatMap(\.words)
        return words.withUnsafeBytes { digest($0) }
    }
}
