import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@Suite struct VerifierTests {
    private func compare(_ left: String, _ right: String) throws -> Verifier.Result {
        let catalog = try PluginCatalog.standard()
        return try Verifier(Checkpoint(path: left, catalog: catalog), Checkpoint(path: right, catalog: catalog)).run()
    }

    /// The fixtures' script made the one of the other, with torch's own permutation and names.
    @Test(arguments: [
        ("mistral", "mistral-native"), ("ministral3", "ministral3-native"), ("ministral3-fp8", "ministral3-native-fp8"),
    ])
    func theMakersOwnFormatHoldsTheSameTensorsAsTransformers(_ one: String, _ other: String) throws {
        let result = try compare(Fixtures.checkpoint(one), Fixtures.checkpoint(other))
        #expect(result.rows == [])
        #expect(result.compared > 35)
    }

    /// Tensors of both sides count once: those of one only, of different shapes, and of different values.
    @Test func theNumberOfTensorsIsThatOfBothTogether() throws {
        let (one, other) = (Fixtures.checkpoint("gemma3"), Fixtures.checkpoint("ministral3"))
        let result = try compare(one, other)
        let catalog = try PluginCatalog.standard()
        let names = try [one, other].map { Set(try Checkpoint(path: $0, catalog: catalog).tensors.map(\.name)) }
        #expect(result.total == names[0].union(names[1]).count)
        #expect(result.rows.count <= result.total && result.rows.count > 0)
    }

    @Test func aCheckpointEqualsItsSourceInAnyLayout() throws {
        let directory = try TemporaryDirectory()
        let source = Fixtures.checkpoint("gemma3-452-names")
        let bridge = try AutoBridge.fromHF(source)
        try bridge.importCheckpoint(
            to: directory.path("m"),
            options: ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 3))
        )
        #expect(try compare(source, directory.path("m")).isEqual)
        #expect(try compare(directory.path("m"), source).isEqual)
    }

    @Test func aDifferenceIsFoundWithItsLocationAndItsSize() throws {
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: "mistral-single-file")
        let path = "\(source)/model.safetensors"
        let header = try SafetensorsFile(path: path).header
        let entry = try #require(header.entries.first { $0.name == "model.layers.2.mlp.down_proj.weight" })
        var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
        // Row 1, column 5 of float16; the last bit but one, so two steps away.
        let place = header.prefix().count + entry.range.lowerBound + 2 * (entry.shape[1] + 5)
        bytes[place] ^= 2
        try directory.write(bytes, to: "source/model.safetensors")
        let result = try compare(Fixtures.checkpoint("mistral-single-file"), source)
        #expect(result.rows.count == 1)
        #expect(result.rows.first?.name == "model.layers.2.mlp.down_proj.weight")
        #expect(result.rows.first?.firstDifference == [1, 5])
        #expect(result.rows.first?.maxUlp == 2)
        #expect(result.rows.first?.what == "1 element")
    }

    @Test func anotherTypeAndAnotherConfigurationAreDifferences() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        try bridge.importCheckpoint(to: directory.path("f32"), options: ConversionOptions(elementType: .float32))
        let types = try compare(Fixtures.checkpoint("mistral"), directory.path("f32"))
        #expect(types.rows.count == 39)
        #expect(types.rows.allSatisfy { $0.what == "bfloat16 and float32, the same values" })
        let catalog = try PluginCatalog.standard()
        let sides = try [Fixtures.checkpoint("mistral"), directory.path("f32")].map {
            try Checkpoint(path: $0, catalog: catalog)
        }
        #expect(try Verifier(sides[0], sides[1]).run(ignoringTypes: true).isEqual)

        var json = try JSON(contentsOf: "\(directory.copy(ofCheckpoint: "mistral"))/config.json")
        json.set(0.004, at: "rms_norm_eps")
        try directory.write(json.text(), to: "source/config.json")
        #expect(
            try compare(Fixtures.checkpoint("mistral"), directory.path("source")).fields == [
                "layernorm_epsilon: 0.003 and 0.004"
            ]
        )
    }

    @Test func modelsOfAnotherShapeDoNotMatch() throws {
        let result = try compare(Fixtures.checkpoint("mistral"), Fixtures.checkpoint("mistral-tied"))
        #expect(result.rows.contains { $0.what.hasPrefix("shape") })
        #expect(result.rows.contains { $0.what.hasPrefix("only in") })
    }
}
