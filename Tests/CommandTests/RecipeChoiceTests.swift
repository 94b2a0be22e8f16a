import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge train --hf-model MODEL --data FILE` chooses the recipe.
@Suite(.serialized) struct RecipeChoiceTests {
    /// The plan of a run, and the note with the command that it stands for.
    private func plan(_ arguments: String...) throws -> (recipe: JSON, note: String) {
        let outcome = try BridgeProcess(["train", "--dry-run", "--json"] + arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let note = outcome.errors.split(separator: "\n").first { $0.contains("without --recipe this is:") } ?? ""
        return (try JSON(parsing: Array(outcome.output.utf8)), String(note))
    }

    @Test(arguments: [
        ("mistral", "mistral_7b_finetune_config"), ("ministral3", "ministral3_3b_finetune_config"),
        ("gemma3", "gemma3_vl_4b_finetune_config"),
    ]) func theRecipeIsThatOfTheFamily(_ checkpoint: String, _ recipe: String) throws {
        let bench = try TrainBench()
        let rows = bench.scratch.path("rows.jsonl")
        let (_, note) = try plan("--hf-model", Fixtures.checkpoint(checkpoint), "--data", rows)
        for words in [
            "--recipe \(recipe)", "--peft-scheme lora", "--dataset-type preloaded", "dataset.train_data_path=\(rows)",
            "train.num_epochs=1", "train.global_batch_size=1", "checkpoint.saves_per_epoch=1",
        ] { #expect(note.contains(words), "\(note)") }
    }

    @Test func whatIsGivenIsKept() throws {
        let bench = try TrainBench()
        try bench.write([#"{"input_ids": [1, 5, 6], "labels": [-100, 5, 6]}"#], to: "tokens.jsonl")
        let (_, note) = try plan(
            "--hf-model",
            Fixtures.checkpoint("mistral"),
            "--data",
            bench.scratch.path("tokens.jsonl"),
            "--mode",
            "sft",
            "train.train_iters=7",
            "scheduler.lr_warmup_iters=1",
            "checkpoint.save_interval=3"
        )
        #expect(note.contains("--peft-scheme none") && note.contains("--dataset-type tokenized"), "\(note)")
        #expect(!note.contains("num_epochs") && !note.contains("saves_per_epoch"), "\(note)")
    }

    /// The run of the short command and that of the command in its note have the same steps.
    @Test func theNoteIsTheSameRun() throws {
        let bench = try TrainBench()
        let model = bench.scratch.path("toy")
        let short = [
            "train", "--hf-model", model, "--data", bench.scratch.path("rows.jsonl"),
            "checkpoint.save=\(bench.scratch.path("short"))",
            "logger.log_dir=\(bench.scratch.path("short-log"))", "dataset.seq_length=96", "model.seq_length=96",
        ]
        let outcome = try BridgeProcess(short).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let note = try #require(
            outcome.errors.split(separator: "\n").first { $0.contains("without --recipe this is: ") }
        )
        let words = note.split(separator: " this is: bridge ")[1].split(separator: " ").map(String.init)
        let long =
            words + [
                "checkpoint.save=\(bench.scratch.path("long"))", "logger.log_dir=\(bench.scratch.path("long-log"))",
                "dataset.seq_length=96", "model.seq_length=96",
            ]
        let again = try BridgeProcess(long).wait()
        #expect(again.status == 0, "\(again.errors)")
        let steps = try bench.steps("short")
        #expect(steps.count == TrainBench.rows.count)
        #expect(try bench.steps("long") == steps)
    }

    /// The length of the run and the size of the batch are chosen apart from each other.
    @Test func aSmallDataSetHasASmallBatchWithAnyLength() throws {
        let bench = try TrainBench()
        let data = ["--hf-model", bench.scratch.path("toy"), "--data", bench.scratch.path("rows.jsonl")]
        for length in ["train.num_epochs=2", "train.train_iters=7", "train.train_samples=4"] {
            let (_, note) = try plan(data[0], data[1], data[2], data[3], length, "dataset.val_set_size=0")
            #expect(note.contains("train.global_batch_size=1 ") && note.contains(" \(length)"), "\(note)")
            #expect(!note.contains("evals_per_epoch"), "\(note)")
            #expect(note.contains("dataset.val_set_size=0"), "\(note)")
        }
    }

    /// A directory with the rows of a file is the same small data set.
    @Test func aDirectoryHasTheBatchOfItsFile() throws {
        let bench = try TrainBench()
        let directory = bench.scratch.path("data")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        try bench.write(TrainBench.rows + TrainBench.rows, to: "data/train.jsonl")
        try bench.write([TrainBench.rows[0]], to: "data/validation.jsonl")
        let (_, note) = try plan("--hf-model", bench.scratch.path("toy"), "--data", directory)
        #expect(note.contains("--dataset-type hf") && note.contains("train.global_batch_size=2 "), "\(note)")
        let (_, file) = try plan("--hf-model", bench.scratch.path("toy"), "--data", "\(directory)/train.jsonl")
        #expect(file.contains("train.global_batch_size=2 "), "\(file)")
        // The other commands that read data take it too.
        let data = ["--hf-model", bench.scratch.path("toy"), "--data", directory]
        let checked = try BridgeProcess(["data", "check"] + data).wait()
        #expect(
            checked.status == 0 && checked.output.contains("22 rows: 0 invalid"),
            "\(checked.output)\(checked.errors)"
        )
        let validation = try BridgeProcess(["data", "check", "--split", "validation"] + data).wait()
        #expect(validation.output.contains("1 row: 0 invalid"), "\(validation.output)\(validation.errors)")
        #expect(try BridgeProcess(["data", "preview"] + data).wait().status == 0)
        for loss in [[], ["--loss"]] {
            expect(
                try BridgeProcess(["evaluate"] + data + loss).wait(),
                failsWith: 64,
                mentioning: "a data set of several splits",
                "train.jsonl, validation.jsonl"
            )
        }
    }

    /// The family of a Megatron checkpoint is known without a recipe.
    @Test func aMegatronCheckpointIsAModel() throws {
        let bench = try TrainBench()
        let (toy, path) = (bench.scratch.path("toy"), bench.scratch.path("megatron"))
        let made = try BridgeProcess.run("convert", "--hf-model", toy, "--megatron-path", path)
        #expect(made.status == 0, "\(made.errors)")
        let rows = bench.scratch.path("rows.jsonl")
        let (recipe, note) = try plan("--hf-model", path, "--data", rows)
        let (other, _) = try plan("--hf-model", toy, "--data", rows)
        #expect(note.contains("--recipe mistral_7b_finetune_config --pretrained-checkpoint \(path)"), "\(note)")
        #expect(recipe["parts"] == other["parts"] && recipe["schedule"] == other["schedule"])
    }

    /// The type of the data is that of the setting, where it is given.
    @Test func aTypeOfASettingIsKept() throws {
        let bench = try TrainBench()
        let rows = bench.scratch.path("rows.jsonl")
        let model = bench.scratch.path("toy")
        let (recipe, _) = try plan("--hf-model", model, "--data", rows, "dataset.dataset_type=preloaded")
        #expect(recipe[path: "recipe.dataset.dataset_type"]?.string == "preloaded")
    }

    @Test func dataCanBeNamedBySettings() throws {
        let bench = try TrainBench()
        let rows = bench.scratch.path("rows.jsonl")
        try bench.write([TrainBench.rows[1]], to: "more.jsonl")
        let model = Fixtures.checkpoint("mistral")
        let (_, note) = try plan("--hf-model", model, "dataset.source=[\(rows),\(bench.scratch.path("more.jsonl"))]")
        #expect(note.contains("--dataset-type preloaded") && note.contains("train.global_batch_size=1"), "\(note)")
        let (_, packed) = try plan("--hf-model", model, "--data", rows, "dataset.packed_sequence_size=300", "-ms", "3")
        #expect(packed.contains("model.seq_length=300 dataset.seq_length=300"), "\(packed)")
    }

    /// The settings of a finished run, in which those of epochs stand beside what follows from them, are a recipe.
    @Test func theSettingsOfARunWithEpochsAreARecipe() throws {
        let bench = try TrainBench()
        let first = try BridgeProcess([
            "train", "--hf-model", bench.scratch.path("toy"), "--data", bench.scratch.path("rows.jsonl"),
            "checkpoint.save=\(bench.scratch.path("one"))", "dataset.val_set_size=2",
        ]).wait()
        #expect(first.status == 0, "\(first.errors)")
        let last = try #require(bench.iterations("one").last)
        let again = try BridgeProcess([
            "train", "--recipe", bench.scratch.path("one/\(last)/run_config.yaml"),
            "checkpoint.save=\(bench.scratch.path("two"))",
        ]).wait()
        #expect(again.status == 0, "\(again.errors)")
        #expect(bench.iterations("two").last == last)
    }

    @Test(arguments: [
        (["--data", "x"], 64, "name a recipe with --recipe, or a model and data"),
        (["--hf-model", "m"], 64, "name a recipe with --recipe, or a model and data"),
        (["--hf-model", "m", "--pretrained-checkpoint", "n", "--data", "x"], 64, "are the same option"),
        (["--hf-model", "m", "--data", "no such file.jsonl"], 1, "which does not exist"),
        (["--hf-model", "m", "--data", "rows.jsonl"], 1, "which does not exist"),
    ]) func whatIsMissingIsNamed(_ arguments: [String], _ status: Int32, _ words: String) throws {
        expect(try BridgeProcess(["train"] + arguments).wait(), failsWith: status, mentioning: words)
    }
}
