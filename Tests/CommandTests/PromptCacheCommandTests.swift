import Foundation
import JSONTree
import TestSupport
import Testing

/// `--prompt-cache` of `bridge generate` and `bridge chat`.
@Suite struct PromptCacheCommandTests {
    private let scratch: TemporaryDirectory
    private var file: String { scratch.path("cache.safetensors") }

    init() throws { scratch = try TemporaryDirectory() }

    private func arguments(_ model: String, _ prompt: String, _ more: [String] = []) -> [String] {
        [
            "--hf-model", Fixtures.checkpoint(model), "--prompt", prompt, "--max-new-tokens", "7", "--dtype", "float32",
            "--ignore-eos",
        ] + (model == "mistral" ? [] : ["--system", "Be brief and kind.", "--date", "2025-03-09"]) + more
    }

    private func run(_ arguments: [String]) throws -> (answer: Answer, errors: String) {
        let outcome = try BridgeProcess(["generate", "--json"] + arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        return (try Answer(outcome.output), outcome.errors)
    }

    private func timing(_ answer: Answer, _ key: String) throws -> Int {
        try #require(answer.json[path: "timings.\(key)_tokens"]?.integer)
    }

    @Test(arguments: ["ministral3", "gemma3"]) func aLaterQuestionComputesOnlyItsEnd(_ model: String) throws {
        let image = ["--image", "\(Fixtures.root)/images/rgb.png"]
        let cache = ["--prompt-cache", file]
        let first = try run(arguments(model, "What is the first?", image + cache))
        let all = try timing(first.answer, "prefill")
        #expect(try timing(first.answer, "cached") == 0)
        #expect(first.errors.contains("wrote the prompt cache \(file) with \(all) tokens"), "\(first.errors)")
        let plain = try run(arguments(model, "What is the first?", image))
        #expect(first.answer.tokens == plain.answer.tokens && !plain.errors.contains("prompt cache"))
        #expect(first.answer.logProbabilities == plain.answer.logProbabilities)
        let second = try run(arguments(model, "What is the second thing?", image + cache))
        let (cached, computed) = (try timing(second.answer, "cached"), try timing(second.answer, "prefill"))
        // The image and the system prompt are of the beginning.
        #expect(cached > computed && cached > 20, "\(cached), \(computed)")
        #expect(second.errors.contains("prompt cache: \(cached) of \(cached + computed) tokens read from \(file)"))
        let expected = try run(arguments(model, "What is the second thing?", image))
        #expect(second.answer.tokens == expected.answer.tokens)
        #expect(try timing(expected.answer, "prefill") == cached + computed)
        // The file stays as it was written, so the whole first prompt is there.
        let again = try run(arguments(model, "What is the first?", image + cache + ["--prompt-cache-ro"]))
        #expect(try timing(again.answer, "cached") == all - 1)
        #expect(again.answer.tokens == first.answer.tokens)
        #expect(TemporaryDirectory.content(of: scratch.path) == ["cache.safetensors"])
    }

    @Test func aPromptWithAnotherBeginningHasANote() throws {
        let raw = ["--hf-model", Fixtures.checkpoint("mistral"), "--max-new-tokens", "2", "--prompt-cache", file]
        _ = try run(raw + ["--inputs", try inputs([5, 6, 7])])
        let other = try run(raw + ["--inputs", try inputs([8, 6, 7])])
        #expect(
            other.errors.contains(
                "note: the prompt cache \(file) has no beginning of this prompt, so all 3 tokens were computed"
            )
        )
    }

    private func inputs(_ tokens: [Int64]) throws -> String {
        let path = scratch.path("inputs-\(tokens[0]).safetensors")
        try Models.safetensors([(name: "input_ids", shape: [1, tokens.count], numbers: tokens)]).write(
            to: URL(filePath: path)
        )
        return path
    }

    @Test func otherModelsTypesAndWeightsAreRefused() throws {
        let cache = ["--prompt-cache", file]
        _ = try run(arguments("mistral", "Hello", cache))
        let toy = scratch.path("toy")
        #expect(
            try BridgeProcess.run("toy", "--family", "mistral", "--output", toy, "--hidden-size", "128").status == 0
        )
        func refused(_ model: String, _ words: String, _ more: [String] = [], _ path: String? = nil) throws {
            var changed = arguments(model, "Hello", cache).with("--hf-model", path ?? Fixtures.checkpoint(model))
            for index in stride(from: 0, to: more.count, by: 2) { changed = changed.with(more[index], more[index + 1]) }
            let outcome = try BridgeProcess(["generate"] + changed).wait()
            expect(outcome, failsWith: 64, mentioning: "the prompt cache \(file) is for", words)
        }
        try refused("mistral", "the dtype float32, but this run has the dtype bfloat16", ["--dtype", "bfloat16"])
        try refused("mistral", "the model", [], toy)
        try refused("mistral", "int8 in groups of 64", ["--quantize", "int8"], toy)
        try Data("no safetensors".utf8).write(to: scratch.url("cache.safetensors"))
        let damaged = try BridgeProcess(["generate"] + arguments("mistral", "Hello", cache)).wait()
        #expect(damaged.status != 0 && damaged.errors.contains("remove the file"), "\(damaged.errors)")
    }

    @Test func whatCannotWorkIsRefusedBeforeTheModelIsLoaded() throws {
        let cases: [([String], Int32, String)] = [
            (["--prompt-cache-ro"], 64, "--prompt-cache-ro requires --prompt-cache"),
            (["--prompt-cache", file, "--prompt-cache-ro"], 1, "does not exist"),
            (["--prompt-cache", scratch.path], 64, "is a directory"),
            (["--prompt-cache", scratch.path("no/cache")], 1, "is not a directory"),
            (["--prompt-cache", file, "--tp", "2"], 64, "one rank only"), (["--prompt-cache", ""], 64, "is empty"),
        ]
        for (more, status, words) in cases {
            let outcome = try BridgeProcess(["generate"] + arguments("mistral", "Hello", more)).wait()
            expect(outcome, failsWith: status, mentioning: words)
        }
        let many = [
            "generate", "--hf-model", Fixtures.checkpoint("mistral"), "--prompt-file", "p.jsonl", "--output", "o.jsonl",
        ]
        expect(
            try BridgeProcess(many + ["--prompt-cache", file]).wait(),
            failsWith: 64,
            mentioning: "--prompt-cache is for one prompt"
        )
        expect(
            try BridgeProcess(many + ["--draft-model", "x"]).wait(),
            failsWith: 64,
            mentioning: "--draft-model is for one prompt"
        )
        #expect(TemporaryDirectory.content(of: scratch.path).isEmpty)
    }

    @Test func aChatReadsAndWritesIt() throws {
        let arguments = [
            "chat", "--hf-model", Fixtures.checkpoint("ministral3"), "--max-new-tokens", "3", "--system", "Be brief.",
            "--prompt-cache", file,
        ]
        let one = try BridgeProcess(arguments, input: "Hello\nAnd more\n").wait()
        #expect(one.status == 0 && one.errors.contains("wrote the prompt cache"), "\(one.errors)")
        let two = try BridgeProcess(arguments, input: "Hello you\n").wait()
        #expect(two.status == 0 && two.errors.contains("tokens read from \(file)"), "\(two.errors)")
    }
}
