import JSONTree

/// Settings that a run does not read, because another setting selects something else.
extension Recipe {
    /// Settings without an effect, the condition and the reason.
    private struct Ineffective {
        let keys: [String]
        let reason: String
        let holds: @Sendable (Recipe, RecipeTemplate.Abilities) -> Bool

        init(_ keys: [String], _ reason: String, _ holds: @escaping @Sendable (Recipe) -> Bool) {
            (self.keys, self.reason) = (keys, reason)
            self.holds = { recipe, _ in holds(recipe) }
        }

        init(keys: [String], _ reason: String, ofFamily holds: @escaping @Sendable (RecipeTemplate.Abilities) -> Bool) {
            (self.keys, self.reason) = (keys, reason)
            self.holds = { _, abilities in holds(abilities) }
        }
    }

    /// The settings among those given that have no effect in this recipe.
    ///
    /// A setting that disables something already disabled is not listed.
    ///
    /// - Parameters:
    ///   - keys: The keys of the settings that the user has given.
    ///   - abilities: The features that the family supports.
    /// - Returns: Each setting with a sentence: why it has no effect, and what to set instead.
    public func settingsWithoutEffect(
        among keys: Set<String>,
        abilities: RecipeTemplate.Abilities = RecipeTemplate.Abilities()
    ) -> [Refusal] {
        var found: Set<String> = []
        return Self.ineffective.filter { $0.holds(self, abilities) }.flatMap { rule in
            rule.keys.compactMap { key in
                guard keys.contains(key), let field = RecipeTable.field(key),
                    case let value = field.value(of: self), !Self.isOff(value, field),
                    found.insert(key).inserted
                else { return nil }
                let text = RecipeField.shortened(RecipeField.text(value))
                return Refusal(key: key, problem: "\(key) is \(text), which has no effect: \(rule.reason)")
            }
        }
    }

    /// Whether a value selects nothing; false does where true is the default.
    private static func isOff(_ value: JSON, _ field: RecipeField) -> Bool {
        if value == false { return field.value(of: Recipe(name: "")) != true }
        return value.isNull || value == "" || value == [] || value.double == 0
    }

    private static let ineffective: [Ineffective] =
        layout + adapters + data + schedule + validation + overlap + epochs + preferences + saving
        + tracking

    /// The settings of pipeline stages, which one stage does not have.
    public static let stageKeys = [
        "model.num_layers_in_first_pipeline_stage", "model.num_layers_in_last_pipeline_stage",
        "model.account_for_embedding_in_pipeline_split", "model.account_for_loss_in_pipeline_split",
        "model.pipeline_model_parallel_layout",
    ]

    private static var layout: [Ineffective] {
        [
            Ineffective(
                stageKeys,
                "model.pipeline_model_parallel_size is 1; set it to the number of pipeline-parallel ranks (--pp)"
            ) { $0.model.pipelineModelParallelSize == 1 }
        ]
    }

    /// The settings of new adapters.
    private static let keysOfNewAdapters = [
        "peft.dim", "peft.alpha", "peft.use_rslora", "peft.init_lora_weights", "peft.canonical", "peft.target_modules",
        "peft.exclude_modules", "peft.vision_lora", "peft.finetune_language_layers", "peft.finetune_attention_modules",
        "peft.finetune_mlp_modules", "peft.modules_to_save",
    ]

