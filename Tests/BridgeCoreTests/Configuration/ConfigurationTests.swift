import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@Suite struct ConfigurationTests {
    /// What transformers makes of every fixture's `config.json`; see `record_configurations.py`.
    static let recorded = Result { try Fixtures.json("reference/configurations.json") }

    /// The names of the recorded fixtures.
    static var names: [String] {
        get throws {
            let names = try recorded.get().object?.keys ?? []
            try #require(!names.isEmpty)
            return names
        }
    }

    @Test(arguments: try names)
    func everyNumberIsTheOneThatTransformersReads(_ name: String) throws {
        let fields = try AutoBridge.fromHF(Fixtures.checkpoint(name)).megatronFields
        let expected = try #require(Self.recorded.get()[name]?.object)
        #expect(expected.count >= 19)
        for (key, value) in expected {
            let found = try #require(fields[key], "\(key)")
            #expect(Self.isSame(found, value), "\(key): \(found), transformers has \(value)")
        }
    }

    /// YaRN's own defaults are filled in by transformers where the numbers are used, so nil stands for them here.
    private static func isSame(_ one: JSON, _ other: JSON) -> Bool {
        if let a = one.double, let b = other.double { return a == b }
        return one == other
    }

    @Test(arguments: try names)
    func aConfigurationMadeFromTheProviderAloneDescribesTheSameModel(_ name: String) throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let again = try AutoBridge.fromHFConfig(bridge.configuration())
        #expect(again.megatronFields == bridge.megatronFields)
        #expect(again.architecture == bridge.architecture)
        #expect(again.unreadKeys.isEmpty)
    }

    @Test(arguments: try Fixtures.all)
    func everyKeyOfAFixtureIsAccountedFor(_ name: String) throws {
        #expect(try AutoBridge.fromHF(Fixtures.checkpoint(name)).unreadKeys == [])
    }

    @Test func anUnknownKeyIsReportedAndSurvives() throws {
        let directory = try TemporaryDirectory()
        let source = try directory.copy(ofCheckpoint: "mistral")
        var json = try JSON(contentsOf: "\(source)/config.json")
        json.set(["depth": 3], at: "some_new_feature")
        try directory.write(json.text(), to: "source/config.json")
        let bridge = try AutoBridge.fromHF(source)
        #expect(bridge.unreadKeys == ["some_new_feature"])
        try bridge.importCheckpoint(to: directory.path("m"))
        let report = try AutoBridge.fromMegatron(directory.path("m")).exportCheckpoint(
            from: directory.path("m"),
            to: directory.path("f32"),
            options: ConversionOptions(elementType: .float32)
        )
        #expect(report.notes.count == 1)
        let exported = try JSON(contentsOf: directory.path("f32/config.json"))
        #expect(exported["some_new_feature"] == ["depth": 3])
        // Only the type has changed, in its place and in its spelling.
        json.set("float32", at: "torch_dtype")
        #expect(exported == json)
    }

    @Test(arguments: [
        ("hidden_size", JSON.string("36"), "hidden_size is \"36\", expected a whole number"),
        ("num_hidden_layers", JSON.null, "num_hidden_layers is null, expected a whole number"),
        ("hidden_act", JSON.string("quick_gelu"), "hidden_act is quick_gelu; supported: silu"),
        (
            "rope_scaling", JSON.object(JSONObject([("rope_type", "longrope")])),
            "rope_type is longrope; supported: default"
        ),
        (
            "rope_scaling", JSON.object(JSONObject([("rope_type", "yarn")])),
            "rope_type is yarn and factor is null, expected a factor of more than 0"
        ),
        ("model_type", JSON.string("llama"), "model_type is \"llama\"; supported: mistral"),
        ("is_causal", JSON.bool(false), "is_causal is false; supported: true"),
        (
            "layer_types", JSON.array(["full_attention"]),
            "layer_types has 1 entries, expected one for each of the 4 layers"
        ),
        ("num_attention_heads", 6, "num_attention_heads is 6, not a multiple of num_query_groups, 4"),
    ])
    func aValueThatIsNotComputedEndsTheLoad(_ key: String, _ value: JSON, _ sentence: String) throws {
        let directory = try TemporaryDirectory()
        var json = try JSON(contentsOf: "\(directory.copy(ofCheckpoint: "mistral"))/config.json")
        json.set(value, at: key)
        try directory.write(json.text(), to: "source/config.json")
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(directory.path("source")) }
        #expect(error?.code == .badConfiguration)
        #expect(error?.description.contains(sentence) ?? false, "\(String(describing: error))")
    }

    /// Two spellings of one key that must agree, as the tokens of an image must.
    @Test func twoSpellingsThatContradictEachOtherEndTheLoad() throws {
        let directory = try TemporaryDirectory()
        var json = try JSON(contentsOf: "\(directory.copy(ofCheckpoint: "ministral3"))/config.json")
        json.set(123_456, at: "image_token_id")
        try directory.write(json.text(), to: "source/config.json")
        let error = #expect(throws: BridgeError.self) { try AutoBridge.fromHF(directory.path("source")) }
        #expect(error?.names.first?.contains("image_token_id is 123456, but image_token_index is") ?? false)
    }

    @Test func nullIsNotTheSameAsAbsent() throws {
        #expect(try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).toProvider().decoder.slidingWindow == nil)
        #expect(
            try AutoBridge.fromHF(Fixtures.checkpoint("mistral-absent-window")).toProvider().decoder.slidingWindow
                == 4096
        )
    }
}
