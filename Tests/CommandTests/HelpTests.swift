import Foundation
import JSONTree
import TestSupport
import Testing

/// What the program says about itself, and about wrong usage.
@Suite struct HelpTests {
    @Test(arguments: [
        "", "convert", "convert import", "convert export", "verify", "reshard", "inspect", "checkpoint", "plugins",
        "generate", "chat", "forward", "tokenize", "data", "recipes", "adapter", "train", "evaluate", "hub", "card",
    ])
    func helpShowsExamples(_ command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let outcome = try BridgeProcess(words + ["--help"]).wait()
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("EXAMPLES:"))
        #expect(outcome.output.contains("  bridge \(words.first ?? "convert")"))
        #expect(outcome.errors.isEmpty)
    }

    @Test func helpUsesTheTermsOfTheGlossary() throws {
        let words = try ReplacedWords()
        let dump = try BridgeProcess.run("--experimental-dump-help")
        func check(_ command: JSON, _ path: String) {
            let options = command["arguments"]?.array ?? []
            for text in ([command] + options).flatMap({ [$0["abstract"]?.string, $0["discussion"]?.string] }) {
                let found = words.found(in: text ?? "")
                #expect(
                    found.isEmpty,
                    "the help of '\(path)' has replaced words, see Glossary.md: \(found) in \(text ?? "")"
                )
            }
            for subcommand in command["subcommands"]?.array ?? [] {
                check(subcommand, "\(path) \(subcommand["commandName"]?.string ?? "")")
            }
        }
        check(try JSON(parsing: Array(dump.output.utf8))["command"] ?? .null, "bridge")
    }

    @Test func convertIsCompletedWithAndWithoutImport() throws {
        let options = try completions("bridge", "convert", "--")
        #expect(options.isSuperset(of: ["--hf-model", "--megatron-path", "--tp", "--dry-run"]), "\(options)")
        #expect(try completions("bridge", "convert", "import", "--").isSuperset(of: ["--hf-model", "--megatron-path"]))
        #expect(try completions("bridge", "convert", "export", "--").contains("--hf-path"))
        #expect(try completions("bridge", "convert", "").isSuperset(of: ["import", "export"]))
        #expect(try completions("bridge", "gener") == ["generate"])
    }

    @Test func valuesAreCompleted() throws {
        #expect(try completions("bridge", "convert", "import", "--dtype", "") == ["float32", "float16", "bfloat16"])
        #expect(try completions("bridge", "train", "--peft-scheme", "") == ["lora", "dora"])
        #expect(try completions("bridge", "train", "--dataset-type", "").isSuperset(of: ["mock", "preloaded", "hf"]))
        #expect(try completions("bridge", "toy", "--family", "mini") == ["ministral3"])
        let recipes = try completions("bridge", "train", "--recipe", "ministral3_3b")
        #expect(recipes.contains("ministral3_3b_finetune_config"), "\(recipes)")
        // Names of files, as bash itself completes them.
        for (option, command) in [("--data", ["data", "check"]), ("--hf-model", ["generate"])] {
            let script = try BridgeProcess.run("--generate-completion-script", "bash").output
            #expect(script.contains(option) && script.contains(command.joined(separator: "_")))
        }
    }

    @Test func aShellThatIsUnknownIsWrongUsage() throws {
        #expect(try BridgeProcess.run("--generate-completion-script", "nonsense").status != 0)
        for shell in ["zsh", "fish"] {
            let outcome = try BridgeProcess.run("--generate-completion-script=\(shell)")
            #expect(outcome.status == 0 && outcome.output.contains("megatron-path"))
        }
    }

    /// What bash offers behind some words.
    private func completions(_ words: String...) throws -> Set<String> {
        let scratch = try TemporaryDirectory()
        let script = try BridgeProcess.run("--generate-completion-script", "bash")
        #expect(script.status == 0 && script.errors.isEmpty)
        try Data(script.output.utf8).write(to: scratch.url("bridge.bash"))
        let line = words.joined(separator: " ")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = [
            "-c",
            """
            PATH='\(BridgeProcess.buildDirectory.path)':$PATH
            source '\(scratch.path("bridge.bash"))'; COMP_WORDS=(\(words.map { "'\($0)'" }.joined(separator: " ")))
            COMP_CWORD=\(words.count - 1) COMP_LINE='\(line)' COMP_POINT=\(line.utf8.count)
            _bridge bridge '\(words.last ?? "")' '\(words.dropLast().last ?? "")'; printf '%s\\n' "${COMPREPLY[@]}"
            """,
        ]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Set(String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init))
    }

    @Test func helpNamesTheExitStatuses() throws {
        let help = try BridgeProcess.run("--help").output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        for status in [
            "0 done", "1 failed", "2 tensors", "3 verification", "4 corrupt", "64 wrong usage", "130 interrupted",
        ] {
            #expect(help.contains(status))
        }
    }

    @Test func versionIsANumber() throws {
        let outcome = try BridgeProcess.run("--version")
        #expect(outcome.status == 0)
        #expect(outcome.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
    }

    @Test(arguments: [
        ["nonsense"], ["--nonsense"], ["convert"], ["convert", "--hf-model", "a"], ["verify", "one"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--tp", "0"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--tp", "two"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--tp", "99999999999999999999"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--pp", "-1"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--num-layers-per-stage", "1,,2"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--num-layers-per-stage", "1,2", "--pp", "3"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--make-vocab-size-divisible-by", "0"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--dtype", "int8"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--max-memory", "9999999999999G"],
        ["convert", "--hf-model", "a", "--megatron-path", "b", "--threads", "0"],
        ["checkpoint", "prune", "a", "--keep", "0"], ["plugins", "describe", "nobody"],
        ["generate", "--prompt", "a"], ["generate", "--hf-model", "a"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--messages", "b"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--inputs", "b"],
        ["generate", "--hf-model", "a", "--messages", "a", "--no-chat-template"],
        ["generate", "--hf-model", "a", "--messages", "a", "--system", "b"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--no-chat-template", "--system", "b"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--date", "2025-02-30"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--max-new-tokens", "0"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--top-k", "3"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--json", "--print-logits"],
        ["generate", "--hf-model", "a", "--prompt", "a", "--dtype", "int8"],
        ["forward", "--hf-model", "a", "--output", "b"],
        ["forward", "--hf-model", "a", "--prompt", "a", "--output", "b", "--last", "0"],
        ["verify", "a", "b", "--image", "c"], ["verify", "a", "b", "--logits", "c", "--tolerance", "nan"],
        ["tokenize", "--hf-model", "a"],
    ])
    func wrongUsageIsStatus64(_ arguments: [String]) throws {
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 64, "\(outcome.errors)")
        #expect(!outcome.errors.isEmpty)
    }

    @Test(arguments: ["--tp", "--pp"]) func aLayoutThatTheModelDoesNotDivideIntoIsOneSentence(_ option: String) throws {
        let scratch = try TemporaryDirectory()
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            Fixtures.checkpoint("mistral"),
            "--megatron-path",
            scratch.path("out"),
            option,
            "7"
        )
        expect(outcome, failsWith: 64, mentioning: "choose a smaller \(option)")
        #expect(scratch.content.isEmpty)
    }
}