    private static var adapters: [Ineffective] {
        let keys = RecipeTable.fields.map(\.key).filter { $0.hasPrefix("peft.") && $0 != "peft.scheme" }
        return [
            Ineffective(
                ["model.quantization_group_size"],
                "all weights keep their type; set model.load_in_4bit=true or model.load_in_8bit=true"
            ) { !$0.model.isQuantized },
            Ineffective(
                keys,
                "peft.scheme is none, which trains the model itself; set peft.scheme=lora or dora (--peft-scheme)"
            ) { $0.peft.scheme == .none },
            Ineffective(
                keysOfNewAdapters,
                "the adapter of peft.adapter_name_or_path has its own; remove the setting"
            ) { !$0.peft.adapterNameOrPath.isEmpty },
            Ineffective(
                ["optimizer.adapter_lr"],
                "peft.scheme is none, so there are no adapters; set peft.scheme=lora or dora (--peft-scheme)"
            ) { $0.peft.scheme == .none },
            frozen("optimizer.vision_model_lr", "vision tower", ["vision_tower"], \.model.freezeVisionModel),
            frozen(
                "optimizer.vision_projection_lr",
                "projector",
                ["multi_modal_projector"],
                \.model.freezeVisionProjection
            ),
            frozen(
                "optimizer.embedding_lr",
                "embedding",
                ["word_embeddings", "output_layer", "language_model"],
                \.model.freezeLanguageModel
            ),
            Ineffective(
                keys: [
                    "model.freeze_vision_model", "model.freeze_vision_projection", "dataset.image_folder",
                    "optimizer.vision_model_lr", "optimizer.vision_projection_lr",
                ],
                "this family reads text only; remove the setting",
                ofFamily: { !$0.readsImages }
            ),
        ]
    }

    /// The learning rate of a part that is not trained.
    private static func frozen(
        _ key: String,
        _ part: String,
        _ modules: Set<String>,
        _ isFrozen: any KeyPath<Recipe, Bool> & Sendable
    ) -> Ineffective {
        Ineffective(
            [key],
            "the \(part) is not trained; with adapters peft.modules_to_save has to name it, and no setting may freeze it"
        ) { recipe in
            recipe[keyPath: isFrozen]
                || recipe.peft.scheme != .none && modules.isDisjoint(with: recipe.peft.modulesToSave)
        }
    }

    private static var data: [Ineffective] {
        func only(_ keys: [String], _ kinds: [DatasetSection.Kind]) -> Ineffective {
            let names = kinds.map(\.rawValue).joined(separator: " or ")
            return Ineffective(
                keys.map { "dataset.\($0)" },
                "dataset.dataset_type is not \(names); set dataset.dataset_type=\(kinds[0].rawValue) "
                    + "(--dataset-type), or remove the setting"
            ) { !kinds.contains($0.dataset.datasetType) }
        }
        return [
            only(["maker_name", "path_or_dataset"], [.hf]),
            only(
                ["train_data_path", "valid_data_path", "validation_source", "image_folder"],
                [.preloaded, .tokenized]
            ),
            only(["source", "prepared_path"], [.preloaded, .tokenized, .hf]),
            Ineffective(
                ["dataset.packing_algorithm"],
                "dataset.packed_sequence_size is 0, so no samples are packed before the run; set it, or remove the setting"
            ) { !$0.dataset.packsAhead },
            Ineffective(
                ["dataset.blend", "dataset.blend_seed", "dataset.source_weights"],
                "dataset.source names no data sets to join; set it, or remove the setting"
            ) { $0.dataset.source.isEmpty },
            Ineffective(
                ["dataset.blend_seed"],
                "dataset.source_weights is empty, so nothing is chosen at random; set it, or remove the setting"
            ) { $0.dataset.sourceWeights.isEmpty },
            only(["num_images"], [.mock]),
            only(["date"], [.preloaded, .hf, .mock]),
            Ineffective(
                ["dataset.roles_to_train"],
                "dataset.loss_mode is full, which trains all messages; set dataset.loss_mode=assistant, or remove the setting"
            ) { $0.dataset.lossMode == .full },
            Ineffective(
                ["dataset.loss_mode", "dataset.roles_to_train"],
                "dataset.dataset_type is tokenized, whose rows have labels; set dataset.dataset_type=preloaded (--dataset-type), or remove "
                    + "the setting"
            ) { $0.dataset.datasetType == .tokenized && !$0.preference.isOn },
        ]
    }

