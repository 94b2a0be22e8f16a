import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Commands say which settings of a model they do not know, and what of `generation_config.json` they do not follow.
@Suite struct SettingsCommandTests {
    private let scratch: TemporaryDirectory
    private let model: String

    init() throws {
        scratch = try TemporaryDirectory()
        model = scratch.path("model")
        try FileManager.default.copyItem(
            atPath: Fixtures.checkpoint("mistral"),
            toPath: model
        )
        try change("config.json", "novel_attention", true)
        try change("generation_config.json", "mirostat", 2)
    }

    private func change(_ file: String, _ key: String, _ value: JSON) throws {
        var json = try JSON(contentsOf: "\(model)/\(file)")
        json.set(value, at: key)
        try Data(json.text()).write(to: URL(fileURLWithPath: "\(model)/\(file)"))
    }

    private var commands: [[String]] {
        [
            ["generate", "--hf-model", model, "--prompt", "a", "--max-new-tokens", "1"],
            ["convert", "--hf-model", model, "--megatron-path", scratch.path("megatron"), "--dry-run"],
            ["inspect", model], ["data", "preview", "--hf-model", model, "--data", scratch.path("rows.jsonl")],
            ["evaluate", "--hf-model", model, "--data", scratch.path("rows.jsonl"), "--max-new-tokens", "1"],
            dryRun(),
        ]
    }

    private func dryRun(_ settings: String...) -> [String] {
        [
            "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model, "--dry-run",
            "--dataset-type", "mock", "dataset.num_images=0", "checkpoint.save=\(scratch.path("run"))",
        ] + settings
    }

    @Test func attentionDropoutIsRefusedUnlessTheRunDoesWithout() throws {
        try change("config.json", "attention_dropout", 0.25)
        expect(
            try BridgeProcess(dryRun()).wait(),
            failsWith: 1,
            mentioning: "attention_dropout is 0.25",
            "set model.attention_dropout=0 to train without it"
        )
        #expect(try BridgeProcess(dryRun("model.attention_dropout=0")).wait().status == 0)
        expect(
            try BridgeProcess(dryRun("model.attention_dropout=0.1")).wait(),
            failsWith: 64,
            mentioning: "model.attention_dropout is 0.1",
            "supported: 0"
        )
        // It changes nothing but training.
        let outcome = try BridgeProcess.run("generate", "--hf-model", model, "--prompt", "a", "--max-new-tokens", "1")
        #expect(outcome.status == 0)
    }

    @Test func aShorterRunHasAShorterWarmUp() throws {
        let kept = try BridgeProcess(dryRun("train.train_iters=100", "scheduler.lr_warmup_iters=50", "--json")).wait()
        #expect(kept.status == 0 && !kept.errors.contains("lr_warmup_iters follows"), "\(kept.errors)")
        for (steps, warmUp) in [(50, 2), (51, 2), (100, 5)] {
            let outcome = try BridgeProcess(dryRun("train.train_iters=\(steps)", "--json")).wait()
            let note = "note: scheduler.lr_warmup_iters follows train.train_iters: \(warmUp) of \(steps) steps"
            #expect(outcome.status == 0 && outcome.errors.contains(note), "\(outcome.errors)")
            let recipe = try JSON(parsing: Array(outcome.output.utf8))["recipe"]
            #expect(recipe?[path: "scheduler.lr_warmup_iters"]?.integer == warmUp)
        }
        let short = try BridgeProcess(dryRun("train.train_iters=10", "--json")).wait()
        #expect(short.status == 0, "\(short.errors)")
        #expect(short.errors.contains("note: scheduler.lr_warmup_iters follows train.train_iters: "))
        let recipe = try JSON(parsing: Array(short.output.utf8))["recipe"]
        #expect(recipe?[path: "train.train_iters"] == 10)
        let warmUp = try #require(recipe?[path: "scheduler.lr_warmup_iters"]?.integer)
        #expect((0..<10).contains(warmUp))
        expect(
            try BridgeProcess(dryRun("train.train_iters=10", "scheduler.lr_warmup_iters=10")).wait(),
            failsWith: 64,
            mentioning: "scheduler.lr_warmup_iters is 10"
        )
    }

    @Test func everyCommandWarnsOnceAndFailsWhenItIsStrict() throws {
        let row = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        try Data("\(row)\n".utf8).write(to: scratch.url("rows.jsonl"))
        for command in commands {
            let outcome = try BridgeProcess(command).wait()
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
            let warnings = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
            #expect(
                warnings == [
                    "warning: \(model) has 2 unknown settings, which are ignored: config.json: novel_attention, "
                        + "generation_config.json: mirostat (--strict makes this an error)"
                ],
                "\(command): \(outcome.errors)"
            )
            let strict = try BridgeProcess(command + ["--strict"]).wait()
            expect(strict, failsWith: 1, mentioning: "2 unknown settings", "config.json: novel_attention")
            let json = try BridgeProcess(command + ["--json"]).wait()
            guard !["data"].contains(command[0]) else { continue }
            let unknown = try JSON(parsing: Array(json.output.utf8))["unknown_settings"]
            #expect(
                unknown == ["config.json": ["novel_attention"], "generation_config.json": ["mirostat"]],
                "\(command)"
            )
        }
    }

    @Test func greedyDecodingReportsThatItDoesNotSample() throws {
        let plain = ["generate", "--hf-model", model, "--prompt", "a", "--max-new-tokens", "6", "--ignore-eos"]
        try change("generation_config.json", "do_sample", true)
        try change("generation_config.json", "top_k", 1)
        let greedy = try BridgeProcess(plain).wait()
        #expect(
            greedy.errors.contains("recommends sampling (top_k 1); decoding is greedy, --do-sample uses these settings")
        )
        // Of one likeliest token only that one can be drawn.
        let sampled = try BridgeProcess(plain + ["--do-sample"]).wait()
        #expect(sampled.status == 0)
        #expect(sampled.output == greedy.output)
        #expect(!sampled.errors.contains("recommends"))
        // An option goes before the file.
        let free = try BridgeProcess(plain + ["--temperature", "9", "--top-k", "0", "--seed", "3"]).wait()
        #expect(free.output != greedy.output)
        try change("generation_config.json", "typical_p", 0.5)
        expect(
            try BridgeProcess(plain + ["--do-sample"]).wait(),
            failsWith: 1,
            mentioning: "has sampling settings that are not supported",
            "typical_p is 0.5"
        )
        #expect(try BridgeProcess(plain).wait().output == greedy.output)
    }

    @Test func aStopStringOfTheModelEndsAnAnswer() throws {
        let plain = ["--hf-model", model, "--prompt", "a", "--max-new-tokens", "6", "--ignore-eos"]
        let text = try Answer(plain).text
        let stop = String(try #require(text.dropFirst(2).first))
        try change("generation_config.json", "stop_strings", [.string(stop)])
        let answer = try Answer(plain)
        #expect(answer.reason == "stop")
        #expect(answer.text == String(try #require(text.components(separatedBy: stop).first)))
    }

    @Test func theVerdictsOfAFamilyArePrinted() throws {
        let outcome = try BridgeProcess.run("plugins", "describe", "gemma3", "--settings")
        #expect(outcome.status == 0)
        for file in ["config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json"] {
            #expect(outcome.output.contains("\(file) ("), "\(file)")
        }
        expect(
            try BridgeProcess.run("plugins", "describe", "gemma3", "--markdown"),
            failsWith: 64,
            mentioning: "--settings"
        )
    }
}
