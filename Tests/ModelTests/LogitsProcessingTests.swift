import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import Models

/// Settings of `generation_config.json` against transformers' processors, recorded by
/// `Tests/Fixtures/make_settings_fixtures.py`.
@Suite struct LogitsProcessingTests {
    static let recorded = Result { try Fixtures.json("reference/logits.json") }
    static let cases = Result { try Fixtures.cases("reference/logits.json", "cases") }

    @Test func thereAreRecordedCases() throws { #expect(try Self.cases.get().count == 18) }

    @Test(arguments: try cases.get().indices) func settingsChangeLogitsAsInTransformers(_ index: Int) throws {
        let one = try Self.cases.get()[index]
        let file = try #require(one["settings"])
        let promptLength = try #require(Self.recorded.get()["prompt_length"]?.integer)
        let mostNew = try #require(Self.recorded.get()["max_new_tokens"]?.integer)
        var scores = try #require(one["scores"]?.array).compactMap { $0.double.map { Float($0) } }
        let ends = file["eos_token_id"].map { ($0.array ?? [$0]).compactMap(\.integer) } ?? []
        let processing = LogitsProcessing(
            settings: try GenerationSettings(file, name: "generation_config.json", vocabulary: scores.count),
            promptLength: promptLength,
            maxLength: promptLength + mostNew,
            endTokens: Set(ends.map { Int32($0) })
        )
        #expect(!processing.isEmpty)
        let sequence = try #require(one["sequence"]?.array).compactMap(\.integer).map { Int32($0) }
        processing.apply(to: &scores, after: sequence)
        let expected = try #require(one["expected"]?.array).map { $0.double.map { Float($0) } ?? -.infinity }
        #expect(scores.count == expected.count)
        for token in scores.indices {
            let isSame =
                scores[token] == expected[token] || abs(scores[token] - expected[token]) <= 1e-6 * abs(expected[token])
            #expect(isSame, "token \(token): \(scores[token]), transformers has \(expected[token])")
        }
    }

    @Test(
        arguments: [
            (["num_beams": 4], "num_beams is 4; supported: 1 or null"),
            (["penalty_alpha": 0.6], "penalty_alpha is 0.6"),
            (["guidance_scale": 1.5], "guidance_scale is 1.5"), (["token_healing": true], "token_healing is true"),
            (["bad_words_ids": []], "bad_words_ids is []"), (["bad_words_ids": [[]]], "bad_words_ids is [[]]"),
            (["bad_words_ids": [[24]]], "bad_words_ids is [[24]], expected a list of lists of token ids from 0 to 23"),
            (["suppress_tokens": "all"], "suppress_tokens is \"all\""),
            (["suppress_tokens": [-1]], "suppress_tokens is [-1]"),
            (["repetition_penalty": 0], "repetition_penalty is 0"),
            (["no_repeat_ngram_size": -2], "no_repeat_ngram_size"),
            (["max_time": "soon"], "max_time"), (["sequence_bias": [[[1]]]], "sequence_bias"),
            (["min_new_tokens": 1e19], "min_new_tokens"), (["stop_strings": [""]], "stop_strings"),
        ] as [(JSON, String)]
    )
    func aSettingThatCannotBeUsedEndsTheLoad(_ file: JSON, _ sentence: String) throws {
        let error = #expect(throws: BridgeError.self) { try GenerationSettings(file, name: "g.json", vocabulary: 24) }
        #expect(error?.code == .badConfiguration)
        #expect(error?.names.contains { $0.contains(sentence) } ?? false, "\(String(describing: error?.names))")
    }

    @Test func settingsWithoutEffectCostNothing() throws {
        let file: JSON = [
            "do_sample": true, "temperature": 0.15, "top_k": 64, "top_p": 0.9, "max_length": 100,
            "repetition_penalty": 1.0,
            "num_beams": 1, "bos_token_id": 1, "eos_token_id": 2, "stop_strings": "end", "suppress_tokens": nil,
        ]
        let settings = try GenerationSettings(file, name: "g.json", vocabulary: 24)
        #expect(LogitsProcessing(settings: settings, promptLength: 3, maxLength: 9, endTokens: [2]).isEmpty)
        #expect(settings.stopStrings == ["end"])
        #expect(settings.sampling.summary == "temperature 0.15, top_k 64, top_p 0.9")
    }
}
