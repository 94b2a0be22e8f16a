/// All settings of a recipe, read in both directions.
public enum RecipeTable {
    /// The settings, in the order in which they are written.
    public static let fields: [RecipeField] =
        [RecipeField("name", \.name), RecipeField("hf_path", \.hfPath)] + model + train + optimizer + scheduler
        + dataset + peft + checkpoint + logger
        + [RecipeField("rng.seed", \.rng.seed), RecipeField("mixed_precision", \.mixedPrecision)]

    private static let model = [
        RecipeField("model.tensor_model_parallel_size", \.model.tensorModelParallelSize),
        RecipeField("model.pipeline_model_parallel_size", \.model.pipelineModelParallelSize),
        RecipeField("model.context_parallel_size", \.model.contextParallelSize),
        RecipeField("model.seq_length", \.model.seqLength),
        RecipeField("model.freeze_language_model", \.model.freezeLanguageModel),
        RecipeField("model.freeze_vision_model", \.model.freezeVisionModel),
        RecipeField("model.freeze_vision_projection", \.model.freezeVisionProjection),
        RecipeField("model.recompute_granularity", \.model.recomputeGranularity),
    ]

    private static let train = [
        RecipeField("train.micro_batch_size", \.train.microBatchSize),
        RecipeField("train.global_batch_size", \.train.globalBatchSize),
        RecipeField("train.train_iters", \.train.trainIters),
        // The peer moved these two into a section of their own in 0.7.
        RecipeField("train.eval_interval", \.train.evalInterval, aliases: ["validation.eval_interval"]),
        RecipeField("train.eval_iters", \.train.evalIters, aliases: ["validation.eval_iters"]),
        RecipeField("train.exit_duration_in_mins", \.train.exitDurationInMins),
        RecipeField("train.exit_interval", \.train.exitInterval),
        RecipeField("train.mean_of_means", \.train.meanOfMeans),
        RecipeField("train.spike_threshold", \.train.spikeThreshold),
        RecipeField("train.max_skipped_iters", \.train.maxSkippedIters),
    ]

    private static let optimizer = [
        RecipeField("optimizer.optimizer", \.optimizer.optimizer),
        RecipeField("optimizer.lr", \.optimizer.lr),
        RecipeField("optimizer.min_lr", \.optimizer.minLR),
        RecipeField("optimizer.weight_decay", \.optimizer.weightDecay),
        RecipeField("optimizer.adam_beta1", \.optimizer.adamBeta1),
        RecipeField("optimizer.adam_beta2", \.optimizer.adamBeta2),
        RecipeField("optimizer.adam_eps", \.optimizer.adamEps),
        RecipeField("optimizer.sgd_momentum", \.optimizer.sgdMomentum),
        RecipeField("optimizer.clip_grad", \.optimizer.clipGrad),
    ]

    private static let scheduler = [
        RecipeField("scheduler.lr_decay_style", \.scheduler.lrDecayStyle),
        RecipeField("scheduler.lr_warmup_iters", \.scheduler.lrWarmupIters),
        RecipeField("scheduler.lr_warmup_fraction", \.scheduler.lrWarmupFraction),
        RecipeField("scheduler.lr_warmup_init", \.scheduler.lrWarmupInit),
        RecipeField("scheduler.lr_decay_iters", \.scheduler.lrDecayIters),
        RecipeField("scheduler.lr_wsd_decay_style", \.scheduler.lrWSDDecayStyle),
        RecipeField("scheduler.lr_wsd_decay_iters", \.scheduler.lrWSDDecayIters),
        RecipeField("scheduler.start_weight_decay", \.scheduler.startWeightDecay),
        RecipeField("scheduler.end_weight_decay", \.scheduler.endWeightDecay),
        RecipeField("scheduler.weight_decay_incr_style", \.scheduler.weightDecayIncrStyle),
    ]

    private static let dataset = [
        RecipeField("dataset.dataset_type", \.dataset.datasetType),
        RecipeField("dataset.maker_name", \.dataset.makerName),
        RecipeField("dataset.path_or_dataset", \.dataset.pathOrDataset),
        RecipeField("dataset.train_data_path", \.dataset.trainDataPath),
        RecipeField("dataset.valid_data_path", \.dataset.validDataPath),
        RecipeField("dataset.image_folder", \.dataset.imageFolder),
        RecipeField("dataset.seq_length", \.dataset.seqLength, aliases: ["dataset.sequence_length"]),
        RecipeField("dataset.shuffle", \.dataset.shuffle),
        RecipeField("dataset.pack_sequences_in_batch", \.dataset.packSequencesInBatch),
        RecipeField("dataset.loss_mode", \.dataset.lossMode),
        RecipeField("dataset.date", \.dataset.date),
        RecipeField("dataset.num_workers", \.dataset.numWorkers),
        RecipeField("dataset.pad_to_multiple_of", \.dataset.padToMultipleOf),
        RecipeField("dataset.num_images", \.dataset.numImages),
    ]

