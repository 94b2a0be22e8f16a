import ArgumentParser
import JSONTree
import Recipes
import TestSupport
import Testing

@testable import bridge

/// Command lines of Megatron Bridge's pages behind `bridge train` and `bridge recipes check`.
@Suite struct TrainingFlagTests {
    /// The recipe of a command line, whose model is not opened.
    private func check(_ arguments: [String]) throws -> JSON {
        let words = CommandWords(["recipes", "check"] + arguments)
        #expect(words.problem == nil)
        let command = try #require(try BridgeCommand.parseAsRoot(words.words) as? Recipes.Check)
        return try command.options.resolved(command.plugins.catalog(), dataParallelSize: 1).json
    }

    /// Recipe, full name, layout, micro-batch, learning rates: Megatron Bridge's main branch of 2026-08-22,
    /// `recipes/{ministral3,gemma3_vl}/h100/*.py`.
    @Test(arguments: [
        ("ministral3_3b_sft", "1gpu", 1, 1, 1, 5e-6, 5e-7), ("ministral3_8b_sft", "2gpu", 2, 1, 1, 5e-6, 5e-7),
        ("ministral3_14b_sft", "4gpu", 4, 1, 1, 5e-6, 5e-7), ("ministral3_3b_peft", "1gpu", 1, 1, 1, 2e-4, 2e-5),
        ("ministral3_8b_peft", "1gpu", 1, 1, 1, 2e-4, 2e-5), ("ministral3_14b_peft", "2gpu", 2, 1, 1, 2e-4, 2e-5),
        ("gemma3_vl_4b_sft", "1gpu", 1, 1, 2, 5e-5, 5e-6), ("gemma3_vl_12b_sft", "4gpu", 4, 1, 2, 5e-5, 5e-6),
        ("gemma3_vl_27b_sft", "16gpu", 8, 2, 2, 5e-5, 5e-6), ("gemma3_vl_4b_peft", "1gpu", 1, 1, 2, 2e-4, 2e-5),
        ("gemma3_vl_12b_peft", "1gpu", 1, 1, 2, 2e-4, 2e-5), ("gemma3_vl_27b_peft", "4gpu", 4, 1, 2, 2e-4, 2e-5),
    ])
    func theRecipesForOneModeHaveMegatronBridgesValues(
        _ stem: String,
        _ devices: String,
        _ tensor: Int,
        _ pipeline: Int,
        _ microBatch: Int,
        _ rate: Double,
        _ lowest: Double
    ) throws {
        let shown = try BridgeProcess.run("recipes", "show", "\(stem)_config", "--json")
        let alias = try BridgeProcess.run("recipes", "show", "\(stem)_\(devices)_h100_bf16_config", "--json")
        #expect(shown.status == 0 && shown.output == alias.output, "\(alias.errors)")
        let json = try JSON(parsing: Array(shown.output.utf8))
        #expect(json[path: "model.tensor_model_parallel_size"]?.integer == tensor)
        #expect(json[path: "model.pipeline_model_parallel_size"]?.integer == pipeline)
        #expect(json[path: "train.micro_batch_size"]?.integer == microBatch)
        #expect(json[path: "optimizer.lr"]?.double == rate && json[path: "optimizer.min_lr"]?.double == lowest)
        #expect(json[path: "peft.scheme"]?.string == (stem.hasSuffix("peft") ? "lora" : "none"))
        #expect(json[path: "train.global_batch_size"] == 32 && json[path: "train.train_iters"] == 50)
        #expect(json[path: "train.eval_interval"] == 5 && json[path: "train.eval_iters"] == 10)
        #expect(json[path: "scheduler.lr_warmup_iters"] == 10 && json[path: "scheduler.lr_decay_iters"] == 50)
    }

