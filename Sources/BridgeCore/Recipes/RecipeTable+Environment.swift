/// The settings of data, adapters, checkpoints and records.
extension RecipeTable {
    static let dataset = [
        RecipeField(
            "dataset.dataset_type",
            \.dataset.datasetType,
            "The kind of data set: synthetic images, a file with conversations, a file with token ids and labels, or a Hugging Face data set."
        ),
        RecipeField(
            "dataset.maker_name",
            \.dataset.makerName,
            "The maker that converts rows of the data set to conversations, for hf.",
            // Megatron Bridge's names in 0.6 and in 0.7.
            aliases: ["dataset.source.dataset_name", "dataset.source.schema_adapter"]
        ),
        RecipeField(
            "dataset.path_or_dataset",
            \.dataset.pathOrDataset,
            "The directory or hub id of the data set, for hf; empty for the maker's default.",
            aliases: ["dataset.source.path_or_dataset"]
        ),
        RecipeField(
            "dataset.train_data_path",
            \.dataset.trainDataPath,
            "The file of training samples, for preloaded and tokenized; for tokenized also packed sequences of NeMo (.npy)."
        ),
        RecipeField(
            "dataset.valid_data_path",
            \.dataset.validDataPath,
            "The file of validation samples, for preloaded and tokenized; empty for none."
        ),
        RecipeField(
            "dataset.val_set_size",
            \.dataset.valSetSize,
            "The share (less than 1) or the number of training samples set apart for validation, chosen by rng.seed; 0 for none."
        ),
        RecipeField(
            "dataset.source",
            \.dataset.source,
            "Several data sets in place of dataset.train_data_path or dataset.path_or_dataset: files for preloaded and tokenized; "
                + "directories, hub ids or makers for hf."
        ),
        RecipeField(
            "dataset.validation_source",
            \.dataset.validationSource,
            "Several files of validation samples, for preloaded and tokenized; each has a validation loss of its own."
        ),
        RecipeField(
            "dataset.source_weights",
            \.dataset.sourceWeights,
            "The share of each of dataset.source when they are interleaved, in any unit; empty to take them in turn."
        ),
        RecipeField(
            "dataset.blend",
            \.dataset.blend,
            "How dataset.source is joined: one after the other, or interleaved until the first or the last is exhausted."
        ),
        RecipeField(
            "dataset.blend_seed",
            \.dataset.blendSeed,
            "The seed of the choices by dataset.source_weights; null for rng.seed."
        ),
        RecipeField(
            "dataset.max_samples",
            \.dataset.maxSamples,
            "The number of samples of each source that are used, from its first one; null for all."
        ),
        RecipeField(
            "dataset.excess_length_strategy",
            \.dataset.excessLengthStrategy,
            "What is done with a sample of more than dataset.seq_length tokens: it is truncated, dropped, or an error before the first step."
        ),
        RecipeField(
            "dataset.exact_deduplication",
            \.dataset.exactDeduplication,
            "Whether a sample that equals an earlier one, in tokens, labels and images, is dropped.",
            aliases: ["dataset.dataset_exact_deduplication"]
        ),
        RecipeField(
            "dataset.image_folder",
            \.dataset.imageFolder,
            "The directory that image paths are relative to; empty for the directory of the file."
        ),
        RecipeField(
            "dataset.seq_length",
            \.dataset.seqLength,
            "The maximum length of a sample in tokens; longer samples are truncated. Equal to model.seq_length.",
            aliases: ["dataset.sequence_length"]
        ),
        RecipeField(
            "dataset.shuffle",
            \.dataset.shuffle,
            "Whether samples are shuffled in each epoch; rng.seed is the seed."
        ),
        RecipeField(
            "dataset.pack_sequences_in_batch",
            \.dataset.packSequencesInBatch,
            "Whether several samples are packed into one row of dataset.seq_length tokens; samples do not attend to each other.",
            aliases: ["dataset.enable_in_batch_packing"]
        ),
        RecipeField(
            "dataset.packed_sequence_size",
            \.dataset.packedSequenceSize,
            "The number of tokens of a row into which samples are packed before the run, first fit; samples do not attend to each other, and "
                + "batch sizes count rows. 0 for none.",
            aliases: [
                "dataset.packed_sequence_specs.packed_sequence_size",
                "dataset.offline_packing_specs.packed_sequence_size",
            ]
        ),
        RecipeField(
            "dataset.packing_algorithm",
            \.dataset.packingAlgorithm,
            "The order in which samples are packed into rows of dataset.packed_sequence_size tokens: at random by rng.seed, or the longest first."
        ),
        RecipeField(
            "dataset.prepared_path",
            \.dataset.preparedPath,
            "The directory with the prepared data of 'bridge data prepare', which is read in place of the data sets; empty to read these.",
            aliases: ["dataset.dataset_prepared_path"]
        ),
        RecipeField(
            "dataset.loss_mode",
            \.dataset.lossMode,
            "Which tokens have a loss: all assistant turns, the last assistant turn, or every token except images."
        ),
        RecipeField(
            "dataset.roles_to_train",
            \.dataset.rolesToTrain,
            "The roles whose turns have a loss: assistant, user, system, tool. With dataset.loss_mode=last_turn the last of their turns."
        ),
        RecipeField(
            "dataset.date",
            \.dataset.date,
            "The date for chat templates, as yyyy-mm-dd; empty for the date of the run's first start."
        ),
        RecipeField(
            "dataset.num_workers",
            \.dataset.numWorkers,
            "The number of threads that prepare samples during a step; 0 counts as 1."
        ),
        RecipeField(
            "dataset.pad_to_multiple_of",
            \.dataset.padToMultipleOf,
            "Rows are padded to a multiple of this number of tokens."
        ),
        RecipeField("dataset.num_images", \.dataset.numImages, "The number of images in a synthetic sample, for mock."),
    ]

