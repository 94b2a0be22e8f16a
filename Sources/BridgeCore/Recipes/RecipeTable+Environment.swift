/// The settings of data, adapters, checkpoints and records.
extension RecipeTable {
    static let dataset = [
        RecipeField(
            "dataset.dataset_type",
            \.dataset.datasetType,
            "Made-up images, a file with conversations, a file with tokens and labels, or a Hugging Face data set."
        ),
        RecipeField(
            "dataset.maker_name",
            \.dataset.makerName,
            "What makes conversations of the rows of a data set, for hf.",
            // Megatron Bridge's names in 0.6 and in 0.7.
            aliases: ["dataset.source.dataset_name", "dataset.source.schema_adapter"]
        ),
        RecipeField(
            "dataset.path_or_dataset",
            \.dataset.pathOrDataset,
            "The directory or the hub id of the data set, for hf; empty for the one that the maker is made for.",
            aliases: ["dataset.source.path_or_dataset"]
        ),
        RecipeField(
            "dataset.train_data_path",
            \.dataset.trainDataPath,
            "The file with the samples to train on, for preloaded and tokenized."
        ),
        RecipeField(
            "dataset.valid_data_path",
            \.dataset.validDataPath,
            "The file with the samples to validate on, for preloaded and tokenized; empty for none."
        ),
        RecipeField(
            "dataset.image_folder",
            \.dataset.imageFolder,
            "The directory that paths of images are relative to; empty for that of the file."
        ),
        RecipeField(
            "dataset.seq_length",
            \.dataset.seqLength,
            "The longest sample, in tokens, behind which it is cut; the same as model.seq_length.",
            aliases: ["dataset.sequence_length"]
        ),
        RecipeField(
            "dataset.shuffle",
            \.dataset.shuffle,
            "Whether samples come in another order in each epoch, which follows from rng.seed."
        ),
        RecipeField(
            "dataset.pack_sequences_in_batch",
            \.dataset.packSequencesInBatch,
            "Whether several samples share one row of dataset.seq_length tokens, without seeing each other.",
            aliases: ["dataset.enable_in_batch_packing"]
        ),
        RecipeField(
            "dataset.loss_mode",
            \.dataset.lossMode,
            "What is supervised: all that the assistant says, the last thing that it says, or every token but images."
        ),
        RecipeField(
            "dataset.date",
            \.dataset.date,
            "The day that chat templates write, as yyyy-mm-dd; empty for that of the run's first start."
        ),
        RecipeField(
            "dataset.num_workers",
            \.dataset.numWorkers,
            "How many threads prepare samples while a step is computed; 0 counts as 1."
        ),
        RecipeField(
            "dataset.pad_to_multiple_of",
            \.dataset.padToMultipleOf,
            "What the lengths of rows are filled up to a multiple of, in tokens."
        ),
        RecipeField("dataset.num_images", \.dataset.numImages, "Pictures in a made-up sample, for mock."),
    ]

    static let peft = [
        RecipeField("peft.scheme", \.peft.scheme, "Which adapters are trained; none trains the model itself."),
        RecipeField("peft.dim", \.peft.dim, "The rank of the adapters."),
        RecipeField("peft.alpha", \.peft.alpha, "Adapters count alpha / dim times."),
        RecipeField(
            "peft.use_rslora",
            \.peft.usesRSLoRA,
            "Whether adapters count alpha / sqrt(dim) times (rsLoRA), as with PEFT's use_rslora."
        ),
        RecipeField(
            "peft.dropout",
            \.peft.dropout,
            "The share of an adapter's inputs that is dropped in training, from 0 to less than 1."
        ),
        RecipeField(
            "peft.target_modules",
            \.peft.targetModules,
            "The modules of the language model that get adapters: names such as linear_qkv, or patterns of full names with *."
        ),
        RecipeField(
            "peft.exclude_modules",
            \.peft.excludeModules,
            "Modules that get no adapter though they are targets, by name or pattern."
        ),
        RecipeField(
            "peft.canonical",
            \.peft.canonical,
            "Whether linear_q, linear_k, linear_v, linear_fc1_gate and linear_fc1_up have adapters of their own, as in PEFT."
        ),
        RecipeField(
            "peft.vision_lora",
            \.peft.visionLora,
            "Whether all linear modules of the vision tower get adapters too."
        ),
        RecipeField(
            "peft.modules_to_save",
            \.peft.modulesToSave,
            "Parts trained in full beside the adapters: language_model, vision_tower, multi_modal_projector, word_embeddings, output_layer."
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
            "Whether weights are drawn anew, so that pretrained_checkpoint gives configuration and tokenizer only."
        ),
        RecipeField(
            "checkpoint.save",
            \.checkpoint.save,
            "The directory of the run's checkpoints, from the newest of which it goes on; empty for one below SAVE_DIR or here."
        ),
        RecipeField(
            "checkpoint.load",
            \.checkpoint.load,
            "A directory whose newest checkpoint the run goes on from while checkpoint.save has none; empty for checkpoint.save."
        ),
        RecipeField(
            "checkpoint.save_interval",
            \.checkpoint.saveInterval,
            "How many steps lie between two checkpoints."
        ),
        RecipeField("checkpoint.most_recent_k", \.checkpoint.mostRecentK, "How many checkpoints are kept; 0 for all."),
        RecipeField(
            "checkpoint.save_optim",
            \.checkpoint.saveOptim,
            "Whether the optimizer's state is saved, without which a run cannot go on exactly."
        ),
        RecipeField(
            "checkpoint.async_save",
            \.checkpoint.asyncSave,
            "Whether training goes on while a checkpoint is written."
        ),
    ]

    static let logger = [
        RecipeField("logger.log_interval", \.logger.logInterval, "How many steps a line of the console stands for."),
        RecipeField(
            "logger.log_dir",
            \.logger.logDir,
            "The directory of log.jsonl and report.html; empty for one beside the checkpoints."
        ),
        RecipeField(
            "logger.tensorboard_dir",
            \.logger.tensorboardDir,
            "The directory of TensorBoard's event files; empty for tb_logs in logger.log_dir."
        ),
        RecipeField("logger.log_params_norm", \.logger.logParamsNorm, "Whether lines have the norm of all parameters."),
        RecipeField("logger.log_throughput", \.logger.logThroughput, "Whether lines have operations per second."),
        RecipeField(
            "logger.wandb_project",
            \.logger.wandbProject,
            "Taken so that commands of Megatron Bridge run; nothing is written for it."
        ),
        RecipeField(
            "logger.wandb_exp_name",
            \.logger.wandbExpName,
            "Taken so that commands of Megatron Bridge run; nothing is written for it."
        ),
    ]

    static let last = [
        RecipeField("rng.seed", \.rng.seed, "What all random numbers of the run follow from."),
        RecipeField(
            "mixed_precision",
            \.mixedPrecision,
            "bfloat16 with the optimizer's numbers in float32, or everything in float32."
        ),
    ]
}
