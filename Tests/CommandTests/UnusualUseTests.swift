import Foundation
import JSONTree
import TestSupport
import Testing

/// Arguments, inputs and outputs that a command was not made for.
@Suite struct UnusualUseTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func run(_ arguments: String..., shell: String = "exec \"$@\"", input: String = "") throws
        -> BridgeProcess.Outcome
    {
        try BridgeProcess(arguments, shell: shell, input: input).wait()
    }

    private var model: String { Fixtures.checkpoint("mistral") }

    @Test func aResultNeverReplacesAModelOrItsInputs() throws {
        let copy = try Models.copy("mistral", to: scratch.url("model"))
        let file = try #require(TemporaryDirectory.content(of: copy.path).first { $0.hasSuffix(".safetensors") })
        let target = copy.appendingPathComponent(file)
        let before = try Data(contentsOf: target)
        let outcome = try run("forward", "--hf-model", copy.path, "--prompt", "a", "--output", target.path)
        expect(outcome, failsWith: 64, mentioning: "would replace a file of the model")
        #expect(try Data(contentsOf: target) == before)

        let inputs = try run(
            "forward",
            "--hf-model",
            model,
            "--prompt",
            "a",
            "--no-chat-template",
            "--output",
            scratch.path("x")
        )
        #expect(inputs.status == 0)
        let again = try run(
            "forward",
            "--hf-model",
            model,
            "--inputs",
            scratch.path("x"),
            "--output",
            scratch.path("x")
        )
        expect(again, failsWith: 64, mentioning: "would replace a file of the inputs")
    }

    @Test func aFullDiskIsReported() throws {
        let outcome = try run("models", shell: "exec \"$@\" > /dev/full")
        #expect(outcome.status == 1)
        #expect(outcome.sentence.contains("cannot write to standard output"))
    }

    @Test func aPromptMayBeginWithADash() throws {
        let outcome = try run(
            "generate",
            "--hf-model",
            model,
            "--prompt",
            "- one",
            "--max-new-tokens",
            "1",
            "--no-chat-template"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        expect(
            try run("generate", "--hf-model", model, "--prompt", "a", "--temperature", "-1"),
            failsWith: 64,
            mentioning: "temperature"
        )
    }

    @Test func wrongUsageIsADocumentToo() throws {
        let outcome = try run("generate", "--hf-model", model, "--prompt", "a", "--json", "--max-new-tokens", "0")
        #expect(outcome.status == 64)
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json[path: "error.code"]?.string == "usage")
        #expect(json[path: "error.message"]?.string?.contains("--max-new-tokens is 0") == true)
    }

    @Test func aPromptThatLooksLikeAFlagIsNone() throws {
        // The prompt is `--json`, and the error one for people.
        for arguments in [
            ["--prompt", "--json"], ["--system", "--json", "--prompt", "a"], ["--prompt", "a", "--stop", "--json"],
        ] {
            let wrong = try BridgeProcess(
                ["generate", "--hf-model", model] + arguments + ["--max-new-tokens", "0"]
            ).wait()
            #expect(wrong.status == 64 && wrong.output.isEmpty, "\(wrong.output)")
            let missing = try BridgeProcess(["generate", "--hf-model", "/nowhere"] + arguments).wait()
            #expect(missing.status == 1 && missing.output.isEmpty, "\(missing.output)")
            let both = try BridgeProcess(["generate", "--hf-model", "/nowhere"] + arguments + ["--json"]).wait()
            #expect(try JSON(parsing: Array(both.output.utf8))[path: "error.code"]?.string == "file_system")
        }
        // Behind `--` everything is a value.
        let positional = try run("verify", "/nowhere", "--", "--json")
        #expect(positional.status == 1 && positional.output.isEmpty, "\(positional.output)")
        let flag = try run(
            "convert",
            "--hf-model",
            "/nowhere",
            "--megatron-path",
            scratch.path("m"),
            "--dry-run",
            "--json"
        )
        #expect(try JSON(parsing: Array(flag.output.utf8))["error"] != nil)
    }

    @Test func aScriptedChatEndsAsItWent() throws {
        let bad = try run("chat", "--hf-model", model, "--max-new-tokens", "1", input: "/image nowhere.png\n")
        #expect(bad.status == 1)
        let good = try run("chat", "--hf-model", model, "--max-new-tokens", "1", input: "a\n")
        #expect(good.status == 0, "\(good.errors)")
    }

    @Test func anEmptySystemPromptIsRefused() throws {
        let outcome = try run("generate", "--hf-model", model, "--prompt", "a", "--system", "")
        #expect(outcome.status == 64 && outcome.errors.contains("--system is empty"))
    }

    @Test func aCheckpointOfAnotherModelIsNamed() throws {
        let other = Fixtures.checkpoint("gemma3")
        let imported = try run("convert", "--hf-model", other, "--megatron-path", scratch.path("other"))
        #expect(imported.status == 0)
        let outcome = try run(
            "generate",
            "--hf-model",
            model,
            "--megatron-path",
            scratch.path("other"),
            "--prompt",
            "a"
        )
        expect(outcome, failsWith: 64, mentioning: "Gemma3ForConditionalGeneration", "MistralForCausalLM")
    }

    @Test func coloursStayOutOfPipes() throws {
        // A terminal for errors alone, as when results go into a pipe.
        let outcome = try run(
            "toy",
            "--family",
            "mistral",
            "--output",
            scratch.path("toy"),
            shell: "script -qec \"$* > \(scratch.path("said"))\" /dev/null < /dev/null"
        )
        #expect(outcome.status == 0)
        let said = try String(contentsOfFile: scratch.path("said"), encoding: .utf8)
        #expect(said.contains("Successfully") && !said.contains("\u{1B}"))
    }
}
