import CBlockHash
import Testing

@testable import BridgeCore
@testable import BridgeSupport

/// Checksums are those of the library xxHash, whatever they are computed with and in which pieces.
@Suite struct BlockChecksumTests {
    /// XXH3_128bits of libxxhash 0.8.1 for the bytes below.
    static let recorded = [
        (0, "99aa06d3014798d86001c324468d497f"), (1, "a6cd5e9392000f6ac44bdff4074eecdb"),
        (17, "340f6f9202ad1131a378e80882221151"), (241, "8e7e1f2fe4156df918773c512b008a63"),
        (1025, "0fabde917fb0af22550abe5d45dd663b"), (1_048_579, "86675cca6603ed701d3d4bb96f33e273"),
    ]

    private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 31 + $0 / 256) } }

    @Test(arguments: recorded) func theChecksumIsThatOfTheLibrary(_ count: Int, _ expected: String) {
        let bytes = bytes(count)
        #expect(bytes.withUnsafeBytes(BlockChecksum.digest).description == expected)
        let (chosen, portable) = (cbh_hash(bytes, count), cbh_hash_portable(bytes, count))
        #expect(chosen.low == portable.low && chosen.high == portable.high)
    }

    @Test(arguments: recorded) func piecesGiveTheSame(_ count: Int, _ expected: String) {
        let bytes = bytes(count)
        let stream = BlockChecksum.Stream()
        for size in [1, 63, 64, 255, 256, 1000, 262_144] where count / size <= 20_000 {
            stream.reset()
            for start in stride(from: 0, to: count, by: size) {
                bytes[start..<min(count, start + size)].withUnsafeBytes { stream.update($0) }
            }
            #expect(stream.digest.description == expected, "\(size)")
        }
    }

    @Test func theInstructionsMayChangeBetweenPieces() {
        let bytes = bytes(1_048_579)
        let state = UnsafeMutableRawPointer.allocate(
            byteCount: Int(CBH_STATE_BYTES),
            alignment: Int(CBH_STATE_ALIGNMENT)
        )
        defer { state.deallocate() }
        cbh_reset(state)
        for (index, start) in stride(from: 0, to: bytes.count, by: 777).enumerated() {
            let piece = Array(bytes[start..<min(bytes.count, start + 777)])
            (index % 2 == 0 ? cbh_update : cbh_update_portable)(state, piece, piece.count)
        }
        let (found, expected) = (cbh_finish(state), cbh_hash_portable(bytes, bytes.count))
        #expect(found.low == expected.low && found.high == expected.high)
    }
}
