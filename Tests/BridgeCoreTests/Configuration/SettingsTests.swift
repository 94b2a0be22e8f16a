import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Every key of a settings file is honoured, without effect, refused or reported.
@Suite struct SettingsTests {
    private static let table = SettingsTable(file: "a.json", source: "a test") {
        SettingsTable.honoured("size.height", "size.width")
        SettingsTable.noEffect("name", because: "for information")
        SettingsTable.only("beams", [1, nil], "beam search is not supported")
    }

    @Test func aKeyWithoutAVerdictIsUnknownAtAnyDepth() throws {
        let json: JSON = [
            "name": ["any": "thing"], "beams": 1, "other": 2, "size": ["height": 3, "depth": 4], "more": ["a": 1],
        ]
        #expect(Self.table.unknownKeys(of: json) == ["other", "size.depth", "more"])
        #expect(Self.table.unknownKeys(of: [1, 2]) == [])
    }

    @Test func aValueThatIsNotSupportedIsNamedWithThoseThatAre() throws {
        try Self.table.check(["beams": 1.0], name: "b.json")
        try Self.table.check(["beams": nil], name: "b.json")
        let error = #expect(throws: BridgeError.self) { try Self.table.check(["beams": 4], name: "b.json") }
        #expect(error?.code == .badConfiguration)
        #expect(error?.names == ["b.json: beams is 4; supported: 1 or null (beam search is not supported)"])
    }

    @Test func noToyHasUnknownSettings() throws {
        for family in ToyTests.families {
            let directory = try TemporaryDirectory()
            try ToyModel(family: family).write(to: directory.path("toy"))
            #expect(try AutoBridge.fromHF(directory.path("toy")).unknownSettings().isEmpty, "\(family)")
        }
    }

    @Test(arguments: try Fixtures.all) func noFixtureHasUnknownSettings(_ name: String) throws {
        #expect(try AutoBridge.fromHF(Fixtures.checkpoint(name)).unknownSettings() == [])
    }

    @Test func eachFileOfAModelIsAccountedFor() throws {
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: "ministral3")
        for (file, key) in [
            ("config.json", "text_config.rope_parameters.novel"), ("generation_config.json", "mirostat"),
            ("processor_config.json", "crop_pct"), ("preprocessor_config.json", "gamma"),
        ] {
            var json =
                FileManager.default.fileExists(atPath: "\(source)/\(file)")
                ? try JSON(contentsOf: "\(source)/\(file)") : [:]
            json.set(0.5, at: key)
            try directory.write(json.text(), to: "source/\(file)")
        }
        let unknown = try AutoBridge.fromHF(source).unknownSettings()
        #expect(
            unknown == [
                UnknownSettings(file: "config.json", keys: ["text_config.rope_parameters.novel"]),
                UnknownSettings(file: "generation_config.json", keys: ["mirostat"]),
                UnknownSettings(file: "processor_config.json", keys: ["crop_pct"]),
                UnknownSettings(file: "preprocessor_config.json", keys: ["gamma"]),
            ]
        )
        // The same from a checkpoint, which carries the files.
        try AutoBridge.fromHF(source).importCheckpoint(to: directory.path("megatron"))
        #expect(try AutoBridge.fromMegatron(directory.path("megatron")).unknownSettings() == unknown)
    }

    @Test func anErrorOfTheCatalogEndsTheLoad() throws {
        struct Unwanted: Error {}
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: "mistral")
        var json = try JSON(contentsOf: "\(source)/config.json")
        json.set(1, at: "novel")
        try directory.write(json.text(), to: "source/config.json")
        var catalog = try PluginCatalog.standard()
        catalog.accountForUnknown = { unknown, directory in
            #expect(unknown == [UnknownSettings(file: "config.json", keys: ["novel"])])
            #expect(directory == source)
            throw Unwanted()
        }
        #expect(throws: Unwanted.self) { try AutoBridge.fromHF(source, catalog: catalog) }
    }

    @Test(arguments: [
        ("mistral-native", "moe", JSON.object(JSONObject([("num_experts", 8)]))),
        ("mistral-native", "_sliding_window", JSON.array([4, 8])),
        ("mistral-native", "llama_4_scaling", JSON.object(JSONObject([("beta", 0.1)]))),
        ("ministral3-native", "moe", JSON.object(JSONObject([("num_experts", 8)]))),
        ("ministral3-native", "yarn.apply_scale", JSON.bool(true)),
        ("ministral3-native", "llama_4_scaling.original_max_position_embeddings", 77),
    ])
    func aParameterFileThatAsksForSomethingElseIsRefused(_ name: String, _ key: String, _ value: JSON) throws {
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: name)
        var json = try JSON(contentsOf: "\(source)/params.json")
        json.set(value, at: key)
        try directory.write(json.text(), to: "source/params.json")
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(source) }
        #expect(error?.description.contains(key) ?? false, "\(String(describing: error))")
    }

    @Test func aParameterFileWithAnUnknownKeyIsReported() throws {
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: "ministral3-native")
        var json = try JSON(contentsOf: "\(source)/params.json")
        json.set(3, at: "vision_encoder.novel")
        try directory.write(json.text(), to: "source/params.json")
        #expect(
            try AutoBridge.fromHF(source).unknownSettings().first
                == UnknownSettings(file: "params.json", keys: ["vision_encoder.novel"])
        )
    }

    /// The documentation has what the program prints.
    @Test func theArticleHasEveryVerdict() throws {
        let article = try String(
            contentsOfFile: "\(Fixtures.repository)/Sources/BridgeCore/BridgeCore/Documentation.docc/Settings.md",
            encoding: .utf8
        )
        for bridge in try PluginCatalog.standard().bridges {
            for table in bridge.settings {
                for setting in table.settings {
                    let row = "| `\(setting.key)` | \(setting.verdict.word) | \(setting.verdict.detail) |\n"
                    #expect(article.contains(row), "\(bridge.name): \(setting.key); run scripts/settings")
                }
            }
        }
    }
}
