import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

@testable import CheckpointFormats
@testable import TensorFiles

/// GGUF files beside those that the gguf package writes; the fixtures are made by `make_gguf_fixtures.py`.
@Suite struct GGUFFileTests {
    private static let root = "\(Fixtures.root)/gguf"

    private static func stored(_ name: String) throws -> StoredTensor {
        try #require(SafetensorsFile(path: "\(root)/blocks.safetensors").tensors.first { $0.name == name })
    }

    private func bytes(_ file: PlannedFile, _ range: Range<Int>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0xAA, count: range.count)
        let reader = TensorReader()
        try bytes.withUnsafeMutableBytes { try file.read(range, with: reader, into: $0) }
        return bytes
    }

    @Test(arguments: GGUFType.allCases) func numbersAreRoundedAsByTheGGUFPackage(_ type: GGUFType) throws {
        let (numbers, expected) = try (Self.stored("numbers"), Self.stored(type.title))
        let tensor = GGUFFile.Tensor(name: "a", view: TensorView(numbers), type: type)
        let file = try GGUFFile(metadata: [], tensors: [tensor]).planned(name: "a.gguf")
        let wanted = try TensorReader().bytes(of: TensorView(expected))
        // The elements are at the end, before what fills the last 32 bytes.
        let start = file.offsets[1]
        #expect(try bytes(file, start..<start + wanted.count) == wanted)
        #expect(file.byteCount % 32 == 0 && file.byteCount - start - wanted.count < 32)
    }

    /// Writers ask for parts of a file that begin and end inside of blocks.
    @Test func anyPartOfAFileIsThatOfTheWhole() throws {
        let numbers = try TensorView(Self.stored("numbers"))
        for tensor in [
            GGUFFile.Tensor(name: "a", view: numbers, type: .q8), .init(name: "a", view: numbers, type: .q4),
            .init(name: "a", view: numbers, type: .f32, offset: 1),
        ] {
            let file = try GGUFFile(metadata: [], tensors: [tensor]).planned(name: "a.gguf")
            let whole = try bytes(file, 0..<file.byteCount)
            for size in [1, 7, 33, 34, 1000] {
                let parts = try stride(from: 0, to: file.byteCount, by: size).flatMap {
                    try bytes(file, $0..<min($0 + size, file.byteCount))
                }
                #expect(parts == whole)
            }
        }
    }

    @Test func aFileIsThatOfTheGGUFPackage() throws {
        let rows = try TensorView(Self.stored("numbers"))
        let types: [GGUFType] = [.f32, .f16, .q8, .q4]
        var tensors = types.map { GGUFFile.Tensor(name: "m.\($0.title)", view: rows.rows(0..<3), type: $0) }
        let vector = rows.rows(0..<1).columns(0..<5).reshaped([5])
        // A view sees a vector as rows of one element.
        let stored = StoredTensor(
            name: "v",
            elementType: .float32,
            shape: [5],
            storage: MemoryStorage(name: "v", bytes: try TensorReader().bytes(of: vector.reshaped([1, 5]))),
            offset: 0
        )
        tensors.append(.init(name: "v.F32", view: TensorView(stored), type: .f32, offset: 1))
        let metadata: [(key: String, value: GGUFValue)] = [
            ("general.architecture", .text("tiny")), ("a.count", .count(7)), ("a.number", .number(0.1)),
            ("a.flag", .flag(true)), ("a.text", .text("naïve")), ("a.flags", .flags([true, false])),
            ("a.numbers", .numbers([0.5, -2.25])), ("a.integers", .integers([3, -1])),
            ("a.texts", .texts(["one", "", "drei"].map { Array($0.utf8) })),
        ]
        let file = try GGUFFile(metadata: metadata, tensors: tensors).planned(name: "tiny.gguf")
        let expected = try Array(Data(contentsOf: URL(filePath: "\(Self.root)/tiny.gguf")))
        #expect(try bytes(file, 0..<file.byteCount) == expected)
    }

    @Test func whatAFileCannotHaveIsRefused() throws {
        let view = try TensorView(Self.stored("numbers"))
        func refused(_ metadata: [(key: String, value: GGUFValue)], _ names: [String]) -> Bool {
            let tensors = names.map { GGUFFile.Tensor(name: $0, view: view, type: .f32) }
            return (try? GGUFFile(metadata: metadata, tensors: tensors).planned(name: "a.gguf")) == nil
        }
        #expect(refused([("a", .count(1)), ("a", .count(2))], []))
        #expect(refused([], ["b", "b"]) && refused([], [String(repeating: "c", count: 64)]))
        #expect(refused([("a", .count(-1))], []) && refused([("a", .count(1 << 32))], []))
        #expect(!refused([("a", .count(1))], ["b", String(repeating: "c", count: 63)]))
    }
}