    static let preference = [
        RecipeField(
            "preference.loss_type",
            \.preference.lossType,
            "The loss of pairs of a chosen and a rejected answer (preference tuning); none is supervised fine-tuning."
        ),
        RecipeField(
            "preference.beta",
            \.preference.beta,
            "The strength of the preference: beta of DPO and IPO, or the weight of ORPO's odds ratio."
        ),
        RecipeField(
            "preference.label_smoothing",
            \.preference.labelSmoothing,
            "The probability that chosen and rejected are the wrong way round, for dpo, from 0 to less than 0.5."
        ),
    ]

    static let peft = [
        RecipeField("peft.scheme", \.peft.scheme, "The kind of adapter; none trains the model itself."),
        RecipeField("peft.dim", \.peft.dim, "The rank of the adapters."),
        RecipeField(
            "peft.alpha",
            \.peft.alpha,
            "The scaling numerator: the output of an adapter is scaled by alpha / dim."
        ),
        RecipeField(
            "peft.use_rslora",
            \.peft.usesRSLoRA,
            "Whether the output of an adapter is scaled by alpha / sqrt(dim) (rsLoRA), as with PEFT's use_rslora."
        ),
        RecipeField(
            "peft.init_lora_weights",
            \.peft.initLoRAWeights,
            "What the adapters are before training, as in PEFT: default is A at random and B zero; pissa and olora take A and B from the "
                + "weight and subtract their product from it."
        ),
        RecipeField(
            "peft.dropout",
            \.peft.dropout,
            "The dropout probability of an adapter's inputs, from 0 to less than 1."
        ),
        RecipeField(
            "peft.target_modules",
            \.peft.targetModules,
            "The modules of the language model that get adapters: names such as linear_qkv, or patterns of full names with *."
        ),
        RecipeField(
            "peft.exclude_modules",
            \.peft.excludeModules,
            "Modules excluded from peft.target_modules, by name or pattern."
        ),
        RecipeField(
            "peft.canonical",
            \.peft.canonical,
            "Whether linear_q, linear_k, linear_v, linear_fc1_gate and linear_fc1_up have separate adapters, as in PEFT."
        ),
        RecipeField(
            "peft.vision_lora",
            \.peft.visionLora,
            "Whether all linear modules of the vision tower also get adapters.",
            aliases: ["peft.finetune_vision_layers"]
        ),
        RecipeField(
            "peft.finetune_language_layers",
            \.peft.finetuneLanguageLayers,
            "Whether the modules of the language model get adapters."
        ),
        RecipeField(
            "peft.finetune_attention_modules",
            \.peft.finetuneAttentionModules,
            "Whether the projections of attention get adapters, of those that peft.target_modules names."
        ),
        RecipeField(
            "peft.finetune_mlp_modules",
            \.peft.finetuneMLPModules,
            "Whether the modules of the MLP get adapters, of those that peft.target_modules names."
        ),
        RecipeField(
            "peft.loraplus_lr_ratio",
            \.peft.loraPlusLRRatio,
            "The learning rate of the matrices B as a multiple of that of A (LoRA+), as in PEFT's create_loraplus_optimizer; null for 1."
        ),
        RecipeField(
            "peft.modules_to_save",
            \.peft.modulesToSave,
            "Modules trained in full in addition to the adapters: language_model, vision_tower, multi_modal_projector, word_embeddings, output_layer."
        ),
        RecipeField(
            "peft.adapter_name_or_path",
            \.peft.adapterNameOrPath,
            "The adapter that training begins with: a directory or hub id in PEFT's format, or a checkpoint of a LoRA or DoRA run; empty for new adapters."
        ),
    ]

