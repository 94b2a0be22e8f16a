import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

@testable import TorchFiles

/// Files of `torch.save`: those in the genuine checkpoints, and those that are written.
@Suite struct TorchArchiveTests {
    private static let iteration = "\(Fixtures.root)/torch_dist/mistral-peer-tp1/iter_0000000"

    private func archive(_ path: String) throws -> TorchArchive {
        try TorchArchive(FileStorage(path: path), name: path, globals: .listed(PickleGlobals.tensors))
    }

    /// `torch.load("train_state.pt")`, torch 2.13.
    @Test func theTensorsOfTheTrainStateAreThoseThatTorchReads() throws {
        let archive = try archive("\(Self.iteration)/train_state.pt")
        let pairs = try #require(archive.content.pairs)
        #expect(
            pairs.map(\.key.text) == [
                "step", "consumed_train_samples", "skipped_train_samples", "consumed_valid_samples",
                "floating_point_operations_so_far", "do_train", "do_valid", "do_test",
            ]
        )
        for (key, value) in pairs {
            let name = try #require(key.text)
            let tensor = try #require(try archive.tensor(value, named: name))
            let type: ElementType = name.hasPrefix("do_") ? .bool : name.hasPrefix("floating") ? .float32 : .int32
            #expect(tensor.elementType == type && tensor.shape == [], "\(name)")
            let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
            #expect(bytes.allSatisfy { $0 == 0 }, "\(name)")
        }
    }

    @Test func theChecksumsOfAGenuineArchiveAreThoseOfItsBytes() throws {
        let storage = try FileStorage(path: "\(Self.iteration)/train_state.pt")
        let members = try ZipArchive(storage, in: 0..<storage.byteCount, name: "train_state.pt").members
        #expect(members.count == 14)
        for member in members {
            var checksum = CRC32()
            try storage.bytes(member.range).withUnsafeBytes { checksum.update($0) }
            #expect(checksum.value == member.checksum, "\(member.name)")
        }
        // zlib.crc32(b"123456789")
        var check = CRC32()
        Array("123456789".utf8).withUnsafeBytes { check.update($0) }
        #expect(check.value == 0xCBF4_3926)
    }

    /// A sparse file of more than 4 GiB, whose sizes and offsets are in the extra fields of ZIP64.
    @Test func archivesBeyond4GiBAreReadAgain() throws {
        let large = (4 << 30) + 12_345
        let directory = try TemporaryDirectory()
        for start in [0, 700] {
            let layout = ZipLayout(
                [
                    ("archive/data.pkl", .bytes([128, 2, 78, 46])), ("archive/data/0", .elsewhere(byteCount: large)),
                    ("archive/version", .bytes(Array("3\n".utf8))),
                ],
                at: start,
                alignment: 4096
            )
            let path = directory.path("large\(start)")
            #expect(FileManager.default.createFile(atPath: path, contents: nil))
            let file = try #require(FileHandle(forWritingAtPath: path))
            try file.truncate(atOffset: UInt64(start + layout.byteCount))
            var position = start
            for part in layout.parts {
                switch part {
                case .bytes(let bytes):
                    try file.seek(toOffset: UInt64(position))
                    try file.write(contentsOf: Data(bytes))
                    position += bytes.count
                case .member: position += large
                }
            }
            try file.close()
            #expect(position == start + layout.byteCount)
            let storage = try FileStorage(path: path)
            let members = try ZipArchive(storage, in: start..<position, name: "large").members
            #expect(members.map(\.name) == ["archive/data.pkl", "archive/data/0", "archive/version"])
            #expect(members[1].range.count == large && members[1].range.lowerBound % 4096 == 0)
            #expect(try storage.bytes(members[2].range) == Array("3\n".utf8))
        }
    }

    @Test func everyCutAndChangedByteIsAnErrorOrAnotherValue() throws {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(Self.iteration)/common.pt")))
        func open(_ bytes: [UInt8]) throws {
            let storage = MemoryStorage(name: "common.pt", bytes: bytes)
            _ = try TorchArchive(storage, name: "common.pt", globals: .opaque)
        }
        for end in bytes.indices { #expect(throws: BridgeError.self) { try open(Array(bytes[..<end])) } }
        for position in bytes.indices {
            for value: UInt8 in [0, 1, 0x7F, 0xFF] where bytes[position] != value {
                var changed = bytes
                changed[position] = value
                do { try open(changed) } catch { #expect(error is BridgeError) }
            }
        }
    }

    @Test func aTensorThatIsNotRowByRowOrReachesOutsideIsRefused() throws {
        func message(_ shape: [Int], _ strides: [Int], offset: Int = 0, count: Int = 6) throws -> String {
            var graph = PickleGraph()
            let storageClass = graph.add(.global(PickleGlobal("torch", "FloatStorage")))
            let place = graph.tuple([
                .text("storage"), storageClass, .text("0"), .text("cpu"), .integer(count),
            ])
            let storage = graph.add(.persistent(place))
            let (sizes, steps) = (graph.tuple(shape.map { .integer($0) }), graph.tuple(strides.map { .integer($0) }))
            let hooks = graph.call(.orderedDictionary, [])
            graph.finish(
                graph.call(.rebuildTensor, [storage, .integer(offset), sizes, steps, .bool(false), hooks])
            )
            let bytes = try TorchArchive.bytes(of: graph, prefix: "a", storages: [[UInt8](repeating: 0, count: 24)])
            let memory = MemoryStorage(name: "a", bytes: bytes)
            let archive = try TorchArchive(memory, name: "a", globals: .listed(PickleGlobals.tensors))
            do { return try archive.tensor(archive.content, named: "t").map { "\($0.shape)" } ?? "none" } catch {
                return (error as? BridgeError)?.message ?? "\(error)"
            }
        }
        #expect(try message([2, 3], [3, 1]) == "[2, 3]")
        #expect(try message([2, 1, 3], [3, 77, 1]) == "[2, 1, 3]")
        #expect(try message([2, 3], [1, 2]).contains("one row after the other"))
        #expect(try message([2, 3], [3, 1], offset: 1).contains("but its storage has 24"))
        #expect(try message([3, 3], [3, 1]).contains("but its storage has 24"))
        #expect(try message([1 << 40, 1 << 40], [1 << 40, 1]).contains("no memory can hold"))
        #expect(try message([2, 3], [3, 1], offset: Int.max).contains("but its storage has 24"))
    }
}
