import Foundation
import TestSupport
import Testing

/// The exit status follows from what is wrong, as the article Errors has it, not from the command that finds it.
@Suite struct ExitStatusTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws { scratch = try TemporaryDirectory() }

    @Test func aDamagedCheckpointIs4ForEveryCommandThatReadsItAnd3ForAComparison() throws {
        let megatron = scratch.path("megatron")
        #expect(try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", megatron).status == 0)
        let file = scratch.url("megatron/iter_0000000/weights_tp00_pp00.safetensors")
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 1] ^= 0x10
        try bytes.write(to: file)
        for command in [
            ["checkpoint", "check", megatron],
            ["convert", "export", "--megatron-path", megatron, "--hf-path", scratch.path("out")],
            ["reshard", "--megatron-path", megatron, "--output", scratch.path("tp2"), "--tp", "2"],
            ["generate", "--megatron-path", megatron, "--prompt", "a"],
        ] {
            let outcome = try BridgeProcess(command).wait()
            expect(outcome, failsWith: 4, mentioning: "weights_tp00_pp00.safetensors")
            // The bytes of the block, which is the whole of a small file.
            #expect(outcome.errors.contains("in bytes 0 to \(bytes.count - 1)"), "\(outcome.errors)")
        }
        expect(try BridgeProcess.run("verify", model, megatron), failsWith: 3, mentioning: "differ")
    }

    @Test func aRowThatCannotBeUsedIs4WhateverRefusesIt() throws {
        // Not JSON, without messages, and refused by the chat template.
        let rows = [
            "{", #"{"text": "a"}"#,
            #"{"messages": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
        ]
        let bench = try TrainBench()
        for row in rows {
            let path = scratch.path("rows.jsonl")
            try Data((row + "\n").utf8).write(to: scratch.url("rows.jsonl"))
            let evaluated = try BridgeProcess.run(
                "evaluate",
                "--hf-model",
                model,
                "--data",
                path,
                "--max-new-tokens",
                "1"
            )
            expect(evaluated, failsWith: 4, mentioning: path, "line 1")
            let trained = try BridgeProcess(bench.arguments("run", "dataset.train_data_path=\(path)")).wait()
            expect(trained, failsWith: 4, mentioning: path, "line 1")
        }
    }

    @Test func aMissingFileIs1AndAnotherKindOfPathIs64() throws {
        let missing = try BridgeProcess.run("inspect", scratch.path("none"))
        expect(missing, failsWith: 1, mentioning: "does not exist")
        expect(try BridgeProcess.run("checkpoint", "check", model), failsWith: 64, mentioning: "expected")
        expect(try BridgeProcess.run("inspect", "\(model)/config.json"), failsWith: 64, mentioning: "is a file")
    }

    @Test func theArticleHasEveryStatusOfTheHelp() throws {
        let article = try String(
            contentsOf: URL(filePath: Fixtures.repository).appendingPathComponent(
                "Sources/BridgeCore/BridgeCore/Documentation.docc/Errors.md"
            ),
            encoding: .utf8
        )
        let help = try BridgeProcess.run("--help").output.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        for (status, words) in [
            (0, "done"), (1, "failed"), (2, "tensors"), (3, "verification failed"), (4, "corrupt input"),
            (5, "training diverged"), (64, "wrong usage"), (130, "interrupted"),
        ] {
            #expect(article.contains("| \(status) |"))
            #expect(help.contains("\(status) \(words)"))
        }
    }
}