    @Test func shortFlagsSetTheirSettings() throws {
        let json = try check([
            "--recipe", "gemma3_vl_4b_peft_config", "--mode", "dora", "--step_func", "vlm_step",
            "--pretrained_checkpoint", "weights", "-ms", "70", "-gb", "12", "-mb", "3", "-sl", "512", "-tp", "2", "-pp",
            "3", "-cp", "5", "-vp", "1", "--lr", "0.25", "--min_lr", "0.125", "--warmup_iters", "6", "--save_dir",
            "out",
            "--load_dir", "in", "--save_interval", "9",
        ])
        let expected: [(String, JSON)] = [
            ("checkpoint.pretrained_checkpoint", "weights"), ("train.train_iters", 70), ("train.global_batch_size", 12),
            ("train.micro_batch_size", 3), ("model.seq_length", 512), ("dataset.seq_length", 512),
            ("model.tensor_model_parallel_size", 2), ("model.pipeline_model_parallel_size", 3),
            ("model.context_parallel_size", 5), ("optimizer.lr", 0.25), ("optimizer.min_lr", 0.125),
            ("scheduler.lr_warmup_iters", 6), ("checkpoint.save", "out"), ("checkpoint.load", "in"),
            ("checkpoint.save_interval", 9), ("peft.scheme", "dora"), ("peft.alpha", 64.0),
        ]
        for (key, value) in expected { #expect(json[path: key] == value, "\(key)") }
    }

    @Test(arguments: [
        (
            ["-gb", "8", "train.global_batch_size=16"],
            "-gb is 8 and train.global_batch_size is 16, but they are the same setting; give one of them"
        ),
        (
            ["checkpoint.pretrained_checkpoint=other"],
            "--pretrained-checkpoint is weights and checkpoint.pretrained_checkpoint is other, but they are the same setting; "
                + "give one of them"
        ),
        (
            ["--train-iters", "3", "train.train_iters=4"],
            "--train-iters is 3 and train.train_iters is 4, but they are the same setting; give one of them"
        ),
        (
            ["--mode", "lora", "peft.scheme=dora"],
            "--mode is lora and peft.scheme is dora, but they are the same setting; give one of them"
        ),
        (
            ["peft.scheme=dora", "--peft-scheme", "lora"],
            "--peft-scheme is lora and peft.scheme is dora, but they are the same setting; give one of them"
        ),
        (
            ["--freeze-vision-model", "model.freeze_vision_model=false"],
            "--freeze-vision-model is true and model.freeze_vision_model is false, but they are the same setting; give one of them"
        ),
        (
            ["--freeze-vision-projection", "model.freeze_vision_projection=false"],
            "--freeze-vision-projection is true and model.freeze_vision_projection is false, but they are the same setting; "
                + "give one of them"
        ),
        (
            ["--freeze-language-model", "--vision-lora", "model.freeze_language_model=false"],
            "--freeze-language-model is true and model.freeze_language_model is false, but they are the same setting; give one of them"
        ),
        (
            ["peft.vision_lora=false", "--vision-lora"],
            "--vision-lora is true and peft.vision_lora is false, but they are the same setting; give one of them"
        ),
        (
            ["--dataset-type", "mock", "dataset.dataset_type=hf"],
            "--dataset-type is mock and dataset.dataset_type is hf, but they are the same setting; give one of them"
        ),
        (["-ms", "many"], "train.train_iters is 'many', expected a whole number"),
        (
            ["-vp", "many"],
            "model.virtual_pipeline_model_parallel_size is 'many', expected a whole number, or null"
        ),
        (
            ["--mode", "dora", "--peft-scheme", "lora"],
            "--peft-scheme is lora and --mode means dora, but they are the same setting; give one of them"
        ),
        (
            ["--mode", "sft"],
            "ministral3_3b_peft_config does not support the adapter scheme none, expected lora or dora; "
                + "'bridge recipes list' shows the other recipes"
        ),
    ])
    func aFlagThatCannotBeUsedIsExplained(_ flags: [String], _ sentence: String) throws {
        let outcome = try BridgeProcess(
            ["train", "--recipe", "ministral3_3b_peft_config", "--pretrained_checkpoint", "weights"] + flags
        ).wait()
        #expect(outcome.status == 64 && outcome.sentence == sentence, "\(outcome.errors)")
    }

    @Test(arguments: ["-tp", "-pp", "-cp"])
    func aLayoutOfSeveralRanksIsRefusedForTraining(_ flag: String) throws {
        let outcome = try BridgeProcess([
            "train", "--recipe", "ministral3_3b_peft_config", "--pretrained_checkpoint", "weights", flag, "2",
        ]).wait()
        #expect(outcome.status != 0)
        #expect(
            outcome.sentence.hasPrefix(
                "the settings shard the model across 2 ranks, and there is one; add --nproc-per-node 2"
            ),
            "\(outcome.errors)"
        )
    }

    /// The command of Megatron Bridge's `examples/models/mistral/ministral3/sft_unpacked.sh` (0.7), with TP and PP 1.
    @Test func theCommandOfMegatronBridgesSFTScriptIsUnderstood() throws {
        let json = try check([
            "--recipe", "ministral3_3b_sft_config", "--step_func", "vlm_step",
            "checkpoint.pretrained_checkpoint=/workspace/models/Ministral-3-3B-Instruct-2512-BF16",
            "model.seq_length=4096",
            "train.train_iters=100", "train.global_batch_size=16", "train.micro_batch_size=1",
            "validation.eval_iters=20",
            "optimizer.lr=0.00001", "optimizer.min_lr=0.000001", "scheduler.lr_warmup_iters=10",
            "checkpoint.save=results",
            "logger.log_interval=1", "logger.wandb_project=megatron-bridge-cord_v2",
            "logger.wandb_exp_name=ministral3_3b",
            "dataset.source.path_or_dataset=naver-clova-ix/cord-v2", "dataset.source.schema_adapter=cord_v2",
            "dataset.seq_length=4096", "dataset.enable_in_batch_packing=False", "model.tensor_model_parallel_size=1",
            "model.pipeline_model_parallel_size=1",
        ])
        #expect(json[path: "train.eval_iters"] == 20 && json[path: "optimizer.lr"]?.double == 1e-5)
        #expect(json[path: "dataset.path_or_dataset"] == "naver-clova-ix/cord-v2")
        #expect(json[path: "dataset.maker_name"] == "cord_v2" && json[path: "peft.scheme"] == "none")
    }
}
