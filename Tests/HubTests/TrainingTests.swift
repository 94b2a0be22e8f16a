import Foundation
import JSONTree
import TestSupport
import Testing

/// Runs that start from a model of the hub.
@Suite struct TrainingTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
        try server.put(directory: Fixtures.checkpoint("mistral"))
        let row = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        try Data(row.utf8).write(to: scratch.url("rows.jsonl"))
    }

    private func train(_ steps: Int, _ more: String...) throws -> BridgeProcess.Outcome {
        let arguments = [
            "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", "org/name", "--dataset-type",
            "preloaded", "dataset.train_data_path=\(scratch.path("rows.jsonl"))", "train.train_iters=\(steps)",
            "checkpoint.save=\(scratch.path("run"))", "train.global_batch_size=1", "train.micro_batch_size=1",
            "train.eval_interval=0", "scheduler.lr_warmup_iters=1", "model.seq_length=64", "dataset.seq_length=64",
        ]
        return try BridgeProcess(arguments + more, environment: server.variables).wait()
    }

    @Test func aDescriptionOfARunTakesNoWeights() throws {
        let described = try train(2, "--dry-run", "--json")
        #expect(described.status == 0, "\(described.errors)")
        #expect(!TemporaryDirectory.content(of: "\(server.home)/hub").contains { $0.hasSuffix(".safetensors") })
        // With the weights here it is the same, but for the commit that the recipe then names.
        #expect(try BridgeProcess.run("hub", "download", "org/name", environment: server.variables).status == 0)
        let again = try train(2, "--dry-run", "--json")
        let (found, expected) = (
            try JSON(parsing: Array(described.output.utf8)), try JSON(parsing: Array(again.output.utf8))
        )
        for key in ["parts", "state_bytes", "operations_per_step", "samples", "schedule"] {
            #expect(found[key] == expected[key] && expected[key] != nil, "\(key)")
        }
    }

    @Test func aDescriptionOfARunDownloadsNoData() throws {
        try server.put("README.md", "# A model\n")
        #expect(try BridgeProcess.run("hub", "download", "org/name", environment: server.variables).status == 0)
        let data = ["dataset.path_or_dataset=org/rows", "dataset.maker_name=make_conversation_dataset"]
        let arguments = [
            "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", "org/name", "--dataset-type",
            "hf",
            "checkpoint.save=\(scratch.path("run"))", "--dry-run",
        ]
        // Without a network, too.
        for variables in [server.variables, server.variables.merging(["HF_HUB_OFFLINE": "1"]) { $1 }] {
            let shown = try BridgeProcess(arguments + data, environment: variables).wait()
            #expect(shown.status == 0, "\(shown.errors)")
            #expect(shown.output.contains("unknown: the data set is on the hub"))
            let json = try BridgeProcess(arguments + data + ["--json"], environment: variables).wait()
            #expect(try JSON(parsing: Array(json.output.utf8))["samples"] == .some(.null))
        }
        #expect(!TemporaryDirectory.content(of: "\(server.home)/hub").contains { $0.contains("datasets--") })
    }

    /// The data sets of presets, with the files of the public ones.
    @Test func aPresetIsDownloadedAndTrainedOn() throws {
        func put(_ preset: String, _ path: String, in repository: String) throws {
            let data = try Data(contentsOf: URL(filePath: "\(Fixtures.root)/presets/\(preset).parquet"))
            try server.put(path, [UInt8](data), in: "datasets/\(repository)")
        }
        try put("squad", "plain_text/train-00000-of-00001.parquet", in: "rajpurkar/squad")
        try put("squad", "plain_text/validation-00000-of-00001.parquet", in: "rajpurkar/squad")
        let run = try BridgeProcess(
            [
                "train", "--hf-model", "org/name", "--data", "squad", "train.train_iters=2",
                "train.global_batch_size=1",
                "train.micro_batch_size=1", "train.eval_interval=1", "train.eval_iters=1",
                "scheduler.lr_warmup_iters=1",
                "model.seq_length=64", "dataset.seq_length=64", "logger.log_dir=\(scratch.path("log"))",
                "checkpoint.save=\(scratch.path("squad"))",
            ],
            environment: server.variables
        ).wait()
        #expect(run.status == 0, "\(run.errors)")
        #expect(
            run.errors.contains("--dataset-type hf dataset.path_or_dataset= dataset.maker_name=squad"),
            "\(run.errors)"
        )
        #expect(run.output.contains("validation loss at iteration 2"), "\(run.output)")

        let readme = """
            ---
            configs:
            - config_name: default
              data_files:
              - {split: train, path: "data/train-*"}
              - {split: train_1M, path: "data/train_1M-*"}
            ---
            """
        try server.put("README.md", readme, in: "datasets/nvidia/OpenMathInstruct-2")
        try put("openmathinstruct2", "data/train_1M-00000-of-00001.parquet", in: "nvidia/OpenMathInstruct-2")
        let shown = try BridgeProcess(
            ["data", "preview", "--hf-model", "org/name", "--data", "openmathinstruct2"],
            environment: server.variables
        ).wait()
        #expect(shown.status == 0 && shown.output.contains("$\\boxed{5}$"), "\(shown.output)\(shown.errors)")
    }

    @Test func aRunUsesTheCommitThatItStartedWith() throws {
        let first = try train(2)
        #expect(first.status == 0, "\(first.errors)")
        let configuration = try String(
            contentsOf: scratch.url("run/iter_0000002/run_config.yaml"),
            encoding: .utf8
        )
        #expect(configuration.contains(#/pretrained_checkpoint: "?org\/name@[0-9a-f]{40}/#), "\(configuration)")
        let same = try train(3)
        #expect(same.status == 0 && same.errors.contains("resuming after step 2"), "\(same.errors)")

        // The branch moves on, and the cache with it.
        try server.put("README.md", "# Another commit\n")
        let moved = try BridgeProcess.run("hub", "download", "org/name", environment: server.variables)
        #expect(moved.status == 0, "\(moved.errors)")
        expect(
            try train(4),
            failsWith: 64,
            mentioning: "checkpoint.pretrained_checkpoint: org/name@",
            "start a new run with another checkpoint.save"
        )
    }

    // MARK: Uploads at the end

    private func tuned(
        _ more: String...,
        token: String = HubServer.token,
        endpoint: String? = nil
    ) throws -> BridgeProcess.Outcome {
        let arguments = [
            "train", "--recipe", "mistral_7b_finetune_config", "--peft-scheme", "lora", "--pretrained-checkpoint",
            Fixtures.checkpoint("mistral"), "--dataset-type", "preloaded",
            "dataset.train_data_path=\(scratch.path("rows.jsonl"))", "train.train_iters=2",
            "checkpoint.save=\(scratch.path("run"))", "train.global_batch_size=1", "train.micro_batch_size=1",
            "train.eval_interval=0", "scheduler.lr_warmup_iters=1", "model.seq_length=64", "dataset.seq_length=64",
            "--push-to-hub", "me/tuned",
        ]
        var variables = server.variables.merging(["HF_TOKEN": token]) { $1 }
        if let endpoint { variables["HF_ENDPOINT"] = endpoint }
        return try BridgeProcess(arguments + more, environment: variables).wait()
    }

    private var exported: String { scratch.path("run/iter_0000002/hf") }

    private func uploaded() throws -> [String: Data] {
        try contents(of: server.root.appending(path: "models/me/tuned").path)
            .reduce(into: [:]) { $0[$1.key] = $1.value }
    }

    @Test func theAdapterOfTheEndIsUploaded() throws {
        let outcome = try tuned()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("Uploaded"), "\(outcome.output)")
        let files = try uploaded()
        #expect(files == (try contents(of: exported).reduce(into: [:]) { $0[$1.key] = $1.value }))
        #expect(Set(files.keys).isSuperset(of: ["adapter_config.json", "adapter_model.safetensors", "README.md"]))
        // A repository that exists gets another commit; the run has ended before, and has nothing to train.
        try server.put("notes.txt", "kept", in: "models/me/tuned")
        let again = try tuned("--json")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try JSON(parsing: Array(again.output.utf8))["iteration"] == 2)
        #expect(try uploaded()["notes.txt"] == Data("kept".utf8))
    }

    /// What is on this machine is complete, and the message tells what to do.
    private func expectComplete(_ outcome: BridgeProcess.Outcome, mentioning words: String...) throws {
        expect(
            outcome,
            failsWith: 1,
            mentioning: "the run has ended and its checkpoints are complete",
            "bridge hub upload me/tuned \(exported)"
        )
        for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
        #expect(!(outcome.errors + outcome.output).contains("hf_wrong"))
        #expect(!(outcome.errors + outcome.output).contains(HubServer.token))
        #expect(try BridgeProcess.run("checkpoint", "check", scratch.path("run")).status == 0)
        let model = ["--hf-model", Fixtures.checkpoint("mistral"), "--adapter", exported]
        let generated = try BridgeProcess(["generate"] + model + ["--prompt", "a", "--max-new-tokens", "1"]).wait()
        #expect(generated.status == 0, "\(generated.errors)")
        let sent = try? uploaded()
        #expect(sent?.isEmpty ?? true)
    }

    @Test func aTokenThatIsNotAcceptedLeavesTheRunComplete() throws {
        try expectComplete(try tuned(token: "hf_wrong"), mentioning: "me/tuned", "HF_TOKEN")
    }

    @Test func aNameOfOthersLeavesTheRunComplete() async throws {
        let text = "You don't have the rights to create a model under the namespace me"
        try await server.fail([
            "match": "repos/create", "times": 9, "status": 403, "headers": ["X-Error-Message": .string(text)],
        ])
        try expectComplete(try tuned(), mentioning: "me/tuned", "rights")
        // With rights, the command of the message uploads what is there.
        try await server.fail()
        let later = try BridgeProcess(
            ["hub", "upload", "me/tuned", exported],
            environment: server.variables.merging(["HF_TOKEN": HubServer.token]) { $1 }
        ).wait()
        #expect(later.status == 0, "\(later.errors)")
    }

    @Test func aHubThatCannotBeReachedLeavesTheRunComplete() throws {
        try expectComplete(
            try tuned(endpoint: "http://127.0.0.1:9"),
            mentioning: "http://127.0.0.1:9 cannot be reached",
            "nothing was uploaded to me/tuned"
        )
    }

    @Test func aRunThatHasNotEndedIsNotUploaded() throws {
        let outcome = try tuned("train.train_iters=4", "train.exit_interval=2")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("nothing was uploaded to me/tuned"), "\(outcome.errors)")
        #expect(throws: (any Error).self) { try uploaded() }
    }
}
