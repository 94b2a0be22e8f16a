import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge generate`, from what a person gives to what comes out.
@Suite struct GenerateTests {
    private static let recorded = Result { try Fixtures.cases("generation/expected.json", "answers") }

    private func image(_ name: String) -> String {
        "\(Fixtures.root)/images/\(name)"
    }

    private func directory(_ name: String) -> String { Fixtures.checkpoint(name) }

    @Test func thereAreRecordedAnswers() throws { #expect(try Self.recorded.get().count == 8) }

    @Test(arguments: try recorded.get().indices)
    func theTokensAreThoseOfTransformers(_ index: Int) throws {
        let one = try Self.recorded.get()[index]
        let expected = try #require(one["tokens"]?.array).compactMap(\.integer)
        let images = (one["images"]?.array ?? []).compactMap(\.string).flatMap { ["--image", image($0)] }
        let system = one["system"]?.string.map { ["--system", $0] } ?? []
        let answer = try Answer(
            [
                "--hf-model", directory(one["checkpoint"]?.string ?? ""), "--prompt", one["prompt"]?.string ?? "",
                "--date", "2025-03-09", "--dtype", "float32", "--ignore-eos", "--max-new-tokens", "\(expected.count)",
            ] + images + system
        )
        let conversation = Conversation(
            prompt: one["prompt"]?.string ?? "",
            images: (one["images"]?.array ?? []).compactMap(\.string).map { .file(image($0)) },
            system: one["system"]?.string
        )
        let margin = try margin(
            of: expected,
            to: conversation,
            by: directory(one["checkpoint"]?.string ?? ""),
            date: "2025-03-09"
        )
        try #require(margin.isCertain, "\(margin)")
        #expect(answer.tokens == expected)
        #expect(answer.text == one["text"]?.string)
        #expect(answer.reason == "length")
        #expect(answer.logProbabilities.count == expected.count && answer.logProbabilities.allSatisfy { $0 <= 0 })
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func aMegatronCheckpointOfAnyLayoutGeneratesTheSame(_ name: String) throws {
        let scratch = try TemporaryDirectory()
        try BridgeProcess.convert(directory(name), to: scratch.path("m"), "--tp", "2", "--pp", "2")
        let request =
            ["--prompt", "Hello", "--max-new-tokens", "12", "--ignore-eos"]
            + (name == "mistral" ? [] : ["--image", image("rgb.png")])
        let direct = try Answer(["--hf-model", directory(name)] + request)
        #expect(direct.tokens.count == 12)
        for source in [
            ["--megatron-path", scratch.path("m")],
            ["--megatron_model_path", scratch.path("m"), "--hf_model_path", directory(name)],
        ] {
            let converted = try Answer(source + request)
            #expect(converted.tokens == direct.tokens)
            #expect(converted.logProbabilities == direct.logProbabilities)
            #expect(converted.text == direct.text)
        }
    }

    @Test func theStreamedTextIsTheCompleteText() throws {
        let request = [
            "--hf-model", directory("mistral"), "--prompt", "Hello", "--max-new-tokens", "40", "--ignore-eos",
        ]
        let outcome = try BridgeProcess(["generate"] + request).wait()
        #expect(outcome.output == (try Answer(request).text) + "\n")
        #expect(outcome.errors.isEmpty)
    }

    @Test func theTimingsOfTheJSONAreThoseOfTheProcess() throws {
        let clock = ContinuousClock()
        let start = clock.now
        let answer = try Answer([
            "--hf-model", directory("ministral3"), "--prompt", "x", "--image", image("rgb.png"), "--max-new-tokens",
            "3",
        ])
        let seconds = (clock.now - start) / .seconds(1)
        func timing(_ key: String) throws -> Double {
            try #require(answer.json[path: "timings.\(key)_seconds"]?.double)
        }
        let parts = try ["load", "vision", "prefill", "decode"].map(timing)
        #expect(parts.allSatisfy { $0 > 0 } && parts.reduce(0, +) <= seconds, "\(parts) of \(seconds)")
        let first = try timing("first_token")
        #expect(first >= parts[0] && first <= seconds, "\(first), \(parts) of \(seconds)")
        #expect(answer.json[path: "timings.prefill_tokens"]?.integer ?? 0 > 3)
        #expect(answer.json[path: "timings.decode_tokens"]?.integer == answer.tokens.count - 1)
    }

    @Test func aConversationFromAFileEqualsItsPrompt() throws {
        let scratch = try TemporaryDirectory()
        let chat = #"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]"#
        try Data(chat.utf8).write(to: scratch.url("chat.json"))
        let rest = ["--max-new-tokens", "8", "--date", "2025-01-01"]
        let model = ["--hf-model", directory("ministral3")]
        let one = try Answer(model + ["--messages", scratch.path("chat.json")] + rest)
        #expect(one.tokens == (try Answer(model + ["--prompt", "Hello", "--system", "Be brief."] + rest).tokens))
    }

    @Test func aRawPromptGoesAroundTheTemplate() throws {
        let model = ["--hf-model", directory("mistral"), "--max-new-tokens", "2"]
        let one = try Answer(model + ["--prompt", "Hello", "--no-chat-template"])
        let other = try Answer(model + ["--prompt", "Hello"])
        let tokens = "timings.prefill_tokens"
        #expect(one.json[path: tokens]?.integer ?? 0 < other.json[path: tokens]?.integer ?? 0)
    }

    @Test func aStopTextEndsTheAnswerAndIsCutOff() throws {
        let request = [
            "--hf-model", directory("mistral"), "--prompt", "Hello there", "--max-new-tokens", "20", "--ignore-eos",
        ]
        let whole = try Answer(request)
        // It spans tokens, since one token here is at most a few characters. Bytes that form no character are not the U+FFFD that is
        // printed for them, here as in StopStringCriteria, so the text is without.
        let characters = Array(whole.text)
        let starts = 8...characters.count - 12
        let start = try #require(starts.first { !characters[$0..<$0 + 12].contains("\u{FFFD}") })
        let stop = String(characters[start..<start + 12])
        let cut = try Answer(request + ["--stop", "no such text", "--stop", stop])
        let before = try #require(whole.text.range(of: stop)).lowerBound
        #expect(cut.text == String(whole.text[..<before]))
        #expect(cut.reason == "stop")
        #expect(cut.tokens.count < 20 && whole.tokens.starts(with: cut.tokens))
        let streamed = try BridgeProcess(["generate"] + request + ["--stop", stop]).wait()
        #expect(streamed.output == cut.text + "\n")
    }

    @Test func aSeedGivesTheSameTextAndAnotherSeedAnother() throws {
        func tokens(_ seed: String) throws -> [Int] {
            try Answer([
                "--hf-model", directory("mistral"), "--prompt", "Hello", "--max-new-tokens", "12", "--ignore-eos",
                "--temperature", "5", "--top-k", "200", "--top-p", "0.99", "--min-p", "0.001",
                "--repetition-penalty", "1.1", "--seed", seed,
            ]).tokens
        }
        let one = try tokens("1")
        #expect(one == (try tokens("1")))
        #expect(one != (try tokens("2")))
    }

    @Test func stepsAreShownInTheFormatOfMegatronBridge() throws {
        let outcome = try BridgeProcess.run(
            "generate",
            "--hf-model",
            directory("gemma3"),
            "--prompt",
            "What?",
            "--image_path",
            image("rgb.png"),
            "--max_new_tokens",
            "7",
            "--ignore-eos",
            "--print-logits"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        for step in 0..<7 { #expect(lines.contains("Generation step \(step)")) }
        #expect(lines.filter { $0.hasPrefix("Selected: ") }.count == 5)
        #expect(lines.filter { $0.hasPrefix("Top 5: [(") }.count == 5)
        #expect(lines.contains("======== GENERATED TEXT OUTPUT ========"))
        #expect(lines.contains("Image: \(image("rgb.png"))") && lines.contains("Prompt: What?"))
        #expect(lines.last == "=======================================")
    }

    @Test func itEndsAtTheTokenThatEndsAText() throws {
        let scratch = try TemporaryDirectory()
        let model = try Models.copy("mistral", to: scratch.url("model"))
        let request = ["--hf-model", model.path, "--prompt", "Hello there", "--max-new-tokens", "9"]
        let token = try #require(Self.recorded.get()[0]["tokens"]?.array?.first)
        for eos: JSON in [token, [999, token]] {
            try Models.edit(model.appendingPathComponent("generation_config.json")) { $0.set(eos, at: "eos_token_id") }
            let answer = try Answer(request + ["--dtype", "float32"])
            #expect(answer.tokens.map { JSON.number(JSONNumber($0)) } == [token])
            #expect(answer.reason == "end" && answer.text.isEmpty)
        }
        #expect(try Answer(request + ["--ignore-eos"]).tokens.count == 9)
    }
}
