import JSONTree
import TestSupport
import Testing

/// `--draft-model` of `bridge generate` and `bridge chat`.
@Suite struct DraftModelCommandTests {
    private func generate(_ model: String, _ more: [String]) -> [String] {
        [
            "generate", "--hf-model", Fixtures.checkpoint(model), "--prompt", "Hello", "--max-new-tokens", "21",
            "--ignore-eos",
        ] + more
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"]) func theAnswerIsTheModelsOwn(_ model: String) throws {
        let draft = ["--draft-model", Fixtures.checkpoint(model), "--num-draft-tokens", "3"]
        let outcome = try BridgeProcess(generate(model, draft + ["--json"])).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let answer = try Answer(outcome.output)
        let plain = try Answer(Array(generate(model, []).dropFirst()))
        #expect(answer.tokens == plain.tokens && answer.logProbabilities == plain.logProbabilities)
        #expect(plain.json["draft"] == nil)
        // A model accepts all that it proposes itself: 20 tokens, four a pass.
        let found = try #require(answer.json["draft"])
        #expect(found["accepted_share"]?.double == 1 && found["verifications"]?.integer == 5)
        #expect(found["drafted_tokens"]?.integer == 15 && found["accepted_tokens"]?.integer == 15)
        #expect(found["tokens_per_second"]?.double ?? 0 > 0)
        #expect(outcome.errors.contains("draft model: 15 of 15 proposed tokens accepted (100 %)"), "\(outcome.errors)")
    }

    @Test(arguments: ["lora", "dora"]) func anAdapterIsOfTheModelAlone(_ scheme: String) throws {
        let bench = try TrainBench()
        let settings = ["mixed_precision=fp32", "peft.dim=4", "optimizer.lr=0.02", "peft.scheme=\(scheme)"]
        let run = try BridgeProcess(bench.arguments("run") + settings).wait()
        try #require(run.status == 0, "\(run.errors)")
        let toy = bench.scratch.path("toy")
        let request = [
            "--hf-model", toy, "--prompt", "Hello", "--max-new-tokens", "21", "--ignore-eos", "--dtype", "float32",
        ]
        let adapter = ["--adapter", bench.scratch.path("run")]
        let plain = try Answer(request + adapter)
        let found = try Answer(request + adapter + ["--draft-model", toy])
        #expect(found.tokens == plain.tokens && found.logProbabilities == plain.logProbabilities)
        #expect(plain.logProbabilities != (try Answer(request)).logProbabilities)
    }

    @Test func otherTokensAreRefusedWithTheFirstThatDiffers() throws {
        let outcome = try BridgeProcess(generate("mistral", ["--draft-model", Fixtures.checkpoint("gemma3")])).wait()
        expect(outcome, failsWith: 64, mentioning: "another vocabulary than the model", "token ", "same tokenizer")
    }

    @Test func whatHasNoMeaningIsRefused() throws {
        let draft = ["--draft-model", Fixtures.checkpoint("mistral")]
        for (more, words) in [
            (["--num-draft-tokens", "2"], "--num-draft-tokens requires --draft-model"),
            (draft + ["--num-draft-tokens", "0"], "expected 1 to 64"), (draft + ["--tp", "2"], "one rank only"),
        ] {
            expect(try BridgeProcess(generate("mistral", more)).wait(), failsWith: 64, mentioning: words)
        }
    }

    @Test func aChatHasTheAnswersOfThePlainOne() throws {
        func chat(_ more: [String]) throws -> BridgeProcess.Outcome {
            try BridgeProcess(
                ["chat", "--hf-model", Fixtures.checkpoint("mistral"), "--max-new-tokens", "9"] + more,
                input: "Hello\nAnd more\n/stats\n"
            ).wait()
        }
        let (plain, found) = (try chat([]), try chat(["--draft-model", Fixtures.checkpoint("mistral")]))
        #expect(found.status == 0 && found.output == plain.output, "\(found.errors)")
        #expect(found.errors.contains("proposed token"), "\(found.errors)")
    }
}
