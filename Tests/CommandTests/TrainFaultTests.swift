import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge train` with things that cannot be: one sentence, and nothing left behind.
@Suite struct TrainFaultTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    /// Runs with settings and checks the refusal; no checkpoint may have been made.
    private func refuse(
        _ settings: [String],
        type: String = "preloaded",
        status: Int32,
        mentioning words: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let run = bench.arguments("run").with("--dataset-type", type)
        let outcome = try BridgeProcess(run + settings).wait()
        #expect(outcome.signal == nil && outcome.status == status, "\(outcome.errors)", sourceLocation: sourceLocation)
        let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
        #expect(lines.count == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
        for word in words {
            #expect(outcome.errors.contains(word), "no \(word) in \(outcome.errors)", sourceLocation: sourceLocation)
        }
        #expect(bench.iterations("run") == [], sourceLocation: sourceLocation)
    }

    @Test func aWrongKeyNamesTheNearestOne() throws {
        try refuse(
            ["train.train_iter=3"],
            status: 64,
            mentioning: "train.train_iter is not a setting",
            "train.train_iters?"
        )
    }

    @Test func aValueOfTheWrongTypeIsNamed() throws {
        try refuse(["train.micro_batch_size=two"], status: 64, mentioning: "train.micro_batch_size", "'two'")
        try refuse(["optimizer.lr=[1]"], status: 64, mentioning: "optimizer.lr", "number")
    }

    @Test func numbersThatDoNotFitEachOtherAreAllNamed() throws {
        try refuse(
            ["train.micro_batch_size=3", "optimizer.min_lr=1", "train.train_iters=0"],
            status: 64,
            mentioning: "train.global_batch_size is 4",
            "optimizer.min_lr",
            "train.train_iters"
        )
    }

    @Test(arguments: ["0", "99999999999"]) func aSizeOutOfRangeHasOneRange(_ size: String) throws {
        for ranks in [[], ["--nproc-per-node", "2"]] {
            let setting = "model.tensor_model_parallel_size=\(size)"
            let outcome = try BridgeProcess(bench.arguments("run", setting) + ranks).wait()
            let found = "model.tensor_model_parallel_size is \(size), expected 1 to 1024"
            expect(outcome, failsWith: 64, mentioning: found)
            #expect(!outcome.errors.contains("1048576"), "\(outcome.errors)")
        }
    }

    @Test func aRowThatIsNotJSONNamesItsLine() throws {
        try bench.write(
            [TrainBench.rows[0], "{\"messages\": [", TrainBench.rows[1], TrainBench.rows[2]],
            to: "rows.jsonl"
        )
        try refuse(["dataset.shuffle=false"], status: 4, mentioning: "rows.jsonl, line 2", "not valid JSON")
    }

    @Test func anImageThatDoesNotDecodeNamesItsRow() throws {
        let bench = try TrainBench("gemma3")
        try Data("no image".utf8).write(to: bench.scratch.url("bad.png"))
        let rows = [TrainBench.row("Hello", "Hi"), TrainBench.row("<image> What?", "A cat.", image: "bad.png")]
        try bench.write(rows, to: "rows.jsonl")
        let run = bench.arguments("run", recipe: "gemma3_vl_4b_finetune_config", "dataset.shuffle=false")
        let outcome = try BridgeProcess(run).wait()
        expect(outcome, failsWith: 4, mentioning: "rows.jsonl, line 2", "bad.png")
        #expect(bench.iterations("run") == [])
    }

    @Test func aMissingImageNamesItsRow() throws {
        let bench = try TrainBench("ministral3")
        try bench.write([TrainBench.row("<image> What?", "A cat.", image: "none.png")], to: "rows.jsonl")
        let outcome = try BridgeProcess(bench.arguments("run", recipe: "ministral3_3b_finetune_config")).wait()
        #expect(outcome.status == 1 || outcome.status == 4, "\(outcome.errors)")
        #expect(outcome.sentence.contains("line 1") && outcome.sentence.contains("none.png"), "\(outcome.errors)")
    }

    @Test func aConversationWithoutAnAssistantIsNamed() throws {
        try bench.write([TrainBench.rows[0], TrainBench.row("Hello", nil)], to: "rows.jsonl")
        try refuse(["dataset.shuffle=false"], status: 4, mentioning: "rows.jsonl, line 2", "no turn of the assistant")
    }

    @Test func nothingTrainableIsAnError() throws {
        try refuse(["--freeze-language-model"], status: 64, mentioning: "nothing is trainable", "unfreeze")
        try refuse(
            ["peft.scheme=lora", "peft.target_modules=[linear_nothing]"],
            status: 1,
            mentioning: "linear_nothing",
            "linear_qkv"
        )
        try refuse(
            ["peft.scheme=lora", "--freeze-language-model"],
            status: 64,
            mentioning: "the language model is frozen",
            "peft.vision_lora=true"
        )
    }

    @Test func rowsWithoutSupervisedTokensAreCounted() throws {
        let tokens = #"{"input_ids": [1, 20, 30, 40], "labels": [-100, -100, -100, -100]}"#
        let other = #"{"input_ids": [1, 20, 30, 40], "labels": [-100, 20, 30, 40]}"#
        try bench.write([tokens, other], to: "rows.jsonl")
        let run = bench.arguments("run", "train.train_iters=2").with("--dataset-type", "tokenized")
        let outcome = try BridgeProcess(run).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("samples have no supervised token"), "\(outcome.errors)")
    }

    @Test func tokensOutsideTheVocabularyAreNamed() throws {
        try bench.write([#"{"input_ids": [1, 600], "labels": [-100, 5]}"#], to: "rows.jsonl")
        try refuse([], type: "tokenized", status: 4, mentioning: "line 1", "600")
        try bench.write([#"{"input_ids": [1, 9223372036854775807], "labels": [-100, 5]}"#], to: "rows.jsonl")
        try refuse([], type: "tokenized", status: 4, mentioning: "line 1", "9223372036854775807")
        try bench.write([#"{"input_ids": [1, 5], "labels": [-100]}"#], to: "rows.jsonl")
        try refuse([], type: "tokenized", status: 4, mentioning: "line 1", "labels")
    }

    @Test func filesThatAreNotThereAreNamed() throws {
        try refuse(["dataset.train_data_path=nowhere.jsonl"], status: 1, mentioning: "nowhere.jsonl")
        let elsewhere = bench.arguments("run").with("--pretrained-checkpoint", "nowhere")
        expect(try BridgeProcess(elsewhere).wait(), failsWith: 1, mentioning: "nowhere")
        try refuse(["checkpoint.load=\(bench.scratch.path("toy"))"], status: 64, mentioning: "checkpoint.load")
    }

    @Test func aCheckpointOfAnotherRecipeIsRefused() throws {
        #expect(try BridgeProcess(bench.arguments("full", "train.train_iters=2")).wait().status == 0)
        let before = TemporaryDirectory.bytes(of: bench.scratch.path("full"))
        for settings in [["peft.scheme=lora", "peft.dim=4"], ["optimizer.optimizer=sgd"]] {
            let outcome = try BridgeProcess(bench.arguments("full") + settings).wait()
            #expect(outcome.signal == nil && outcome.status != 0, "\(settings): \(outcome.output)")
            #expect(outcome.sentence.contains("iter_0000002"), "\(outcome.errors)")
        }
        #expect(TemporaryDirectory.bytes(of: bench.scratch.path("full")) == before)

        let lora = ["peft.scheme=lora", "peft.dim=4", "train.train_iters=2"]
        #expect(try BridgeProcess(bench.arguments("lora") + lora).wait().status == 0)
        let dora = ["peft.scheme=dora", "peft.dim=4", "train.train_iters=2"]
        #expect(try BridgeProcess(bench.arguments("dora") + dora).wait().status == 0)
        for (name, settings) in [
            ("lora", ["peft.scheme=lora", "peft.dim=5"]), ("lora", dora), ("lora", []), ("dora", lora),
            ("lora", lora + ["peft.target_modules=[linear_qkv]"]), ("lora", lora + ["peft.canonical=true"]),
        ] {
            let outcome = try BridgeProcess(bench.arguments(name) + settings).wait()
            #expect(outcome.signal == nil && outcome.status != 0, "\(name) \(settings): \(outcome.output)")
            #expect(outcome.sentence.contains("iter_0000002"), "\(name) \(settings): \(outcome.errors)")
            #expect(bench.iterations(name) == ["iter_0000002"])
        }
    }

    @Test func aConvertedCheckpointIsNotARunToResume() throws {
        let made = try BridgeProcess.run(
            "convert",
            "--hf-model",
            bench.scratch.path("toy"),
            "--megatron-path",
            bench.scratch.path("run")
        )
        #expect(made.status == 0)
        let outcome = try BridgeProcess(bench.arguments("run")).wait()
        expect(outcome, failsWith: 64, mentioning: "converted", "checkpoint.pretrained_checkpoint")
        // As weights to start from it is welcome.
        let weights = bench.scratch.path("run")
        let other = try BridgeProcess(
            bench.arguments("other", "train.train_iters=2").with("--pretrained-checkpoint", weights)
        )
        .wait()
        #expect(other.status == 0, "\(other.errors)")
    }

    @Test func anErrorIsADocumentToo() throws {
        let outcome = try BridgeProcess(bench.arguments("run", "train.train_iter=3") + ["--json"]).wait()
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(outcome.status == 64 && json[path: "error.code"]?.string == "bad_argument")
    }

    @Test func aDatasetTypeThatDoesNotExistIsWrongUsage() throws {
        let outcome = try BridgeProcess(bench.arguments("run").with("--dataset-type", "parquet")).wait()
        #expect(outcome.status == 64 && outcome.errors.contains("expected"), "\(outcome.errors)")
    }
}
