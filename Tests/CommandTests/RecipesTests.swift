import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge recipes`, with the recipes of the real plugins.
@Suite struct RecipesTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// Model, scheme, tensor and pipeline size, global batch, learning rate: the tables "Recommended Configurations" of
    /// Megatron Bridge's documentation of both families with images, the smaller of two batch sizes.
    @Test(arguments: [
        ("ministral3_3b", "none", 1, 1, 32, 5e-6), ("ministral3_3b", "lora", 1, 1, 64, 1e-4),
        ("ministral3_8b", "none", 2, 1, 32, 5e-6), ("ministral3_8b", "dora", 1, 1, 64, 1e-4),
        ("ministral3_14b", "none", 4, 1, 16, 5e-6), ("ministral3_14b", "lora", 2, 1, 32, 1e-4),
        ("gemma3_vl_4b", "none", 1, 1, 32, 5e-6), ("gemma3_vl_4b", "dora", 1, 1, 64, 1e-4),
        ("gemma3_vl_12b", "none", 4, 1, 32, 5e-6), ("gemma3_vl_12b", "lora", 1, 1, 64, 1e-4),
        ("gemma3_vl_27b", "none", 8, 2, 16, 5e-6), ("gemma3_vl_27b", "lora", 4, 1, 32, 1e-4),
    ])
    func theRecommendedNumbersAreThoseOfTheTables(
        _ model: String,
        _ scheme: String,
        _ tensor: Int,
        _ pipeline: Int,
        _ batch: Int,
        _ rate: Double
    ) throws {
        let outcome = try BridgeProcess(
            ["recipes", "show", "\(model)_finetune_config", "--peft-scheme", scheme, "--json"]
        ).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json[path: "model.tensor_model_parallel_size"]?.integer == tensor)
        #expect(json[path: "model.pipeline_model_parallel_size"]?.integer == pipeline)
        #expect(json[path: "train.global_batch_size"]?.integer == batch)
        #expect(json[path: "optimizer.lr"]?.double == rate)
        #expect(json[path: "peft.scheme"]?.string == scheme)
        #expect(json[path: "peft.alpha"]?.double == (scheme == "dora" ? 64 : 32))
    }

    @Test func theListHasEveryRecipe() throws {
        let outcome = try BridgeProcess.run("recipes", "list", "--json")
        let names = try JSON(parsing: Array(outcome.output.utf8)).array?.compactMap { $0["name"]?.string }
        // Megatron Bridge has no recipe for Mistral, and since 0.6 one for each way of training of the other families.
        let models = [
            "gemma3_vl_12b", "gemma3_vl_27b", "gemma3_vl_4b", "ministral3_14b", "ministral3_3b", "ministral3_8b",
        ]
        #expect(
            names == models.flatMap { ["\($0)_finetune_config", "\($0)_peft_config", "\($0)_sft_config"] }
                + ["mistral_7b_finetune_config", "mistral_small_24b_finetune_config"]
        )
    }

    @Test func whatShowPrintsIsTheSameRecipe() throws {
        let shown = try BridgeProcess.run("recipes", "show", "ministral3_8b_finetune_config", "peft.scheme=dora")
        #expect(shown.output.contains("\n  global_batch_size: 64\n"))
        try Data(shown.output.utf8).write(to: scratch.url("run.yaml"))
        let again = try BridgeProcess.run("recipes", "show", scratch.path("run.yaml"))
        #expect(again.output == shown.output)
        try Data("recipe: ministral3_8b_finetune_config\npeft: {scheme: dora}\nrng: {seed: 9}\n".utf8)
            .write(to: scratch.url("short.yaml"))
        let difference = try BridgeProcess.run(
            "recipes",
            "diff",
            scratch.path("run.yaml"),
            scratch.path("short.yaml"),
            "--json"
        )
        #expect(try JSON(parsing: Array(difference.output.utf8)) == ["rng.seed": [1234, 9]])
    }

    @Test func differencesStandSideBySide() throws {
        let outcome = try BridgeProcess.run(
            "recipes",
            "diff",
            "ministral3_3b_finetune_config",
            "ministral3_8b_finetune_config"
        )
        let lines = outcome.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.contains(["model.tensor_model_parallel_size", "1", "2"]))
        #expect(lines.count == 4)
    }

    @Test(arguments: [
        (
            ["ministral3_3b_finetun_config"],
            "there is no recipe ministral3_3b_finetun_config, did you mean ministral3_3b_finetune_config?"
        ),
        (["mistral_7b_finetune_config", "train.lr=1"], "train.lr is not a setting, did you mean optimizer.lr?"),
        (["mistral_7b_finetune_config", "train.train_iters=x"], "train.train_iters is 'x', expected a whole number"),
    ])
    func aMistakeIsExplained(_ arguments: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(["recipes", "show"] + arguments).wait()
        #expect(outcome.status == 64 && outcome.sentence == sentence, "\(outcome.errors)")
    }

    @Test func aMissingFileIsNamed() throws {
        let outcome = try BridgeProcess.run("recipes", "show", "nowhere/run.yaml")
        #expect(outcome.status == 1 && outcome.sentence.contains("nowhere/run.yaml"))
    }

    /// A model of a family, of which a check needs everything besides the weights.
    private func toy(_ family: String) throws -> String {
        let path = scratch.path(family)
        let made = try BridgeProcess.run("toy", "--family", family, "--output", path)
        #expect(made.status == 0, "\(made.errors)")
        return path
    }

    /// A run as `bridge train` would get it.
    private func checked(_ arguments: [String], _ environment: [String: String] = [:]) throws -> JSON {
        let none = ["SAVE_DIR": "", "WORKSPACE": ""]
        let outcome = try BridgeProcess(
            ["recipes", "check", "--json"] + arguments,
            environment: none.merging(environment) { $1 }
        ).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSON(parsing: Array(outcome.output.utf8))
    }

    @Test func flagsAndSettingsMakeTheRun() throws {
        let weights = try toy("ministral3")
        let json = try checked([
            "--recipe", "ministral3_14b_finetune_config", "--pretrained-checkpoint", weights, "--dataset-type",
            "mock",
            "--peft-scheme", "dora", "--freeze-language-model", "--freeze-vision-projection", "--vision-lora",
            "train.train_iters=60", "dataset.dataset_type=mock", "peft.dim=7",
        ])
        #expect(json[path: "checkpoint.pretrained_checkpoint"] == .string(weights))
        #expect(json[path: "peft.scheme"] == "dora")
        #expect(json[path: "train.global_batch_size"] == 32)
        #expect(json[path: "model.freeze_language_model"] == true)
        #expect(json[path: "model.freeze_vision_projection"] == true)
        #expect(json[path: "peft.vision_lora"] == true)
        #expect(json[path: "train.train_iters"] == 60)
        #expect(json[path: "peft.dim"] == 7)
        #expect(json[path: "dataset.dataset_type"] == "mock")
    }

    @Test func filesAreInTheDirectoriesOfTheEnvironment() throws {
        let run = [
            "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", try toy("mistral"), "--dataset-type",
            "mock", "dataset.num_images=0",
        ]
        let (work, saved) = (scratch.path("work"), scratch.path("saved"))
        for (environment, root) in [
            ([:], "nemo_experiments"), (["WORKSPACE": work], "\(work)/results"),
            (["WORKSPACE": work, "SAVE_DIR": saved], saved),
        ] {
            let json = try checked(run, environment)
            #expect(json[path: "checkpoint.save"]?.string == "\(root)/mistral_7b_finetune_config/checkpoints")
            #expect(json[path: "logger.tensorboard_dir"]?.string == "\(root)/mistral_7b_finetune_config/tb_logs")
        }
        let json = try checked(run + ["checkpoint.save=mine", "name=a/b"], ["SAVE_DIR": saved])
        #expect(json[path: "checkpoint.save"]?.string == "mine")
        #expect(json[path: "logger.tensorboard_dir"]?.string == "\(saved)/a_b/tb_logs")
    }

    @Test func everyReasonWhyARunCannotBeginIsPrinted() throws {
        let outcome = try BridgeProcess([
            "recipes", "check", "--recipe", "gemma3_vl_4b_finetune_config", "--data-parallel-size", "5",
            "dataset.seq_length=77",
        ]).wait()
        #expect(outcome.status == 64)
        for key in ["train.global_batch_size is 32", "dataset.seq_length is 77", "checkpoint.pretrained_checkpoint"] {
            #expect(outcome.errors.contains(key), "\(outcome.errors)")
        }
    }

    @Test func aFrozenTowerIsFrozen() throws {
        let json = try checked([
            "--recipe", "ministral3_3b_finetune_config", "--pretrained-checkpoint", try toy("ministral3"),
            "--freeze-vision-model",
        ])
        #expect(json[path: "model.freeze_vision_model"] == true)
    }

    @Test func aWrongKindOfValueDoesNotHideBrokenRules() throws {
        let outcome = try BridgeProcess.run(
            "recipes",
            "check",
            "--recipe",
            "mistral_7b_finetune_config",
            "train.train_iters=x",
            "peft.scheme=qlora",
            "optimizer.min_lr=1"
        )
        expect(
            outcome,
            failsWith: 64,
            mentioning: "train.train_iters is 'x'",
            "peft.scheme is 'qlora'",
            "optimizer.min_lr is 1.0",
            "checkpoint.pretrained_checkpoint is empty"
        )
    }

    @Test func settingsAreListedWithTheirMeaning() throws {
        let outcome = try BridgeProcess.run("recipes", "settings", "optimizer")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        // The section, and other settings whose name or value mentions the word.
        #expect(lines[0].hasPrefix("SETTING") && lines.count { $0.hasPrefix("optimizer.") } == 15)
        #expect(lines[1].contains("optimizer.optimizer") && lines[1].contains("adam or sgd"))
        #expect(lines[1].contains("  adam  ") && lines[1].hasSuffix("."))
        let json = try JSON(parsing: Array(BridgeProcess.run("recipes", "settings", "--json").output.utf8))
        let all = try #require(json.array)
        #expect(all.count > 60 && all.allSatisfy { !($0["meaning"]?.string ?? "").isEmpty })
        #expect(all.first { $0["name"] == "train.eval_iters" }?["default"] == 32)
        #expect(all.first { $0["name"] == "train.eval_iters" }?["aliases"] == ["validation.eval_iters"])
        expect(
            try BridgeProcess.run("recipes", "settings", "nothing"),
            failsWith: 64,
            mentioning: "nothing is not a setting"
        )
    }

    @Test func aSchemeThatDoesNotExistIsWrongUsage() throws {
        let outcome = try BridgeProcess(["recipes", "show", "mistral_7b_finetune_config", "--peft-scheme", "qlora"])
            .wait()
        #expect(outcome.status == 64 && outcome.errors.contains("expected none, lora or dora"))
    }

    @Test func aPrintedRecipeStillKnowsWhatItsFamilyCannotDo() throws {
        let shown = try BridgeProcess.run("recipes", "show", "mistral_7b_finetune_config")
        try Data(shown.output.utf8).write(to: scratch.url("run.yaml"))
        let outcome = try BridgeProcess.run(
            "recipes",
            "check",
            "--recipe",
            scratch.path("run.yaml"),
            "--pretrained-checkpoint",
            "weights",
            "dataset.dataset_type=mock",
            "dataset.num_images=2"
        )
        #expect(outcome.status == 64 && outcome.sentence.contains("dataset.num_images is 2"), "\(outcome.errors)")
    }

    @Test func aChangedWeightDecayIsTheWeightDecayOfTheRun() throws {
        let json = try checked([
            "--recipe", "ministral3_3b_finetune_config", "--pretrained-checkpoint", try toy("ministral3"),
            "optimizer.weight_decay=0.01",
        ])
        #expect(json[path: "scheduler.start_weight_decay"] == .null)
        #expect(json[path: "scheduler.end_weight_decay"] == .null)
        #expect(json[path: "optimizer.weight_decay"] == 0.01)
    }
}