    private static let peft = [
        RecipeField("peft.scheme", \.peft.scheme),
        RecipeField("peft.dim", \.peft.dim),
        RecipeField("peft.alpha", \.peft.alpha),
        RecipeField("peft.dropout", \.peft.dropout),
        RecipeField("peft.target_modules", \.peft.targetModules),
        RecipeField("peft.exclude_modules", \.peft.excludeModules),
        RecipeField("peft.canonical", \.peft.canonical),
        RecipeField("peft.vision_lora", \.peft.visionLora),
        RecipeField("peft.modules_to_save", \.peft.modulesToSave),
    ]

    private static let checkpoint = [
        RecipeField("checkpoint.pretrained_checkpoint", \.checkpoint.pretrainedCheckpoint),
        RecipeField("checkpoint.random_init", \.checkpoint.randomInit),
        RecipeField("checkpoint.save", \.checkpoint.save),
        RecipeField("checkpoint.load", \.checkpoint.load),
        RecipeField("checkpoint.save_interval", \.checkpoint.saveInterval),
        RecipeField("checkpoint.most_recent_k", \.checkpoint.mostRecentK),
        RecipeField("checkpoint.save_optim", \.checkpoint.saveOptim),
        RecipeField("checkpoint.async_save", \.checkpoint.asyncSave),
    ]

    private static let logger = [
        RecipeField("logger.log_interval", \.logger.logInterval),
        RecipeField("logger.log_dir", \.logger.logDir),
        RecipeField("logger.tensorboard_dir", \.logger.tensorboardDir),
        RecipeField("logger.log_params_norm", \.logger.logParamsNorm),
        RecipeField("logger.log_throughput", \.logger.logThroughput),
        RecipeField("logger.wandb_project", \.logger.wandbProject),
        RecipeField("logger.wandb_exp_name", \.logger.wandbExpName),
    ]

    private static let byKey = Dictionary(
        fields.flatMap { field in ([field.key] + field.aliases).map { ($0, field) } }
    ) { first, _ in first }

    /// The setting with a key, or with a key that means the same.
    public static func field(_ key: String) -> RecipeField? { byKey[key] }

    /// The sentence for a key that is no setting: why the peer's does not apply here, or which key is near.
    public static func refusal(of key: String) -> String {
        let shown = RecipeField.shortened(key)
        if let reason = RecipeForeignKeys.reason(key) { return "\(shown) does not apply here: \(reason)" }
        if let inside = byKey.keys.filter({ $0.hasPrefix(key + ".") }).min() {
            return "\(shown) is a section and has no value of its own, expected one of its settings, such as \(inside)"
        }
        guard let near = nearest(to: key) else {
            return "\(shown) is no setting; 'bridge recipes show' lists them all"
        }
        return "\(shown) is no setting, did you mean \(near)?"
    }

    /// The key nearest to another, if one is near.
    static func nearest(to key: String) -> String? {
        // Who forgets the section has the name itself right; this is nearer than a typing error.
        let named = byKey.keys.filter { $0.hasSuffix("." + key) }.sorted()
        if let first = named.first { return first }
        guard key.utf8.count <= 100 else { return nil }
        let near = byKey.keys.map { (distance($0, key), $0) }.min { $0 < $1 }
        let alone = key.split(separator: ".").last.map(String.init) ?? key
        let moved = byKey.keys.map { other in
            (distance(other.split(separator: ".").last.map(String.init) ?? other, alone), other)
        }.min { $0 < $1 }
        if let near, near.0 <= max(2, key.utf8.count / 5) { return near.1 }
        if let moved, moved.0 <= max(1, alone.utf8.count / 6) { return moved.1 }
        return nil
    }

    /// How many letters have to be put in, taken out or changed (Levenshtein).
    static func distance(_ one: String, _ other: String) -> Int {
        let (a, b) = (Array(one.utf8), Array(other.utf8))
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var corner = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, corner + (a[i] == b[j] ? 0 : 1))
                corner = above
            }
        }
        return row[b.count]
    }
}
