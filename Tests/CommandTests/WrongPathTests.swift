import Foundation
import JSONTree
import TestSupport
import Testing

/// A path that leads to something else than a command takes: the error has what was found and what is expected.
@Suite struct WrongPathTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws { scratch = try TemporaryDirectory() }

    private func makeDirectory(_ name: String, files: [String]) throws {
        for file in files {
            let url = scratch.url(name).appendingPathComponent(file)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data("1".utf8).write(to: url)
        }
    }

    @Test(arguments: [
        ["inspect"], ["checkpoint", "check"], ["checkpoint", "list"], ["checkpoint", "prune", "--keep", "1"],
    ])
    func aTorchDistCheckpointWithoutItsMetadataIsNamed(_ command: [String]) throws {
        // The files that Megatron-Core's dist_checkpointing has written before .metadata.
        let files = ["common.pt", "metadata.json", "__0_0.distcp", "__0_1.distcp"].map { "iter_0000001/\($0)" }
        try makeDirectory("dist", files: files + ["latest_checkpointed_iteration.txt"])
        let outcome = try BridgeProcess(command + [scratch.path("dist")]).wait()
        expect(outcome, failsWith: 64, mentioning: "incomplete torch_dist checkpoint", "cannot be read", "expected")
        let inside = try BridgeProcess.run("inspect", scratch.path("dist/iter_0000001"))
        expect(inside, failsWith: 64, mentioning: "incomplete torch_dist checkpoint", "cannot be read")
    }

    @Test func aDamagedTorchDistCheckpointIsNamed() throws {
        let files = [".metadata", "common.pt", "metadata.json", "__0_0.distcp"].map { "iter_0000001/\($0)" }
        try makeDirectory("dist", files: files + ["latest_checkpointed_iteration.txt"])
        for command in [["inspect"], ["checkpoint", "check"], ["checkpoint", "list"]] {
            let outcome = try BridgeProcess(command + [scratch.path("dist")]).wait()
            expect(outcome, failsWith: 4, mentioning: ".metadata", "is not a pickle that can be read")
        }
    }

    @Test(arguments: [["checkpoint", "check"], ["checkpoint", "list"], ["checkpoint", "prune", "--keep", "1"]])
    func aHuggingFaceModelIsNotAMegatronCheckpoint(_ command: [String]) throws {
        let outcome = try BridgeProcess(command + [model]).wait()
        expect(outcome, failsWith: 64, mentioning: "is a Hugging Face model; expected", "Megatron checkpoint")
    }

    @Test func whatIsNotAnAdapterIsNamed() throws {
        try makeDirectory("empty/inside", files: ["x"])
        try FileManager.default.removeItem(at: scratch.url("empty/inside"))
        let imported = try BridgeProcess.run(
            "convert",
            "--hf-model",
            model,
            "--megatron-path",
            scratch.path("megatron")
        )
        #expect(imported.status == 0)
        for (path, status, found) in [
            (scratch.path("none"), 1, "does not exist"), (model, 64, "is a Hugging Face model"),
            ("\(model)/config.json", 64, "is a file"), (scratch.path("empty"), 64, "is an empty directory"),
            (scratch.path("megatron"), 64, "is a Megatron checkpoint of a whole model"),
        ] as [(String, Int32, String)] {
            let outcome = try BridgeProcess.run("generate", "--hf-model", model, "--prompt", "a", "--adapter", path)
            expect(outcome, failsWith: status, mentioning: "\(path) \(found)", "expected an adapter: a directory with")
        }
    }

    @Test func aMissingModelOrIterationSuggestsANearOne() throws {
        try FileManager.default.createSymbolicLink(atPath: scratch.path("model"), withDestinationPath: model)
        try makeDirectory("run", files: ["iter_0000010/a", "iter_0000020/a"])
        let misspelt = try BridgeProcess.run("inspect", scratch.path("modle2"))
        expect(misspelt, failsWith: 1, mentioning: "modle2 does not exist, did you mean \(scratch.path("model"))?")
        let iteration = try BridgeProcess.run(
            "generate",
            "--megatron-path",
            scratch.path("run/iter_0000030"),
            "--prompt",
            "a"
        )
        expect(iteration, failsWith: 1, mentioning: "did you mean \(scratch.path("run/iter_0000020"))?")
        // Also where the path looks like the id of a repository.
        let relative = try BridgeProcess(
            ["inspect", "run/iter_0000030"],
            shell: "cd '\(scratch.path)'; exec \"$@\""
        ).wait()
        expect(relative, failsWith: 1, mentioning: "run/iter_0000030 does not exist, did you mean run/iter_0000020?")
    }

    @Test func aMistypedFamilySuggestsTheNearestOne() throws {
        let toy = try BridgeProcess.run("toy", "--family", "mistrl", "--output", scratch.path("toy"))
        expect(toy, failsWith: 64, mentioning: "there is no family mistrl, did you mean mistral?")
        let described = try BridgeProcess.run("plugins", "describe", "gema3")
        expect(described, failsWith: 64, mentioning: "did you mean gemma3?")
    }

    @Test func everyCommandCannotOpenAFileInTheSameWords() throws {
        let none = scratch.path("none.jsonl")
        for arguments in [
            ["tokenize", "--hf-model", model, "--file", none],
            ["evaluate", "--hf-model", model, "--data", none],
            ["data", "check", "--hf-model", model, "--data", none],
            ["generate", "--hf-model", model, "--messages", none],
            ["generate", "--hf-model", model, "--prompt", "a", "--inputs", none].filter {
                $0 != "--prompt" && $0 != "a"
            },
        ] {
            expect(
                try BridgeProcess(arguments).wait(),
                failsWith: 1,
                mentioning: "cannot open \(none): it does not exist"
            )
        }
    }

    @Test func aRefusedQuestionOfAnEvaluationHasFileAndLine() throws {
        let rows = scratch.url("rows.jsonl")
        let good = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        // Mistral's template takes turns of user and assistant by turns.
        let bad =
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "a"}, "#
            + #"{"role": "assistant", "content": "b"}]}"#
        try Data("\(good)\n\(bad)\n".utf8).write(to: rows)
        let outcome = try BridgeProcess.run(
            "evaluate",
            "--hf-model",
            model,
            "--data",
            rows.path,
            "--max-new-tokens",
            "1"
        )
        expect(outcome, failsWith: 4, mentioning: "\(rows.path), line 2: ")
    }
}
