import Foundation
import Synchronization
import TestSupport
import Testing

@testable import BridgeCore
@testable import BridgeSupport

/// Bytes that are compared with checksums as they are read.
@Suite struct VerifiedStorageTests {
    private static let size = BlockChecksum.blockByteCount
    private let directory: TemporaryDirectory
    private let content: [UInt8]

    /// A file of two blocks and a half.
    init() throws {
        directory = try TemporaryDirectory()
        var random = TestSeed.generator()
        content = (0..<(Self.size * 5 / 2 + 13) / 8).flatMap { _ in
            withUnsafeBytes(of: random.next()) { Array($0) }
        }
        try directory.write(content, to: "file")
    }

    private func storage(limit: Int) throws -> VerifiedStorage {
        let digests = stride(from: 0, to: content.count, by: Self.size).map { start in
            content[start..<min(start + Self.size, content.count)].withUnsafeBytes(BlockChecksum.digest)
        }
        return VerifiedStorage(
            try FileStorage(path: directory.path("file")),
            cache: BlockCache(limit: limit)
        ) { digests[$0] == $1 }
    }

    private func damage(at offset: Int) throws {
        var bytes = content
        bytes[offset] ^= 4
        try directory.write(bytes, to: "file")
    }

    @Test(arguments: [1, 2, 16]) func manyThreadsReadWhatIsThere(_ limit: Int) throws {
        let storage = try storage(limit: limit)
        let count = content.count
        let wrong = Atomic(0)
        let check: @Sendable (inout [UInt8], Int) throws -> Void = { [content] buffer, item in
            var random = SplitMix(state: UInt64(item))
            for _ in 0..<8 {
                let length = Int(random.next() % UInt64(buffer.count))
                let offset = Int(random.next() % UInt64(count - length))
                try buffer.withUnsafeMutableBytes {
                    try storage.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<length]))
                }
                // memcmp, because a comparison in Swift takes half a minute in a build without optimisation.
                let isEqual = buffer.withUnsafeBytes { found in
                    content.withUnsafeBytes { memcmp(found.baseAddress!, $0.baseAddress! + offset, length) == 0 }
                }
                if !isEqual { wrong.wrappingAdd(1, ordering: .relaxed) }
            }
        }
        try Workers.run(items: 64, workers: 6, makeState: { [UInt8](repeating: 0, count: 1 << 20) }, body: check)
        #expect(wrong.load(ordering: .relaxed) == 0)
    }

    @Test func aPieceAcrossBlocksIsWhole() throws {
        let storage = try storage(limit: 2)
        let range = Self.size - 7..<2 * Self.size + 9
        #expect(try storage.bytes(range) == Array(content[range]))
        #expect(try storage.bytes(content.count - 1..<content.count) == [content[content.count - 1]])
        #expect(throws: BridgeError.self) { try storage.bytes(content.count - 1..<content.count + 1) }
    }

    @Test(arguments: [0, size - 1, size, 2 * size, 5 * size / 2])
    func aWrongByteEndsWhatReadsItsBlockAndNothingElse(_ offset: Int) throws {
        try damage(at: offset)
        let storage = try storage(limit: 4)
        let block = offset / Self.size
        for index in 0..<3 {
            let range = index * Self.size..<min(content.count, (index + 1) * Self.size)
            if index == block {
                // Not only the piece with the byte, and again when somebody asks again.
                for _ in 0..<2 {
                    let error = #expect(throws: BridgeError.self) {
                        try storage.bytes(range.lowerBound..<range.lowerBound + 3)
                    }
                    #expect(error?.code == .corruptInput)
                    #expect(
                        error?.message.contains(
                            "file is damaged in bytes \(range.lowerBound) to \(range.upperBound - 1): "
                        ) ?? false
                    )
                }
            } else {
                #expect(try storage.bytes(range) == Array(content[range]))
            }
        }
    }
}
