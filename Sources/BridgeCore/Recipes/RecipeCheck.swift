import BridgeSupport

/// Checks all rules of the settings of a recipe at once.
public struct RecipeCheck: Sendable {
    /// The problems, one sentence each; empty for a valid recipe.
    public private(set) var problems: [String] = []

    private let recipe: Recipe
    private var found: [RecipeProblem] = []

    /// Checks a recipe.
    ///
    /// - Parameters:
    ///   - recipe: The recipe.
    ///   - dataParallelSize: The number of replicas of the model.
    ///   - abilities: The features that the family supports.
    ///   - needsPretrained: Whether the run has to start from weights; a run with random weights does not.
    ///   - refusals: Settings that could not be set; they are reported first, and rules about them are skipped.
    public init(
        _ recipe: Recipe,
        dataParallelSize: Int = 1,
        abilities: RecipeTemplate.Abilities = RecipeTemplate.Abilities(),
        needsPretrained: Bool = true,
        refusals: [Recipe.Refusal] = []
    ) {
        self.recipe = recipe
        checkRanges()
        checkBatches(dataParallelSize)
        checkSchedule()
        checkData(abilities)
        checkPacking(recipe, abilities)
        checkPreference(recipe)
        checkRoles(recipe)
        checkTrainable(abilities)
        if needsPretrained, recipe.checkpoint.pretrainedCheckpoint.isEmpty, recipe.checkpoint.load.isEmpty {
            found.append(
                "\(key: "checkpoint.pretrained_checkpoint") is empty, expected the weights to start from (or \(key: "checkpoint.load"))"
            )
        }
        // The message of a setting that could not be set makes those of rules about it redundant.
        let unset = Set(refusals.map(\.key))
        problems = refusals.map(\.problem) + found.filter { $0.keys.isDisjoint(with: unset) }.map(\.text)
    }

    /// Refuses an invalid recipe.
    ///
    /// - Throws: `BridgeError` with code `badArgument` and all problems.
    public func validate() throws {
        guard !problems.isEmpty else { return }
        if problems.count == 1 { throw BridgeError(.badArgument, problems[0]) }
        throw BridgeError(
            .badArgument,
            "the recipe \(RecipeField.shortened(recipe.name)) cannot run for \(problems.count) reasons",
            names: problems
        )
    }

    mutating func require(_ holds: Bool, _ problem: @autoclosure () -> RecipeProblem) {
        if !holds { found.append(problem()) }
    }

