import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge generate --prompt-file`: many prompts, and their answers in order.
@Suite struct PromptFileTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private var prompts: String { scratch.path("prompts.jsonl") }
    private var output: String { scratch.path("answers.jsonl") }

    private func write(_ lines: [String]) throws {
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: scratch.url("prompts.jsonl"))
    }

    private func arguments(_ name: String = "mistral", _ more: [String] = []) -> [String] {
        [
            "generate", "--hf-model", Fixtures.checkpoint(name), "--prompt-file", prompts, "--output", output,
            "--dtype", "float32",
        ] + more
    }

    private func answers() throws -> [JSON] {
        let text = try String(contentsOfFile: output, encoding: .utf8)
        #expect(text.hasSuffix("\n"))
        return try text.split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"]) func theTextsAreThoseOfSinglePrompts(_ name: String) throws {
        let images = "\(Fixtures.root)/images"
        try FileManager.default.copyItem(atPath: "\(images)/rgb.png", toPath: scratch.path("near.png"))
        let turns = ["Hi", "Yes", "Go"].enumerated().map {
            #"{"role": "\#($0.offset == 1 ? "assistant" : "user")", "content": "\#($0.element)"}"#
        }
        let messages = "[\(turns.joined(separator: ", "))]"
        let seen = #"[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]"#
        let isText = name == "mistral"
        // Paths are relative to the directory of the file.
        try write(
            [
                #""Hello""#, #"{"id": 7, "prompt": "A longer question", "max_new_tokens": 12}"#,
                #"{"messages": \#(messages), "tag": {"b": 1.50, "a": null}}"#,
                #"{"text": "Hello", "note": "Megatron"}"#,
            ]
                + (isText
                    ? []
                    : [
                        #"{"prompt": "What?", "images": ["near.png"]}"#,
                        #"{"messages": \#(seen), "images": ["\#(images)/rgb.png"]}"#,
                    ])
        )
        try Data(messages.utf8).write(to: scratch.url("messages.json"))
        let shown = ["--prompt", "What?", "--image", "\(images)/rgb.png"]
        let singles =
            [
                ["--prompt", "Hello"], ["--prompt", "A longer question", "--max-new-tokens", "12"],
                ["--messages", scratch.path("messages.json")], ["--prompt", "Hello"],
            ] + (isText ? [] : [shown, shown])
        let outcome = try BridgeProcess(
            arguments(name, ["--max-new-tokens", "9", "--batch-size", "3", "--date", "2025-01-01", "--json"])
        )
        .wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let found = try answers()
        #expect(found.count == singles.count)
        var tokens = 0
        for (answer, single) in zip(found, singles) {
            let limit = single.contains("--max-new-tokens") ? [] : ["--max-new-tokens", "9"]
            let expected = try Answer(
                ["--hf-model", Fixtures.checkpoint(name), "--dtype", "float32", "--date", "2025-01-01"] + single + limit
            )
            #expect(answer["text"]?.string == expected.text)
            #expect(answer["tokens"]?.integer == expected.tokens.count)
            #expect(answer["finish_reason"]?.string == (expected.reason == "length" ? "length" : "stop"))
            tokens += expected.tokens.count
        }
        // What a line has beside the prompt is kept, in its order, and the result follows.
        #expect(found[0].object?.keys == ["prompt", "text", "tokens", "finish_reason"])
        #expect(found[1].object?.keys == ["id", "prompt", "max_new_tokens", "text", "tokens", "finish_reason"])
        #expect(found[2]["tag"]?.compactText == #"{"b":1.50,"a":null}"#)
        #expect(found[3]["prompt"] == "Hello" && found[3]["note"] == "Megatron")
        let summary = try JSON(parsing: Array(outcome.output.utf8))
        #expect(summary["prompts"]?.integer == found.count && summary["tokens"]?.integer == tokens)
        #expect(summary["batch_size"] == 3 && summary["output"]?.string == output)
        let reasons = found.count { $0["finish_reason"] == "length" }
        #expect(summary["finish_reasons"]?["length"]?.integer == reasons)
        #expect(summary["finish_reasons"]?["stop"]?.integer == found.count - reasons)
    }

    @Test func optionsOfTheCommandAreThoseOfAllLines() throws {
        try write([#""Hello""#, #""Hello""#])
        func texts(_ more: [String]) throws -> [String?] {
            let outcome = try BridgeProcess(arguments("mistral", ["--max-new-tokens", "20", "--overwrite"] + more))
                .wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.contains("2 answers"))
            return try answers().map { $0["text"]?.string }
        }
        let plain = try texts(["--ignore-eos"])
        #expect(plain[0] == plain[1])
        #expect(try texts(["--ignore-eos", "--no-chat-template"]) != plain)
        #expect(try texts(["--ignore-eos", "--repetition-penalty", "1.9"]) != plain)
        // Each line has its own random numbers.
        let sampled = try texts(["--temperature", "1.5", "--seed", "3", "--ignore-eos"])
        #expect(sampled[0] != sampled[1])
        #expect(try texts(["--temperature", "1.5", "--seed", "3", "--ignore-eos", "--batch-size", "1"]) == sampled)
        let stop = try #require(plain[0]?.dropFirst(3).prefix(2))
        let stopped = try texts(["--ignore-eos", "--stop", String(stop)])
        #expect(try answers().allSatisfy { $0["finish_reason"] == "stop" })
        #expect(stopped[0].map { !$0.contains(stop) && plain[0]?.hasPrefix($0) ?? false } ?? false)
    }

    @Test(arguments: [
        ("{", "not valid JSON"), ("7", "expected a text or an object"),
        (#"{"question": "a"}"#, "neither prompt nor messages (found the keys question)"),
        (#"{"prompt": "a", "messages": []}"#, "both prompt and messages"), (#"{"prompt": 3}"#, "expected a text"),
        (#"{"prompt": "a", "max_new_tokens": 0}"#, "max_new_tokens is 0"),
        (#"{"prompt": "a", "max_new_tokens": 1e30}"#, "max_new_tokens is"),
        (#"{"prompt": "a", "max_tokens": 4}"#, "max_new_tokens"), (#"{"prompt": "a", "seed": 4}"#, "--seed"),
        (#"{"prompt": "a", "temperature": 1}"#, "--temperature"), (#"{"prompt": "a", "tools": []}"#, "--tools"),
        (#"{"prompt": "a", "tokens": 4}"#, "the key tokens"), (#"{"messages": []}"#, "no messages"),
        (#"{"messages": [{"content": "a"}]}"#, "has no role"), (#"{"prompt": "a", "images": ["x.png"]}"#, "image"),
    ]) func aWrongLineIsNamedBeforeAnythingIsGenerated(_ line: String, _ reason: String) throws {
        try write([#""Hello""#, "", line])
        let outcome = try BridgeProcess(arguments()).wait()
        expect(outcome, failsWith: 4, mentioning: "\(prompts), line 3", reason)
        #expect(TemporaryDirectory.content(of: scratch.path) == ["prompts.jsonl"])
    }

    @Test func aPromptThatIsTooLongIsNamedBeforeAnythingIsGenerated() throws {
        let long = String(repeating: "word ", count: 3000)
        try write([#""Hello""#, "\"\(long)\""])
        let model = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("config.json")) { $0.set(1000, at: "max_position_embeddings") }
        let outcome = try BridgeProcess(arguments().with("--hf-model", model.path)).wait()
        expect(outcome, failsWith: 4, mentioning: "\(prompts), line 2", "at most 1000")
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test func optionsThatDoNotFitAreRefused() throws {
        try write([#""Hello""#])
        let model = ["generate", "--hf-model", Fixtures.checkpoint("mistral")]
        let file = ["--prompt-file", prompts]
        for (more, name) in [
            (file, "--output"), (file + ["--output", output, "--prompt", "a"], "--prompt-file"),
            (file + ["--output", output, "--print-logits"], "--print-logits"),
            (file + ["--output", output, "--image", "a.png"], "--image"),
            (file + ["--output", output, "--batch-size", "0"], "--batch-size"),
            (file + ["--output", output, "--batch-size", "1025"], "--batch-size"),
            (["--prompt", "a", "--output", output], "--output"),
            (["--prompt", "a", "--batch-size", "2"], "--batch-size"),
            (["--prompt", "a", "--overwrite"], "--overwrite"),
        ] {
            expect(try BridgeProcess(model + more).wait(), failsWith: 64, mentioning: name)
        }
        try write([#"{"messages": [{"role": "user", "content": "a"}]}"#])
        for option in [["--system", "b"], ["--no-chat-template"]] {
            expect(try BridgeProcess(arguments() + option).wait(), failsWith: 4, mentioning: "line 1", option[0])
        }
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test func anExistingFileIsReplacedOnRequestOnly() throws {
        try write([#""Hello""#])
        try Data("mine".utf8).write(to: scratch.url("answers.jsonl"))
        expect(try BridgeProcess(arguments()).wait(), failsWith: 1, mentioning: output, "--overwrite")
        #expect(try String(contentsOfFile: output, encoding: .utf8) == "mine")
        let same = ["generate", "--hf-model", Fixtures.checkpoint("mistral"), "--prompt-file", prompts]
        expect(
            try BridgeProcess(same + ["--output", prompts, "--overwrite"]).wait(),
            failsWith: 64,
            mentioning: "would replace"
        )
        let outcome = try BridgeProcess(arguments("mistral", ["--overwrite", "--max-new-tokens", "2"])).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try answers().count == 1)
        let missing = scratch.path("none/answers.jsonl")
        expect(try BridgeProcess(same + ["--output", missing]).wait(), failsWith: 1, mentioning: "none")
    }

    @Test(arguments: [SIGINT, SIGTERM]) func aSignalLeavesNothing(_ signal: Int32) throws {
        let model = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("config.json")) {
            $0.set(1_000_000, at: "max_position_embeddings")
        }
        try write([#"{"prompt": "a", "max_new_tokens": 2}"#, #""Hello""#, #""Hello""#])
        let more = ["--max-new-tokens", "900000", "--ignore-eos"]
        let run = try BridgeProcess(arguments().with("--hf-model", model.path) + more)
        // The first answer is in the partial file, the others never end.
        try run.wait(until: "an answer is written") {
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(output).partial")
            return attributes?[.size] as? Int ?? 0 > 0
        }
        run.send(signal)
        let outcome = try run.wait()
        expect(outcome, failsWith: 130, mentioning: "interrupted", "was not written")
        #expect(TemporaryDirectory.content(of: scratch.path).allSatisfy { !$0.contains("answers") })
    }

    @Test func theRanksOfAModelContinueTogether() throws {
        try write([#""Hello""#, #""A longer question""#, #"{"prompt": "a", "max_new_tokens": 3}"#, #""b""#])
        let more = ["--max-new-tokens", "8", "--batch-size", "2", "--overwrite", "--ignore-eos"]
        let one = try BridgeProcess(arguments("mistral", more)).wait()
        #expect(one.status == 0, "\(one.errors)")
        let expected = try answers()
        for layout in [["--pp", "2"], ["--tp", "2"]] {
            let outcome = try BridgeProcess(arguments("mistral", more + layout)).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(outcome.output.split(separator: "\n").count == 1)
            #expect(try answers() == expected)
        }
    }
}
