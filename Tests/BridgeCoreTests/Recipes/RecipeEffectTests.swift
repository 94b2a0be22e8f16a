import BridgeCore
import JSONTree
import Testing

/// Settings that another setting leaves without an effect.
@Suite struct RecipeEffectTests {
    private func found(_ settings: [String], readsImages: Bool = true) throws -> [String] {
        var recipe = Recipe(name: "run")
        try recipe.apply(settings)
        let keys = Set(settings.compactMap { Recipe.Change($0)?.fieldKey })
        let abilities = RecipeTemplate.Abilities(readsImages: readsImages)
        return recipe.settingsWithoutEffect(among: keys, abilities: abilities).map(\.problem)
    }

    /// Each setting alone, and the one that gives it an effect.
    static let cases: [(setting: String, more: [String], remedy: [String])] = [
        ("model.num_layers_in_first_pipeline_stage=2", [], ["model.pipeline_model_parallel_size=2"]),
        ("model.account_for_loss_in_pipeline_split=true", [], ["model.pipeline_model_parallel_size=2"]),
        ("model.pipeline_model_parallel_layout=EttL", [], ["model.pipeline_model_parallel_size=2"]),
        (
            "scheduler.weight_decay_incr_style=linear", [],
            ["scheduler.start_weight_decay=0.1", "scheduler.end_weight_decay=0.2"]
        ),
        ("peft.dim=4", [], ["peft.scheme=lora"]), ("peft.alpha=8", [], ["peft.scheme=dora"]),
        ("peft.target_modules=[linear_proj]", [], ["peft.scheme=lora"]),
        ("peft.modules_to_save=[word_embeddings]", [], ["peft.scheme=lora"]),
        ("dataset.maker_name=make_raven_dataset", ["dataset.dataset_type=preloaded"], ["dataset.dataset_type=hf"]),
        ("dataset.path_or_dataset=rows", ["dataset.dataset_type=mock"], ["dataset.dataset_type=hf"]),
        ("dataset.train_data_path=rows.jsonl", ["dataset.dataset_type=hf"], ["dataset.dataset_type=tokenized"]),
        ("dataset.image_folder=images", ["dataset.dataset_type=hf"], ["dataset.dataset_type=preloaded"]),
        ("dataset.num_images=2", ["dataset.dataset_type=preloaded"], ["dataset.dataset_type=mock"]),
        (
            "dataset.packing_algorithm=first_fit_decreasing", ["dataset.packed_sequence_size=-1"],
            ["dataset.packed_sequence_size=4096"]
        ),
        ("dataset.prepared_path=kept", ["dataset.dataset_type=mock"], ["dataset.dataset_type=preloaded"]),
        ("dataset.loss_mode=full", ["dataset.dataset_type=tokenized"], ["dataset.dataset_type=preloaded"]),
        ("dataset.roles_to_train=[user]", ["dataset.dataset_type=tokenized"], ["dataset.dataset_type=preloaded"]),
        (
            "dataset.roles_to_train=[user]", ["dataset.dataset_type=preloaded", "dataset.loss_mode=full"],
            ["dataset.loss_mode=last_turn"]
        ),
        ("peft.init_lora_weights=pissa", [], ["peft.scheme=lora"]),
        (
            "peft.init_lora_weights=pissa", ["peft.scheme=lora", "peft.adapter_name_or_path=a"],
            ["peft.adapter_name_or_path="]
        ),
        ("optimizer.adam_beta1=0.8", ["optimizer.optimizer=sgd"], ["optimizer.optimizer=adam"]),
        ("optimizer.sgd_momentum=0.8", [], ["optimizer.optimizer=sgd"]),
        ("scheduler.lr_wsd_decay_iters=7", [], ["scheduler.lr_decay_style=WSD"]),
        ("scheduler.lr_wsd_decay_fraction=0.1", [], ["scheduler.lr_decay_style=WSD"]),
        (
            "scheduler.lr_wsd_decay_iters=7", ["scheduler.lr_decay_style=WSD", "scheduler.lr_wsd_decay_fraction=0.1"],
            ["scheduler.lr_wsd_decay_fraction=null"]
        ),
        ("scheduler.lr_decay_iters=70", ["scheduler.lr_decay_fraction=0.5"], ["scheduler.lr_decay_fraction=null"]),
        ("scheduler.lr_decay_fraction=0.5", ["scheduler.lr_decay_style=constant"], ["scheduler.lr_decay_style=linear"]),
        ("train.metric_for_best_model=token_accuracy", ["train.eval_interval=0"], ["train.evals_per_epoch=1"]),
        ("optimizer.min_lr=1e-7", ["scheduler.lr_decay_style=constant"], ["scheduler.lr_decay_style=linear"]),
        ("scheduler.lr_decay_iters=70", ["scheduler.lr_decay_style=constant"], ["scheduler.lr_warmup_fraction=0.1"]),
        ("scheduler.lr_warmup_iters=7", ["scheduler.lr_warmup_fraction=0.1"], ["scheduler.lr_warmup_fraction=null"]),
        ("scheduler.lr_warmup_init=1e-7", ["scheduler.lr_warmup_iters=0"], ["scheduler.lr_warmup_iters=3"]),
        (
            "optimizer.weight_decay=0.2", ["scheduler.start_weight_decay=0.1", "scheduler.end_weight_decay=0.1"],
            ["scheduler.start_weight_decay=null"]
        ),
        ("train.eval_iters=7", ["train.eval_interval=0"], ["train.eval_interval=9"]),
        ("train.train_iters=7", ["train.num_epochs=2"], ["train.num_epochs=null"]),
        ("train.train_iters=7", ["train.train_samples=200"], ["train.train_samples=null"]),
        (
            "train.eval_interval=7", ["train.evals_per_epoch=2", "dataset.dataset_type=mock"],
            ["train.evals_per_epoch=null"]
        ),
        ("checkpoint.save_interval=7", ["checkpoint.saves_per_epoch=2"], ["checkpoint.saves_per_epoch=null"]),
        ("checkpoint.ckpt_step=7", [], ["checkpoint.load=run"]),
        ("checkpoint.keep_best=true", ["dataset.dataset_type=preloaded"], ["dataset.val_set_size=0.1"]),
        ("train.patience=2", ["train.eval_interval=0"], ["train.evals_per_epoch=1"]),
        ("train.eval_interval=7", ["train.eval_iters=0"], ["train.eval_iters=9"]),
        (
            "train.eval_interval=7", ["dataset.dataset_type=preloaded"],
            ["dataset.valid_data_path=rows.jsonl", "train.eval_iters=9"]
        ),
    ]