    mutating func require<Number: Comparable>(_ key: String, _ value: Number, in range: ClosedRange<Number>) {
        require(range.contains(value), "\(key: key) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
    }

    private mutating func checkRanges() {
        let (model, train, dataset) = (recipe.model, recipe.train, recipe.dataset)
        require("model.tensor_model_parallel_size", model.tensorModelParallelSize, in: 1...1024)
        require("model.pipeline_model_parallel_size", model.pipelineModelParallelSize, in: 1...1024)
        require("model.context_parallel_size", model.contextParallelSize, in: 1...1024)
        require(
            !model.sequenceParallel || model.tensorModelParallelSize > 1,
            "\(key: "model.sequence_parallel") is true, which needs \(key: "model.tensor_model_parallel_size") above 1"
        )
        if let stages = model.virtualPipelineModelParallelSize {
            require("model.virtual_pipeline_model_parallel_size", stages, in: 1...1024)
        }
        if let layers = model.numLayersInFirstPipelineStage {
            require("model.num_layers_in_first_pipeline_stage", layers, in: 1...4096)
        }
        if let layers = model.numLayersInLastPipelineStage {
            require("model.num_layers_in_last_pipeline_stage", layers, in: 1...4096)
        }
        require(
            !model.loadIn4bit || !model.loadIn8bit,
            "\(key: "model.load_in_4bit") and \(key: "model.load_in_8bit") are both true; choose one"
        )
        require(
            !model.isQuantized || recipe.peft.scheme != .none,
            "\(key: model.loadIn4bit ? "model.load_in_4bit" : "model.load_in_8bit") is true, but weights of fewer bits cannot be trained; set \(key: "peft.scheme") to lora or dora"
        )
        require(
            !model.isQuantized || !recipe.checkpoint.randomInit,
            "\(key: model.loadIn4bit ? "model.load_in_4bit" : "model.load_in_8bit") is true, but \(key: "checkpoint.random_init") reads no weights; remove one of them"
        )
        require(
            [32, 64, 128].contains(model.quantizationGroupSize),
            "\(key: "model.quantization_group_size") is \(model.quantizationGroupSize), expected 32, 64 or 128"
        )
        require("model.seq_length", model.seqLength, in: 1...1 << 24)
        require("train.micro_batch_size", train.microBatchSize, in: 1...1 << 20)
        require("train.global_batch_size", train.globalBatchSize, in: 1...1 << 24)
        require("train.train_iters", train.trainIters, in: 1...1 << 31)
        require("train.eval_interval", train.evalInterval, in: 0...1 << 31)
        if let epochs = train.numEpochs {
            require(
                epochs > 0 && epochs <= 1e6,
                "\(key: "train.num_epochs") is \(epochs), expected more than 0 and at most 1000000"
            )
        }
        if let samples = train.trainSamples {
            require("train.train_samples", samples, in: 1...1 << 40)
            require(
                samples >= train.globalBatchSize,
                "\(key: "train.train_samples") is \(samples), less than one batch of \(key: "train.global_batch_size"), which is "
                    + "\(train.globalBatchSize); raise it, or lower the batch size"
            )
            require(
                train.numEpochs == nil,
                "\(key: "train.train_samples") and \(key: "train.num_epochs") are both set, and each is the length of the run; keep one"
            )
        }
        if let count = train.evalsPerEpoch { require("train.evals_per_epoch", count, in: 1...1 << 20) }
        if let step = recipe.checkpoint.ckptStep { require("checkpoint.ckpt_step", step, in: 0...1 << 31) }
        if let count = recipe.checkpoint.savesPerEpoch { require("checkpoint.saves_per_epoch", count, in: 1...1 << 20) }
        require(
            !recipe.preference.isOn || train.metricForBestModel != .tokenAccuracy,
            "\(key: "train.metric_for_best_model") is token_accuracy, which pairs of answers do not have; choose loss, rewards/accuracies or rewards/margins"
        )
        require(
            recipe.preference.isOn || [.loss, .tokenAccuracy].contains(train.metricForBestModel),
            "\(key: "train.metric_for_best_model") is \(train.metricForBestModel.rawValue), which only pairs of answers have; choose loss or token_accuracy, or set \(key: "preference.loss_type")"
        )
        if let patience = train.patience { require("train.patience", patience, in: 1...1 << 31) }
        let apart = dataset.valSetSize
        require(
            apart >= 0 && apart <= 1e12 && (apart < 1 || apart == apart.rounded()),
            "\(key: "dataset.val_set_size") is \(apart), expected a share of 0 to less than 1 or a whole number of samples"
        )
        require(
            apart == 0 || dataset.validDataPath.isEmpty && dataset.validationSource.isEmpty,
            "\(key: "dataset.val_set_size") and \(key: "dataset.\(dataset.validDataPath.isEmpty ? "validation_source" : "valid_data_path")") "
                + "are both set, but there is one validation set; remove one"
        )
        checkBlend(dataset)
        require("train.eval_iters", train.evalIters, in: 0...1 << 31)
        require("train.max_consecutive_skipped_iters", train.maxSkippedIters, in: 0...1 << 31)
        require(
            (model.attentionDropout ?? 0) == 0,
            "\(key: "model.attention_dropout") is \(model.attentionDropout ?? 0), but attention weights are not dropped; supported: 0"
        )
        if let minutes = train.exitDurationInMins {
            require(
                minutes > 0 && minutes < 1e9,
                "\(key: "train.exit_duration_in_mins") is \(minutes), expected more than 0"
            )
        }
        let timeout = recipe.dist.distributedTimeoutMinutes
        require(
            timeout > 0 && timeout <= 100_000,
            "\(key: "dist.distributed_timeout_minutes") is \(timeout), expected more than 0 and at most 100000"
        )
        if let size = recipe.ddp.bucketSize { require("ddp.bucket_size", size, in: 1...1 << 40) }
        if let interval = train.exitInterval { require("train.exit_interval", interval, in: 1...1 << 31) }
        if let alpha = train.neftuneNoiseAlpha {
            require(
                alpha > 0 && alpha <= 1e4,
                "\(key: "train.neftune_noise_alpha") is \(alpha), expected more than 0 and at most 10000"
            )
        }
        if let threshold = train.spikeThreshold {
            require(threshold > 1, "\(key: "train.loss_spike_threshold") is \(threshold), expected more than 1")
        }
        require("dataset.num_workers", dataset.numWorkers, in: 0...1024)
        require("dataset.pad_to_multiple_of", dataset.padToMultipleOf, in: 1...1 << 20)
        require("dataset.num_images", dataset.numImages, in: 0...1024)
        require("checkpoint.save_interval", recipe.checkpoint.saveInterval, in: 1...1 << 31)
        require("checkpoint.most_recent_k", recipe.checkpoint.mostRecentK, in: 0...1 << 31)
        require("logger.log_interval", recipe.logger.logInterval, in: 1...1 << 31)
    }

    private mutating func checkBatches(_ replicas: Int) {
        let (micro, global) = (recipe.train.microBatchSize, recipe.train.globalBatchSize)
        guard micro > 0, global > 0, replicas > 0 else { return }
        let (step, overflow) = micro.multipliedReportingOverflow(by: replicas)
        require(
            !overflow && global.isMultiple(of: step),
            "\(key: "train.global_batch_size") is \(global), expected a multiple of \(key: "train.micro_batch_size") x data-parallel size,"
                + " which is \(micro) x \(replicas)"
        )
    }

    private mutating func checkSchedule() {
        let (optimizer, scheduler) = (recipe.optimizer, recipe.scheduler)
        require(optimizer.lr > 0, "\(key: "optimizer.lr") is \(optimizer.lr), expected more than 0")
        require(
            optimizer.minLR >= 0 && optimizer.minLR <= optimizer.lr,
            "\(key: "optimizer.min_lr") is \(optimizer.minLR), expected 0 to \(key: "optimizer.lr"), which is \(optimizer.lr)"
        )
        require(
            scheduler.lrWarmupInit >= 0 && scheduler.lrWarmupInit <= optimizer.lr,
            "\(key: "scheduler.lr_warmup_init") is \(scheduler.lrWarmupInit), expected 0 to \(key: "optimizer.lr"), which is \(optimizer.lr)"
        )
        if let limit = optimizer.gradNormSkipThreshold {
            require(limit > 0, "\(key: "optimizer.grad_norm_skip_threshold") is \(limit), expected more than 0")
        }
        for (key, rate) in [
            ("optimizer.vision_model_lr", optimizer.visionModelLR),
            ("optimizer.vision_projection_lr", optimizer.visionProjectionLR),
            ("optimizer.embedding_lr", optimizer.embeddingLR), ("optimizer.adapter_lr", optimizer.adapterLR),
            ("peft.loraplus_lr_ratio", recipe.peft.loraPlusLRRatio),
        ] {
            if let rate { require(rate > 0 && rate <= 1e6, "\(key: key) is \(rate), expected more than 0") }
        }
        for (key, beta) in [("adam_beta1", optimizer.adamBeta1), ("adam_beta2", optimizer.adamBeta2)] {
            require(beta >= 0 && beta < 1, "\(key: "optimizer.\(key)") is \(beta), expected 0 or more and less than 1")
        }
        require(optimizer.adamEps > 0, "\(key: "optimizer.adam_eps") is \(optimizer.adamEps), expected more than 0")
        require(
            optimizer.sgdMomentum >= 0 && optimizer.sgdMomentum < 1,
            "\(key: "optimizer.sgd_momentum") is \(optimizer.sgdMomentum), expected 0 or more and less than 1"
        )
        require(
            optimizer.clipGrad >= 0,
            "\(key: "optimizer.clip_grad") is \(optimizer.clipGrad), expected 0 (no limit) or more"
        )
        let decay = scheduler.decaySteps(of: recipe.train.trainIters)
        let decayKey =
            scheduler.lrDecayFraction != nil
            ? "scheduler.lr_decay_fraction"
            : scheduler.lrDecayIters == nil ? "train.train_iters" : "scheduler.lr_decay_iters"
        if let iters = scheduler.lrDecayIters { require("scheduler.lr_decay_iters", iters, in: 1...1 << 31) }
        for (name, fraction) in [
            ("lr_decay_fraction", scheduler.lrDecayFraction), ("lr_wsd_decay_fraction", scheduler.lrWSDDecayFraction),
        ] {
            guard let fraction else { continue }
            require(
                fraction > 0 && fraction <= 1,
                "\(key: "scheduler.\(name)") is \(fraction), expected more than 0 and at most 1"
            )
        }
        if let fraction = scheduler.lrWarmupFraction {
            require(
                fraction >= 0 && fraction < 1,
                "\(key: "scheduler.lr_warmup_fraction") is \(fraction), expected 0 or more and less than 1"
            )
        } else {
            require(
                scheduler.lrWarmupIters >= 0 && Double(scheduler.lrWarmupIters) < max(decay, 1),
                "\(key: "scheduler.lr_warmup_iters") is \(scheduler.lrWarmupIters), expected 0 or more and less than the decay steps of "
                    + "\(key: decayKey), which are \(ByteFormat.rounded(decay, digits: 1))"
            )
        }
        if scheduler.lrDecayStyle == .wsd, scheduler.lrWSDDecayFraction == nil {
            let iters = scheduler.lrWSDDecayIters
            require(
                iters.map { $0 > 0 && Double($0) <= decay } ?? false,
                "\(key: "scheduler.lr_wsd_decay_iters") is \(iters.map(String.init) ?? "not set"), expected 1 to "
                    + "\(ByteFormat.rounded(decay, digits: 1)) for the style WSD, or \(key: "scheduler.lr_wsd_decay_fraction")"
            )
        }
        let start = scheduler.startWeightDecay ?? optimizer.weightDecay
        let end = scheduler.endWeightDecay ?? optimizer.weightDecay
        require(
            start >= 0 && end >= start,
            "\(key: "scheduler.start_weight_decay") is \(start) and end_weight_decay is \(end), expected 0 or more and an end not below the start"
        )
        require(
            scheduler.weightDecayIncrStyle != .constant || start == end,
            "\(key: "scheduler.weight_decay_incr_style") is constant, but start_weight_decay is \(start) and end_weight_decay \(end)"
        )
    }

    private mutating func checkData(_ abilities: RecipeTemplate.Abilities) {
        let (dataset, rowLength) = (recipe.dataset, recipe.model.seqLength)
        require(
            dataset.seqLength == rowLength,
            "\(key: "dataset.seq_length") is \(dataset.seqLength) and \(key: "model.seq_length") is \(rowLength), expected the same"
        )
        switch dataset.datasetType {
        case .mock:
            require(
                dataset.numImages == 0 || abilities.readsImages,
                "\(key: "dataset.num_images") is \(dataset.numImages), but this family reads text only; set \(key: "dataset.num_images")=0"
            )
        case .preloaded, .tokenized:
            require(
                !dataset.trainDataPath.isEmpty || !dataset.source.isEmpty,
                "\(key: "dataset.train_data_path") is empty, expected a file for dataset_type=\(dataset.datasetType.rawValue)"
            )
        case .hf:
            require(
                !dataset.makerName.isEmpty,
                "\(key: "dataset.maker_name") is empty, expected one such as make_cord_v2_dataset"
            )
        }
        require(
            !dataset.packSequencesInBatch || abilities.packsSequences,
            "\(key: "dataset.pack_sequences_in_batch") is true, but this family cannot keep the samples of a row apart; set it to false"
        )
    }

    private mutating func checkTrainable(_ abilities: RecipeTemplate.Abilities) {
        let (model, peft) = (recipe.model, recipe.peft)
        let frozenVision = model.freezeVisionModel && model.freezeVisionProjection
        if peft.scheme == .none {
            require(
                !model.freezeLanguageModel || (abilities.readsImages && !frozenVision),
                "nothing is trainable: every part of the model is frozen and there is no adapter; set \(key: "peft.scheme") or unfreeze a part"
            )
            require(
                !peft.visionLora,
                "\(key: "peft.vision_lora") is true, but \(key: "peft.scheme") is none; choose lora or dora"
            )
            return
        }
        require("peft.dim", peft.dim, in: 1...65536)
        require(peft.alpha > 0, "\(key: "peft.alpha") is \(peft.alpha), expected more than 0")
        require(
            peft.dropout >= 0 && peft.dropout < 1,
            "\(key: "peft.dropout") is \(peft.dropout), expected 0 or more and less than 1"
        )
        require(
            !peft.targetModules.isEmpty && !peft.targetModules.contains(""),
            "\(key: "peft.target_modules") is empty or has an empty name, expected modules such as linear_qkv"
        )
        if peft.initLoRAWeights != .standard {
            let name = peft.initLoRAWeights.rawValue
            require(
                model.tensorModelParallelSize == 1,
                "\(key: "peft.init_lora_weights") is \(name), which decomposes whole weights, and "
                    + "\(key: "model.tensor_model_parallel_size") is \(model.tensorModelParallelSize), which divides them; set it to 1"
            )
            require(
                recipe.checkpoint.ckptFormat == .native,
                "\(key: "peft.init_lora_weights") is \(name), and \(key: "checkpoint.ckpt_format") is torch_dist, in which Megatron Bridge "
                    + "reads adapters that start at zero; set it to native"
            )
        }
        let left = peft.targetModules.filter { !peft.excludeModules.contains($0) }
        require(
            left.count > 0 || peft.targetModules.isEmpty,
            "\(key: "peft.exclude_modules") excludes all of \(key: "peft.target_modules"), so there is no adapter; keep at least one target"
        )
        require(
            !peft.visionLora || abilities.readsImages,
            "\(key: "peft.vision_lora") is true, but this family has no vision tower"
        )
        // A frozen part gets no adapters, so the two settings contradict each other.
        require(
            !peft.visionLora || !model.freezeVisionModel,
            "\(key: "peft.vision_lora") and \(key: "model.freeze_vision_model") are both true, but a frozen part gets no adapters; set one of them to false"
        )
        require(
            !model.freezeLanguageModel || peft.visionLora,
            RecipeProblem(
                text: Recipe.frozenLanguageModelProblem,
                keys: ["model.freeze_language_model", "peft.vision_lora"]
            )
        )
    }
}

extension Recipe {
    /// The problem of a frozen language model when no other part gets adapters.
    package static let frozenLanguageModelProblem =
        "the language model is frozen (model.freeze_language_model) and gets no adapters; unfreeze it, or give the vision "
        + "tower adapters with --vision-lora (peft.vision_lora=true)"
}
