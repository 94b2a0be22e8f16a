import BridgeCore
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Rotary frequencies bit by bit, recorded by `Tests/Fixtures/make_settings_fixtures.py`.
@Suite struct RotaryFrequencyTests {
    static let cases = Result { try Fixtures.cases("reference/rotary.json") }

    @Test func thereAreRecordedFrequencies() throws { #expect(try Self.cases.get().count == 54) }

    /// At a position of 100,000 one wrong bit turns the first pair by 0.006, so each bit counts.
    @Test(arguments: try cases.get().indices) func everyBitIsTheOneOfTransformers(_ index: Int) throws {
        let one = try Self.cases.get()[index]
        let width = try #require(one["width"]?.integer)
        let configuration: JSON = [
            "architectures": ["MistralForCausalLM"], "head_dim": .number(JSONNumber(width)), "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "hidden_size": 64, "num_hidden_layers": 1, "rope_parameters": try #require(one["rope_scaling"]),
        ]
        let decoder = try AutoBridge.fromHFConfig(configuration).toProvider().decoder
        let expected = try #require(one["frequencies"]?.array).compactMap(\.integer)
        #expect(decoder.rotaryEmbedding.frequencies.map { Int($0.bitPattern) } == expected)
        let factor = try #require(one["factor"]?.double)
        #expect(decoder.rotaryEmbedding.factor == Float(factor))
    }
}
