import Foundation
import JSONTree
import TestSupport
import Testing

/// What a person may give that no model can take: one sentence each.
@Suite struct PromptFaultTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func directory(_ name: String) -> String { Fixtures.checkpoint(name) }

    private var image: String {
        "\(Fixtures.root)/images/rgb.png"
    }

    private func generate(_ model: String, _ more: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(["generate", "--hf-model", model] + more).wait()
    }

    @Test func aPromptLongerThanTheLimit() throws {
        let long = String(repeating: "on and on ", count: 10000)
        let outcome = try generate(directory("mistral"), "--prompt", long)
        expect(outcome, failsWith: 64, mentioning: "takes at most", "shorter")
    }

    @Test func imagesAndPlaceholdersOfDifferentCounts() throws {
        let cases = [
            ("gemma3", "nothing", "0 placeholders"), ("ministral3", "nothing", "0 placeholders"),
            ("gemma3", "<start_of_image><start_of_image>", "2 placeholders"),
            ("ministral3", "[IMG][IMG]", "2 placeholders"),
        ]
        for (model, prompt, words) in cases {
            let outcome = try generate(directory(model), "--prompt", prompt, "--no-chat-template", "--image", image)
            expect(outcome, failsWith: 64, mentioning: "1 image", words)
        }
        let outcome = try generate(directory("gemma3"), "--prompt", "x <start_of_image>", "--image", image)
        expect(outcome, failsWith: 64, mentioning: "1 image", "2 placeholders")
    }

    @Test func anImageForATextModel() throws {
        let outcome = try generate(directory("mistral"), "--prompt", "x", "--image", image)
        expect(outcome, failsWith: 64, mentioning: "text-only")
    }

    @Test func filesThatAreNotImages() throws {
        try Data("no image".utf8).write(to: scratch.url("text.png"))
        for (path, status) in [("/nowhere.png", Int32(1)), (scratch.path("text.png"), 4)] {
            let outcome = try generate(directory("gemma3"), "--prompt", "x", "--image", path)
            expect(outcome, failsWith: status, mentioning: path)
        }
        expect(
            try generate(directory("gemma3"), "--prompt", "x", "--image", "data:image/png;base64,!"),
            failsWith: 4,
            mentioning: "base64"
        )
    }

    @Test func aSpecialTokenThatTheVocabularyLacks() throws {
        let model = try Models.copy("ministral3", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("processor_config.json")) {
            $0.set("<no_such_token>", at: "image_break_token")
        }
        let outcome = try generate(model.path, "--prompt", "x", "--image", image)
        expect(outcome, failsWith: 1, mentioning: "<no_such_token>")
    }

    @Test func aDirectoryWithoutACheckpoint() throws {
        let outcome = try generate(directory("mistral"), "--megatron-path", directory("gemma3"), "--prompt", "x")
        expect(outcome, failsWith: 64, mentioning: "is a Hugging Face model; expected a Megatron checkpoint")
        let none = try generate(directory("mistral"), "--megatron-path", scratch.path("none"), "--prompt", "x")
        expect(none, failsWith: 1, mentioning: "does not exist")
    }

    @Test func aTokenizerThatIsMissingOrDamaged() throws {
        let model = try Models.copy("mistral", to: scratch.url("model"))
        let tokenizer = model.appendingPathComponent("tokenizer.json")
        try Data("{".utf8).write(to: tokenizer)
        expect(try generate(model.path, "--prompt", "x"), failsWith: 4, mentioning: "tokenizer.json")
        try FileManager.default.removeItem(at: tokenizer)
        expect(try generate(model.path, "--prompt", "x"), failsWith: 1, mentioning: "has no tokenizer.json")
    }

    @Test func messagesThatAreNone() throws {
        for (text, words) in [("{", "messages.json"), ("[]", "no messages"), (#"[{"content": "x"}]"#, "role")] {
            try Data(text.utf8).write(to: scratch.url("messages.json"))
            let outcome = try generate(directory("mistral"), "--messages", scratch.path("messages.json"))
            expect(outcome, failsWith: 4, mentioning: words)
        }
    }

    @Test func numbersThatAreOutOfRange() throws {
        for (flag, value) in [
            ("--temperature", "nan"), ("--top-p", "0"), ("--min-p", "1.5"), ("--repetition-penalty", "0"),
        ] {
            let temperature = flag == "--temperature" ? [] : ["--temperature", "1"]
            let outcome = try BridgeProcess(
                ["generate", "--hf-model", directory("mistral"), "--prompt", "x", flag, value] + temperature
            ).wait()
            expect(outcome, failsWith: 64, mentioning: "expected")
        }
    }

    @Test func aTextToTokenizeThatIsNone() throws {
        try Data([0x61, 0x0A, 0xFF]).write(to: scratch.url("text"))
        let bytes = try BridgeProcess.run(
            "tokenize",
            "--hf-model",
            directory("mistral"),
            "--file",
            scratch.path("text")
        )
        expect(bytes, failsWith: 4, mentioning: "line 2", "UTF-8")
        let none = try BridgeProcess.run("tokenize", "--hf-model", directory("mistral"), "--file", scratch.path("none"))
        expect(none, failsWith: 1, mentioning: "cannot open")
    }

    @Test func aTextIsCountedLineByLine() throws {
        try Data("Hello there\n\nHello".utf8).write(to: scratch.url("text"))
        try Data(#"["Hello there", "Hello"]"#.utf8).write(to: scratch.url("strings.json"))
        let clock = ContinuousClock()
        let start = clock.now
        let counted = try BridgeProcess.run(
            "tokenize",
            "--hf-model",
            directory("mistral"),
            "--file",
            scratch.path("text"),
            "--json"
        )
        let total = (clock.now - start) / .seconds(1)
        let json = try JSON(parsing: Array(counted.output.utf8))
        let strings = try BridgeProcess.run(
            "process",
            "strings",
            directory("mistral"),
            scratch.path("strings.json"),
            "--no-special-tokens"
        )
        let lists = try #require(try JSON(parsing: Array(strings.output.utf8)).array)
        #expect(json["tokens"]?.integer == lists.reduce(0) { $0 + ($1.array?.count ?? 0) })
        let seconds = try #require(json["seconds"]?.double)
        #expect(seconds > 0 && seconds < total, "\(seconds) of \(total)")
    }
}