    static let checkpoint = [
        RecipeField(
            "checkpoint.pretrained_checkpoint",
            \.checkpoint.pretrainedCheckpoint,
            "The weights to start from: a Megatron checkpoint or a Hugging Face directory."
        ),
        RecipeField(
            "checkpoint.random_init",
            \.checkpoint.randomInit,
            "Whether weights are initialized at random; pretrained_checkpoint then provides configuration and tokenizer only."
        ),
        RecipeField(
            "checkpoint.save",
            \.checkpoint.save,
            "The directory of the run's checkpoints; the run resumes from the newest. Empty for a directory in SAVE_DIR or the current directory."
        ),
        RecipeField(
            "checkpoint.load",
            \.checkpoint.load,
            "The directory whose newest checkpoint the run resumes from if checkpoint.save has none, or an iteration; empty for checkpoint.save."
        ),
        RecipeField(
            "checkpoint.ckpt_step",
            \.checkpoint.ckptStep,
            "The iteration of checkpoint.load from which the run resumes; null for the newest."
        ),
        RecipeField(
            "checkpoint.save_interval",
            \.checkpoint.saveInterval,
            "The number of steps between two checkpoints."
        ),
        RecipeField(
            "checkpoint.saves_per_epoch",
            \.checkpoint.savesPerEpoch,
            "The number of checkpoints in each epoch, instead of checkpoint.save_interval; null for checkpoint.save_interval."
        ),
        RecipeField(
            "checkpoint.save_first_step",
            \.checkpoint.saveFirstStep,
            "Whether a checkpoint is written after the first step too."
        ),
        RecipeField(
            "checkpoint.keep_best",
            \.checkpoint.keepBest,
            "Whether the checkpoint of the best validation, by train.metric_for_best_model, is written and kept, whatever checkpoint.most_recent_k is."
        ),
        RecipeField(
            "checkpoint.most_recent_k",
            \.checkpoint.mostRecentK,
            "The number of checkpoints to keep; 0 for all."
        ),
        RecipeField(
            "checkpoint.save_optim",
            \.checkpoint.saveOptim,
            "Whether the optimizer's state is saved; without it a run cannot resume exactly."
        ),
        RecipeField(
            "checkpoint.async_save",
            \.checkpoint.asyncSave,
            "Whether a checkpoint is written in the background while training continues."
        ),
        RecipeField(
            "checkpoint.also_save_hf_checkpoint",
            \.checkpoint.alsoSaveHFCheckpoint,
            "Whether each checkpoint, or the last one, also has the model or the adapter as a Hugging Face directory: iter_*/hf."
        ),
        RecipeField(
            "checkpoint.after_save",
            \.checkpoint.afterSave,
            "A command that the shell runs after each checkpoint, with its directory in BRIDGE_CHECKPOINT; empty for none."
        ),
        RecipeField(
            "checkpoint.ckpt_format",
            \.checkpoint.ckptFormat,
            "The container of the checkpoints: native, or torch_dist, which Megatron-Core and Megatron Bridge load."
        ),
    ]

    static let logger = [
        RecipeField(
            "logger.log_interval",
            \.logger.logInterval,
            "The number of steps between two lines of console output."
        ),
        RecipeField(
            "logger.log_dir",
            \.logger.logDir,
            "The directory of log.jsonl and report.html; empty for a directory next to the checkpoints."
        ),
        RecipeField(
            "logger.tensorboard_dir",
            \.logger.tensorboardDir,
            "The directory of TensorBoard's event files; empty for tb_logs in logger.log_dir."
        ),
        RecipeField("logger.log_params_norm", \.logger.logParamsNorm, "Whether the norm of all parameters is logged."),
        RecipeField(
            "logger.log_throughput",
            \.logger.logThroughput,
            "Whether floating-point operations per second are logged."
        ),
        RecipeField(
            "logger.format",
            \.logger.format,
            "The lines of console output: compact, Megatron's for logs, or auto, which is compact on a terminal and Megatron's elsewhere."
        ),
        RecipeField(
            "logger.wandb_project",
            \.logger.wandbProject,
            "The project at Weights & Biases that the run is sent to, by the package wandb of the user's Python; empty for WANDB_PROJECT, or "
                + "none."
        ),
        RecipeField(
            "logger.wandb_exp_name",
            \.logger.wandbExpName,
            "The run's name at Weights & Biases; empty for one that it chooses."
        ),
        RecipeField(
            "logger.wandb_entity",
            \.logger.wandbEntity,
            "The user or team at Weights & Biases that the project belongs to; empty for the user's default."
        ),
        RecipeField(
            "logger.wandb_save_dir",
            \.logger.wandbSaveDir,
            "The directory of the files of Weights & Biases, and of runs that are offline; empty for logger.log_dir."
        ),
        RecipeField(
            "logger.mlflow_experiment",
            \.logger.mlflowExperiment,
            "The experiment of an MLflow server that the run is sent to; empty for MLFLOW_EXPERIMENT_NAME, or none."
        ),
        RecipeField(
            "logger.mlflow_run_name",
            \.logger.mlflowRunName,
            "The run's name on the MLflow server; empty for one that the server chooses."
        ),
        RecipeField(
            "logger.mlflow_tracking_uri",
            \.logger.mlflowTrackingURI,
            "The address of the MLflow server, http:// or https://; empty for MLFLOW_TRACKING_URI."
        ),
    ]

    static let last = [
        RecipeField(
            "dist.distributed_timeout_minutes",
            \.dist.distributedTimeoutMinutes,
            "The number of minutes that a rank waits for others, for example for one that is stuck, before the run ends."
        ),
        RecipeField("rng.seed", \.rng.seed, "The seed of all random numbers of the run."),
        RecipeField(
            "mixed_precision",
            \.mixedPrecision,
            "The precision: bfloat16 with optimizer state in float32, or float32 throughout."
        ),
    ]
}
