import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge train` and `bridge recipes check` refuse what a run would not do as asked.
@Suite struct RunEffectTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    /// The run itself, its dry run and its check, which refuse the same.
    private func outcomes(_ settings: [String]) throws -> [BridgeProcess.Outcome] {
        var run = bench.arguments("run").filter { argument in
            !settings.contains { $0.prefix { $0 != "=" } == argument.prefix { $0 != "=" } }
        }
        // The option and the setting mean the same.
        if settings.contains(where: { $0.hasPrefix("checkpoint.pretrained_checkpoint=") }),
            let option = run.firstIndex(of: "--pretrained-checkpoint")
        {
            run.removeSubrange(option...option + 1)
        }
        return try [run + settings, run + settings + ["--dry-run"], ["recipes", "check"] + run.dropFirst() + settings]
            .map { try BridgeProcess($0).wait() }
    }

    private func refuses(_ settings: [String], status: Int32 = 64, _ words: String...) throws {
        for outcome in try outcomes(settings) {
            expect(outcome, failsWith: status)
            for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
        }
        #expect(bench.iterations("run").isEmpty)
    }

    @Test func adaptersWithoutASchemeAreRefused() throws {
        try refuses(["peft.dim=4"], "peft.dim is 4, which has no effect", "--peft-scheme")
    }

    @Test func aMakerForRowsThatNeedNoneIsRefused() throws {
        try refuses(["dataset.maker_name=make_cord_v2_dataset"], "dataset.maker_name", "dataset.dataset_type=hf")
    }

    @Test func longerRowsThanTheModelTakesAreRefused() throws {
        // The toy takes 512 tokens.
        let rows = ["dataset.seq_length=513", "model.seq_length=513"]
        try refuses(rows, "are 513", "at most 512 tokens", "max_position_embeddings")
        let most = ["dataset.seq_length=512", "model.seq_length=512"]
        #expect(try BridgeProcess(bench.arguments("run") + most + ["--dry-run"]).wait().status == 0)
    }

    @Test func theLengthThatARecipeRecommendsIsLoweredToTheModels() throws {
        let run = bench.arguments("run").filter { !$0.contains("seq_length") }
        let outcome = try BridgeProcess(run + ["--dry-run", "--json"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("are 512, the maximum of"), "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        let checked = try BridgeProcess(["recipes", "check"] + run.dropFirst() + ["--json"]).wait()
        #expect(try JSON(parsing: Array(checked.output.utf8))[path: "model.seq_length"] == 512, "\(checked.errors)")
        #expect(json[path: "recipe.dataset.seq_length"] == 512 && json[path: "recipe.model.seq_length"] == 512)
    }

    @Test func aRecipeOfAnotherFamilyIsRefused() throws {
        let run = bench.arguments("run", recipe: "ministral3_3b_finetune_config")
        for arguments in [run, run + ["--dry-run"], ["recipes", "check"] + run.dropFirst()] {
            let outcome = try BridgeProcess(arguments).wait()
            expect(outcome, failsWith: 64, mentioning: "ministral3_3b_finetune_config", "family", "hf_path=")
        }
        #expect(try BridgeProcess(run + ["hf_path=", "--dry-run"]).wait().status == 0)
    }

    @Test func imagesForAModelThatReadsTextOnlyAreRefused() throws {
        let recipe = ["--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", bench.scratch.path("toy")]
        for command in [["recipes", "check"], ["train"]] {
            let mock = command + recipe + ["--dataset-type", "mock"]
            expect(try BridgeProcess(mock).wait(), failsWith: 64, mentioning: "set dataset.num_images=0")
        }
        let save = "checkpoint.save=\(bench.scratch.path("run"))"
        let text = ["recipes", "check"] + recipe + ["--dataset-type", "mock", "dataset.num_images=0", save]
        #expect(try BridgeProcess(text).wait().status == 0)
    }

    @Test(arguments: ["checkpoint.pretrained_checkpoint", "dataset.train_data_path"])
    func pathsThatDoNotExistAreRefused(_ setting: String) throws {
        let nowhere = bench.scratch.path("nowhere")
        try refuses(["\(setting)=\(nowhere)"], status: 1, nowhere)
    }

    @Test func aFileWithSettingsWithoutEffectIsRefusedUnlessTheCommandLineChangesTheirSection() throws {
        let file = bench.scratch.path("run.yaml")
        try Data("recipe: mistral_7b_finetune_config\npeft:\n  dim: 5\n".utf8).write(to: URL(fileURLWithPath: file))
        let run = bench.arguments("run", recipe: file) + ["--dry-run"]
        expect(try BridgeProcess(run).wait(), failsWith: 64, mentioning: "peft.dim is 5, which has no effect")
        #expect(try BridgeProcess(run + ["--peft-scheme", "lora"]).wait().status == 0)
        #expect(try BridgeProcess(run + ["--peft-scheme", "none"]).wait().status == 0)
    }

    /// The toy of these tests is the one that the example names.
    @Test func theExampleInTheHelpOfTheCheckIsARunThatCanStart() throws {
        let help = try BridgeProcess(["recipes", "check", "--help"], environment: ["COLUMNS": "1000"]).wait().output
        let start = try #require(help.range(of: "  bridge recipes check")).lowerBound
        let lines = help[start...].split(separator: "\n")
        let last = try #require(lines.firstIndex { !$0.hasSuffix("\\") })
        let example = lines[...last].joined(separator: "\n")
        let outcome = try BridgeProcess(
            [],
            shell: "PROGRAM=$1; bridge() { \"$PROGRAM\" \"$@\"; }; cd '\(bench.scratch.path)'; eval \"$EXAMPLE\"",
            environment: ["EXAMPLE": example, "SAVE_DIR": "", "WORKSPACE": ""]
        ).wait()
        #expect(outcome.status == 0 && outcome.output.contains("mistral_7b_finetune_config"), "\(outcome.errors)")
    }

    @Test func aFileWithARecommendedRecipeIsThatRecipe() throws {
        for (family, recipe) in [
            ("mistral", "mistral_7b_finetune_config"), ("ministral3", "ministral3_3b_finetune_config"),
            ("gemma3", "gemma3_vl_4b_finetune_config"),
        ] {
            let bench = try TrainBench(family)
            for scheme in [[], ["--peft-scheme", "dora"]] {
                let shown = try BridgeProcess(["recipes", "show", recipe] + scheme).wait().output
                try Data(shown.utf8).write(to: bench.scratch.url("run.yaml"))
                let outcome = try BridgeProcess.run(
                    "train",
                    "--recipe",
                    bench.scratch.path("run.yaml"),
                    "--dry-run",
                    "--pretrained-checkpoint",
                    bench.scratch.path("toy"),
                    "--dataset-type",
                    "preloaded",
                    "dataset.train_data_path=\(bench.scratch.path("rows.jsonl"))",
                    "checkpoint.save=\(bench.scratch.path("run"))"
                )
                #expect(outcome.status == 0, "\(recipe): \(outcome.errors)")
            }
        }
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aFullDiskAtTheLastSaveReportsWhatIsLost() throws {
        // A checkpoint of the toy with the optimizer's state takes about 3 MB; two of them do not fit.
        let disk = try SmallDisk(at: bench.scratch.url("disk"), kilobytes: 4500)
        let save = disk.url.appendingPathComponent("run").path
        let run =
            bench.arguments("run").filter { !$0.hasPrefix("checkpoint.save") }
            + ["checkpoint.save=\(save)", "checkpoint.save_interval=4"]
        let outcome = try BridgeProcess(run).wait()
        expect(
            outcome,
            failsWith: 1,
            mentioning: "the checkpoint of step 6 could not be written",
            "the last one is that of step 4, \(save)/iter_0000004",
            "2 steps are lost",
            "free some space"
        )
        #expect(!outcome.errors.contains(".partial"), "\(outcome.errors)")
    }
}