    private static var schedule: [Ineffective] {
        [
            Ineffective(
                ["optimizer.adam_beta1", "optimizer.adam_beta2", "optimizer.adam_eps"],
                "optimizer.optimizer is sgd; set optimizer.optimizer=adam, or remove the setting"
            ) { $0.optimizer.optimizer != .adam },
            Ineffective(
                ["optimizer.sgd_momentum"],
                "optimizer.optimizer is adam; set optimizer.optimizer=sgd, or remove the setting"
            ) { $0.optimizer.optimizer != .sgd },
            Ineffective(
                ["scheduler.lr_wsd_decay_style", "scheduler.lr_wsd_decay_iters", "scheduler.lr_wsd_decay_fraction"],
                "scheduler.lr_decay_style is not WSD; set scheduler.lr_decay_style=WSD, or remove the setting"
            ) { $0.scheduler.lrDecayStyle != .wsd },
            Ineffective(
                ["optimizer.min_lr"],
                "scheduler.lr_decay_style is constant, so the learning rate does not decay; set another style"
            ) { $0.scheduler.lrDecayStyle == .constant },
            Ineffective(
                ["scheduler.lr_wsd_decay_iters"],
                "scheduler.lr_wsd_decay_fraction is set and takes precedence; set scheduler.lr_wsd_decay_fraction=null"
            ) { $0.scheduler.lrWSDDecayFraction != nil },
            Ineffective(
                ["scheduler.lr_decay_iters"],
                "scheduler.lr_decay_fraction is set and takes precedence; set scheduler.lr_decay_fraction=null"
            ) { $0.scheduler.lrDecayFraction != nil },
            Ineffective(
                ["scheduler.lr_decay_iters", "scheduler.lr_decay_fraction"],
                "scheduler.lr_decay_style is constant, so the learning rate does not decay; set another style"
            ) { $0.scheduler.lrDecayStyle == .constant && $0.scheduler.lrWarmupFraction == nil },
            Ineffective(
                ["scheduler.lr_warmup_iters"],
                "scheduler.lr_warmup_fraction is set and takes precedence; set scheduler.lr_warmup_fraction=null"
            ) { $0.scheduler.lrWarmupFraction != nil },
            Ineffective(
                ["scheduler.lr_warmup_init"],
                "there is no warm-up; set scheduler.lr_warmup_iters or scheduler.lr_warmup_fraction"
            ) { ($0.scheduler.lrWarmupFraction ?? Double($0.scheduler.lrWarmupIters)) == 0 },
            Ineffective(
                ["scheduler.weight_decay_incr_style"],
                "the weight decay is the same at the beginning and at the end; set scheduler.start_weight_decay and "
                    + "scheduler.end_weight_decay"
            ) {
                let (start, end) = ($0.scheduler.startWeightDecay, $0.scheduler.endWeightDecay)
                return $0.scheduler.weightDecayIncrStyle != .constant
                    && (start ?? $0.optimizer.weightDecay) == (end ?? $0.optimizer.weightDecay)
            },
            Ineffective(
                ["optimizer.weight_decay"],
                "scheduler.start_weight_decay and scheduler.end_weight_decay are set and take precedence; remove them"
            ) { $0.scheduler.startWeightDecay != nil && $0.scheduler.endWeightDecay != nil },
        ]
    }

    private static var saving: [Ineffective] {
        [
            Ineffective(
                ["checkpoint.also_save_hf_checkpoint", "checkpoint.after_save"],
                "checkpoint.save is empty, so nothing is saved; set it (--save-dir)"
            ) { $0.checkpoint.save.isEmpty }
        ]
    }

    private static var tracking: [Ineffective] {
        [
            Ineffective(
                ["logger.wandb_exp_name", "logger.wandb_entity", "logger.wandb_save_dir"],
                "logger.wandb_project is empty, so nothing is sent to Weights & Biases; set it, or WANDB_PROJECT"
            ) { $0.logger.wandbProject.isEmpty },
            Ineffective(
                ["logger.mlflow_run_name", "logger.mlflow_tracking_uri"],
                "logger.mlflow_experiment is empty, so nothing is sent to MLflow; set it, or MLFLOW_EXPERIMENT_NAME"
            ) { $0.logger.mlflowExperiment.isEmpty },
        ]
    }

