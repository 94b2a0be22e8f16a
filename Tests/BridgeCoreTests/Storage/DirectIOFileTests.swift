import Foundation
import Glibc
import TestSupport
import Testing

@testable import BridgeCore
@testable import BridgeSupport
@testable import HuggingFaceHub

/// Bytes past the page cache are those that went there, wherever a stretch starts and ends.
@Suite struct DirectIOFileTests {
    private let scratch: TemporaryDirectory
    private let content: [UInt8]

    init() throws {
        scratch = try TemporaryDirectory()
        var generator = TestSeed.generator()
        content = (0..<5_000_003).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Stretches that start and end at pages, beside them, and at the end of the content.
    private func stretches(_ generator: inout SplitMix) -> [Range<Int>] {
        let edges = [0, 1, 4095, 4096, 4097, 1 << 20, (1 << 20) + 1, 3 << 20, content.count - 4096, content.count - 1]
        let random = (0..<40).map { _ in Int.random(in: 0..<content.count, using: &generator) }
        return (edges + random).map { start in
            let most = content.count - start
            return start..<start + min(most, Int.random(in: 1...2_500_000, using: &generator))
        }
    }

    @Test func whatIsWrittenPieceByPieceIsThere() throws {
        let path = scratch.path("written")
        let file = try DirectIOFile(path: path)
        let block = WriteBuffer()
        var generator = TestSeed.generator()
        // Two ends are written towards each other, in pieces of any size.
        let middle = 2_345_678
        for range in [middle..<content.count, 0..<middle] {
            var place = range.lowerBound
            while place < range.upperBound {
                let count = min(range.upperBound - place, Int.random(in: 1...300_000, using: &generator))
                try content[place..<place + count].withUnsafeBytes { bytes in
                    var done = 0
                    while done < count {
                        done += block.take(UnsafeRawBufferPointer(rebasing: bytes[done...]), at: place + done)
                        if block.isFull || Int.random(in: 0..<9, using: &generator) == 0 {
                            try file.write(block.bytes, at: block.range.lowerBound)
                            block.clear()
                        }
                    }
                }
                place += count
            }
            try file.write(block.bytes, at: block.range.lowerBound)
            block.clear()
        }
        #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == content)
    }

    @Test func whatIsReadOnceIsWhatIsThere() throws {
        let path = scratch.path("read")
        try Data(content).write(to: URL(filePath: path))
        let storage = try FileStorage(path: path)
        var generator = TestSeed.generator()
        var pages = AlignedBuffer(byteCount: 0)
        for (index, range) in stretches(&generator).enumerated() {
            // Some pages are in the cache and some are not.
            if index.isMultiple(of: 3) { Self.forget(path, content.count) }
            var bytes = [UInt8](repeating: 0, count: range.count)
            try bytes.withUnsafeMutableBytes {
                try storage.readUncached(at: range.lowerBound, into: $0, through: &pages)
            }
            #expect(bytes == Array(content[range]), "\(range)")
        }
    }

    @Test func whatIsNotThereIsAnError() throws {
        let path = scratch.path("short")
        try Data(content).write(to: URL(filePath: path))
        let storage = try FileStorage(path: path)
        truncate(path, 3_000_001)
        Self.forget(path, content.count)
        var pages = AlignedBuffer(byteCount: 0)
        var bytes = [UInt8](repeating: 0, count: 2_000_000)
        let error = #expect(throws: BridgeError.self) {
            try bytes.withUnsafeMutableBytes { try storage.readUncached(at: 2_000_000, into: $0, through: &pages) }
        }
        #expect(error?.code == .corruptInput && error?.message.contains("ends at byte 3000001") == true)
    }

    @Test(.enabled(if: Self.isOnADisk, "temporary files are kept in memory here"))
    func whatIsReadOnceDoesNotStayInMemory() throws {
        let path = scratch.path("cold")
        try Data(content).write(to: URL(filePath: path))
        try #require(Self.forget(path, content.count) == 0)
        let storage = try FileStorage(path: path)
        var pages = AlignedBuffer(byteCount: 0)
        var bytes = [UInt8](repeating: 0, count: 4 << 20)
        try bytes.withUnsafeMutableBytes { try storage.readUncached(at: 0, into: $0, through: &pages) }
        #expect(bytes == Array(content.prefix(bytes.count)))
        #expect(Self.residentPages(path, content.count) == 0)
    }

    /// Whether what is written to a temporary file can leave the memory.
    static let isOnADisk: Bool = {
        guard let directory = try? TemporaryDirectory(), let path = try? directory.write([1, 2, 3], to: "probe") else {
            return false
        }
        return forget(path, 3) == 0
    }()

    /// Writes a file to the disk and drops it from the page cache; returns how many pages of it stay.
    @discardableResult private static func forget(_ path: String, _ byteCount: Int) -> Int {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        fsync(descriptor)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        return residentPages(path, byteCount)
    }

    /// How many pages of a file are in memory, as `mincore` sees it.
    private static func residentPages(_ path: String, _ byteCount: Int) -> Int {
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        guard let mapped = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0), mapped != MAP_FAILED else {
            return -1
        }
        defer { munmap(mapped, byteCount) }
        var states = [UInt8](repeating: 0, count: byteCount / 4096 + 1)
        guard mincore(mapped, byteCount, &states) == 0 else { return -1 }
        return states.count { $0 & 1 != 0 }
    }
}
