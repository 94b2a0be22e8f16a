import BridgeCore
import Foundation
import Imaging
import JSONTree
import TensorFiles
import TestSupport
import Testing

@testable import Trainer

/// Damaged prepared data is an error, whatever it holds.
@Suite struct PreparedFaultTests {
    private let directory: TemporaryDirectory
    private let recipe: Recipe
    private let path: String

    init() throws {
        directory = try TemporaryDirectory()
        let rows = try PreparedSupport.rows(directory, count: 4, images: true)
        recipe = PreparedSupport.recipe("gemma3", rows)
        path = try PreparedSupport.prepare(recipe, in: directory.path("prepared"))[0].data.path
    }

    private var shard: String { "\(path)/samples-00001.safetensors" }

    private func bytes(_ name: String) throws -> [UInt8] { try [UInt8](Data(contentsOf: URL(filePath: name))) }

    /// Reads all samples.
    private func read() throws {
        let source = try PreparedSource(PreparedData(path: path), for: PreparedSupport.bridge(recipe).processor())
        for row in 0..<source.count { _ = try source.samples(at: row) }
    }

    /// The place of an element in the file.
    private func offset(_ tensor: String, _ index: Int, width: Int) throws -> Int {
        let found = try #require(SafetensorsFile(path: shard).tensors.first { $0.name == tensor })
        return found.offset + index * width
    }

    private func set<Value: FixedWidthInteger>(_ tensor: String, _ index: Int, to value: Value) throws {
        var content = try bytes(shard)
        let place = try offset(tensor, index, width: MemoryLayout<Value>.size)
        withUnsafeBytes(of: value.littleEndian) { content.replaceSubrange(place..<place + $0.count, with: $0) }
        try Data(content).write(to: URL(filePath: shard))
    }

    private struct Damage: Sendable {
        let words: String
        let apply: @Sendable (PreparedFaultTests) throws -> Void
    }

    private static let damages = [
        Damage(words: "tokens that are not below") { try $0.set("tokens", 3, to: Int32.max) },
        Damage(words: "tokens that are not below") { try $0.set("labels", 3, to: Int32(-7)) },
        Damage(words: "sample_offsets is not a list of offsets") { try $0.set("sample_offsets", 1, to: Int64.max) },
        Damage(words: "sample_offsets is not a list of offsets") { try $0.set("sample_offsets", 0, to: Int64(-1)) },
        Damage(words: "a sample has no token") { try $0.set("sample_offsets", 1, to: Int64(0)) },
        Damage(words: "image_offsets is not a list of offsets") { try $0.set("image_offsets", 4, to: Int64(1)) },
        Damage(words: "pixel_offsets is not a list of offsets") { try $0.set("pixel_offsets", 2, to: Int64.min) },
        Damage(words: "image 0 is ") { try $0.set("image_sizes", 0, to: Int32(-5)) },
        Damage(words: "image 0 is ") { try $0.set("image_sizes", 0, to: Int32.max) },
        Damage(words: "truncated") { test in
            try Data(test.bytes(test.shard).dropLast(9)).write(to: URL(filePath: test.shard))
        },
        Damage(words: "it does not exist") { try FileManager.default.removeItem(atPath: $0.shard) },
    ]

    @Test(arguments: damages) private func aDamagedFileIsAnError(_ damage: Damage) throws {
        try read()
        try damage.apply(self)
        let error = #expect(throws: BridgeError.self) { try read() }
        let text = (error?.message ?? "").lowercased()
        #expect(text.contains(damage.words.lowercased()), "\(text)")
        #expect(text.contains("samples-00001"))
    }

    @Test func aChangedByteIsFoundByTheChecksum() throws {
        try PreparedData(path: path).check()
        try set("tokens", 3, to: Int32(5))
        try read()
        let error = #expect(throws: BridgeError.self) { try PreparedData(path: path).check() }
        #expect(error?.code == .verificationFailed)
        // It is prepared again only on request.
        #expect(try !PreparedSupport.prepare(recipe, in: directory.path("prepared"))[0].isNew)
        #expect(try PreparedSupport.prepare(recipe, in: directory.path("prepared"), overwrites: true)[0].isNew)
        try PreparedData(path: path).check()
    }

    static let edits: [(String, String, String)] = [
        ("\"version\": 1", "\"version\": 2", "has the version 2, this program reads 1"),
        ("bridge_prepared_data", "other", "format is \"other\""),
        ("\"rows\": 4,", "\"rows\": 5,", "the rows of the shards are not 5"),
        ("samples-00001.safetensors", "../x", "not the name of a file"),
        ("\"key\"", "\"kez\"", "key is missing"),
        ("\"vocab_size\": \"", "\"vocab_size\": 1, \"x\": \"", "facts.vocab_size is 1"),
        ("{", "[", "not valid JSON"),
    ]

    @Test(arguments: edits) func aDamagedDescriptionIsAnError(_ text: String, _ other: String, _ words: String) throws {
        let name = "\(path)/prepared.json"
        let description = String(decoding: try bytes(name), as: UTF8.self)
        let edited = description.replacing(text, with: other, maxReplacements: 1)
        #expect(edited != description)
        try Data(edited.utf8).write(to: URL(filePath: name))
        expectError(mentioning: words, "prepared.json") { try PreparedData(path: path) }
        // A run names it among the reasons.
        var run = recipe
        run.dataset.preparedPath = directory.path("prepared")
        let error = #expect(throws: BridgeError.self) { try PreparedSupport.opener(run).training() }
        #expect(error?.names.contains { $0.contains(words) } == true, "\(error?.names ?? [])")
    }

    @Test func everyCutOfTheFileIsAnError() throws {
        let content = try bytes(shard)
        for count in stride(from: 0, to: content.count, by: 997) {
            try Data(content.prefix(count)).write(to: URL(filePath: shard))
            #expect(throws: BridgeError.self) { try read() }
        }
    }

    // MARK: Pixels

    @Test(arguments: [1, 255, 256, 257, 4000]) func pixelsKeepTheirBits(_ valueCount: Int) throws {
        let (width, height) = (37, 41)
        let values = (0..<3 * width * height).map { index -> Float in
            let number = index * 7919 % valueCount
            // Also both zeros, which are equal and not the same bits.
            return number == 0 ? (index.isMultiple(of: 2) || valueCount > 255 ? 0 : -0.0) : Float(number) / 7 - 11.3
        }
        let planes = try PixelPlanes(values: values, width: width, height: height)
        let palette = PixelPalette(planes)
        #expect((palette != nil) == (valueCount <= 256))
        if let palette {
            let found = PixelPalette.values(of: palette.indices, palette.values)
            #expect(found.map(\.bitPattern) == values.map(\.bitPattern))
        }
        var writer = PreparedWriter(
            try PreparedData(facts: PreparedData(path: path).facts, source: "x", files: []),
            in: directory.path
        )
        let sample = TrainingSample(tokens: [1, 2], labels: [-100, 2], images: [planes])
        try writer.add(PreparedRow([sample]))
        try writer.finish(imageFiles: [], notes: .null)
        let found = try PreparedShard(path: directory.path("samples-00001.safetensors"), vocabulary: 3).sample(at: 0)
        #expect(found.tokens == sample.tokens && found.labels == sample.labels)
        #expect(found.images.first?.values.map(\.bitPattern) == values.map(\.bitPattern))
    }
}