    private static var preferences: [Ineffective] {
        [
            Ineffective(
                ["preference.beta", "preference.label_smoothing"],
                "preference.loss_type is none, which trains on single answers; set preference.loss_type=dpo, ipo or orpo"
            ) { !$0.preference.isOn },
            Ineffective(
                ["preference.label_smoothing"],
                "only the loss dpo has it; set preference.loss_type=dpo, or remove the setting"
            ) { $0.preference.lossType != .dpo },
            Ineffective(
                ["model.calculate_per_token_loss"],
                "preference.loss_type is set, whose loss is a mean over pairs; remove the setting"
            ) { $0.preference.isOn },
        ]
    }

    private static var overlap: [Ineffective] {
        [
            Ineffective(
                ["ddp.overlap_param_gather"],
                "optimizer.use_distributed_optimizer is false, so no parameters are gathered; set it to true"
            ) { !$0.optimizer.useDistributedOptimizer },
            Ineffective(
                ["ddp.bucket_size"],
                "there is one bucket without overlap; set ddp.overlap_grad_reduce or ddp.overlap_param_gather"
            ) { !$0.ddp.overlaps },
        ]
    }

    private static var epochs: [Ineffective] {
        [
            Ineffective(
                ["train.train_iters"],
                "train.num_epochs is set and takes precedence; set train.num_epochs=null"
            ) { $0.train.numEpochs != nil },
            Ineffective(
                ["train.train_iters"],
                "train.train_samples is set and takes precedence; set train.train_samples=null"
            ) { $0.train.trainSamples != nil },
            Ineffective(
                ["train.eval_interval"],
                "train.evals_per_epoch is set and takes precedence; set train.evals_per_epoch=null"
            ) { $0.train.evalsPerEpoch != nil },
            Ineffective(
                ["checkpoint.save_interval"],
                "checkpoint.saves_per_epoch is set and takes precedence; set checkpoint.saves_per_epoch=null"
            ) { $0.checkpoint.savesPerEpoch != nil },
            Ineffective(
                ["checkpoint.ckpt_step"],
                "checkpoint.load is empty; set it to the directory with that iteration"
            ) { $0.checkpoint.load.isEmpty },
        ]
    }

    /// Whether a run has validations, and samples for them.
    private static func validates(_ recipe: Recipe) -> Bool {
        guard recipe.hasValidations else { return false }
        let isFile = [.preloaded, .tokenized].contains(recipe.dataset.datasetType)
        return !isFile || recipe.dataset.hasValidationFiles || recipe.dataset.valSetSize > 0
    }

    private static var validation: [Ineffective] {
        [
            Ineffective(
                ["train.eval_iters", "dataset.valid_data_path", "dataset.validation_source"],
                "train.eval_interval is 0, so there is no validation; set train.eval_interval"
            ) { $0.train.evalInterval == 0 && $0.train.evalsPerEpoch == nil },
            Ineffective(
                [
                    "checkpoint.keep_best", "train.patience", "train.metric_for_best_model", "train.evals_per_epoch",
                    "dataset.val_set_size",
                ],
                "there is no validation; set train.eval_iters, and dataset.valid_data_path or dataset.val_set_size"
            ) { !validates($0) },
            Ineffective(
                ["train.eval_interval", "dataset.valid_data_path", "dataset.validation_source"],
                "train.eval_iters is 0, so there is no validation; set train.eval_iters"
            ) { $0.train.evalIters == 0 },
            Ineffective(
                ["train.eval_interval", "train.eval_iters"],
                "dataset.valid_data_path is empty, so there is no validation; set it to the file of validation samples"
            ) {
                [.preloaded, .tokenized].contains($0.dataset.datasetType) && !$0.dataset.hasValidationFiles
                    && $0.dataset.valSetSize == 0
            },
        ]
    }
}