    @Test(arguments: cases) func aSettingThatNothingReadsIsNamedWithWhatToSet(
        _ setting: String,
        _ more: [String],
        _ remedy: [String]
    ) throws {
        let problems = try found([setting] + more)
        let key = setting.prefix { $0 != "=" }
        #expect(problems.contains { $0.hasPrefix("\(key) is ") && $0.contains("has no effect") }, "\(problems)")
        #expect(try !found([setting] + more + remedy).contains { $0.hasPrefix("\(key) is ") })
    }

    @Test(arguments: ["peft.use_rslora=false", "peft.modules_to_save=[]", "train.eval_iters=0", "optimizer.min_lr=0"])
    func whatSwitchesSomethingOffThatIsOffIsAccepted(_ setting: String) throws {
        #expect(try found([setting, "scheduler.lr_decay_style=constant", "train.eval_interval=0"]).isEmpty)
    }

    @Test func aFamilyWithoutVisionTowerHasNoneToFreeze() throws {
        #expect(try found(["model.freeze_vision_model=true"], readsImages: false).count == 1)
        #expect(try found(["model.freeze_vision_model=true"]).isEmpty)
    }

    @Test func imagesForAFamilyThatReadsTextOnlyAreABrokenRule() throws {
        var recipe = Recipe(name: "run")
        try recipe.apply(["checkpoint.pretrained_checkpoint=model", "dataset.dataset_type=mock"])
        let abilities = RecipeTemplate.Abilities(readsImages: false)
        #expect(RecipeCheck(recipe, abilities: abilities).problems.contains { $0.contains("set dataset.num_images=0") })
        try recipe.apply(["dataset.num_images=0"])
        #expect(RecipeCheck(recipe, abilities: abilities).problems.isEmpty)
    }
}
