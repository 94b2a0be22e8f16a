/// The settings of the model and of its training.
extension RecipeTable {
    static let first = [
        RecipeField("name", \.name, "The run's name, of which its directories are called."),
        RecipeField("hf_path", \.hfPath, "The hub id of the model that the recipe is made for; empty for any model."),
    ]

    static let model = [
        RecipeField(
            "model.tensor_model_parallel_size",
            \.model.tensorModelParallelSize,
            "Over how many ranks each layer's matrices are spread; training takes 1."
        ),
        RecipeField(
            "model.pipeline_model_parallel_size",
            \.model.pipelineModelParallelSize,
            "Over how many ranks the layers are spread; training takes 1."
        ),
        RecipeField(
            "model.context_parallel_size",
            \.model.contextParallelSize,
            "Over how many ranks a sequence is spread; training takes 1."
        ),
        RecipeField(
            "model.seq_length",
            \.model.seqLength,
            "The longest sequence, in tokens; the same as dataset.seq_length."
        ),
        RecipeField(
            "model.freeze_language_model",
            \.model.freezeLanguageModel,
            "Whether the language model stays as it is; with adapters it then gets none."
        ),
        RecipeField(
            "model.freeze_vision_model",
            \.model.freezeVisionModel,
            "Whether the vision tower stays as it is; it then gets no adapters either."
        ),
        RecipeField(
            "model.freeze_vision_projection",
            \.model.freezeVisionProjection,
            "Whether the projector between vision tower and language model stays as it is."
        ),
        RecipeField(
            "model.attention_dropout",
            \.model.attentionDropout,
            "The share of attention weights that is dropped, instead of attention_dropout of the model; only 0 is supported."
        ),
        RecipeField(
            "model.recompute_granularity",
            \.model.recomputeGranularity,
            "What is computed again on the way back instead of being kept: nothing, the MLP of each layer, or whole layers."
        ),
    ]

    static let train = [
        RecipeField("train.micro_batch_size", \.train.microBatchSize, "Samples in one forward pass."),
        RecipeField(
            "train.global_batch_size",
            \.train.globalBatchSize,
            "Samples in one step, a multiple of train.micro_batch_size."
        ),
        RecipeField("train.train_iters", \.train.trainIters, "How many steps the run has."),
        // Megatron Bridge moved these two to the section validation in 0.4.
        RecipeField(
            "train.eval_interval",
            \.train.evalInterval,
            "How many steps lie between two validations; 0 for none.",
            aliases: ["validation.eval_interval"]
        ),
        RecipeField(
            "train.eval_iters",
            \.train.evalIters,
            "How many global batches a validation has; 0 for no validation.",
            aliases: ["validation.eval_iters"]
        ),
        RecipeField(
            "train.exit_duration_in_mins",
            \.train.exitDurationInMins,
            "Saves and ends after so many minutes; null for never."
        ),
        RecipeField(
            "train.exit_interval",
            \.train.exitInterval,
            "Saves and ends after a step that is a multiple of this; null for never."
        ),
        RecipeField(
            "train.mean_of_means",
            \.train.meanOfMeans,
            "Whether each micro-batch counts the same in the loss, as in Megatron Bridge, and not each trained token."
        ),
        RecipeField(
            "train.loss_spike_threshold",
            \.train.spikeThreshold,
            "Skips a step whose loss is more than this many times the running mean; null for no such rule.",
            aliases: ["train.spike_threshold"]
        ),
        RecipeField(
            "train.max_consecutive_skipped_iters",
            \.train.maxSkippedIters,
            "Ends the run with an error after this number of skipped steps in a row; 0 at the first.",
            aliases: ["train.max_skipped_iters"]
        ),
    ]

    static let optimizer = [
        RecipeField("optimizer.optimizer", \.optimizer.optimizer, "AdamW, or gradient descent with momentum."),
        RecipeField("optimizer.lr", \.optimizer.lr, "The highest learning rate."),
        RecipeField("optimizer.min_lr", \.optimizer.minLR, "The lowest learning rate, at the end of the decay."),
        RecipeField(
            "optimizer.weight_decay",
            \.optimizer.weightDecay,
            "What matrices shrink by in a step, times the learning rate; vectors do not."
        ),
        RecipeField(
            "optimizer.adam_beta1",
            \.optimizer.adamBeta1,
            "AdamW's decay rate of the mean of gradients, from 0 to less than 1."
        ),
        RecipeField(
            "optimizer.adam_beta2",
            \.optimizer.adamBeta2,
            "AdamW's decay rate of the mean of their squares, from 0 to less than 1."
        ),
        RecipeField("optimizer.adam_eps", \.optimizer.adamEps, "What AdamW adds to the root of the mean of squares."),
        RecipeField("optimizer.sgd_momentum", \.optimizer.sgdMomentum, "The momentum of sgd, from 0 to less than 1."),
        RecipeField(
            "optimizer.clip_grad",
            \.optimizer.clipGrad,
            "The largest norm of the whole gradient, to which a larger one is scaled; 0 for no limit."
        ),
    ]

    static let scheduler = [
        RecipeField(
            "scheduler.lr_decay_style",
            \.scheduler.lrDecayStyle,
            "The course of the learning rate behind the warm-up."
        ),
        RecipeField("scheduler.lr_warmup_iters", \.scheduler.lrWarmupIters, "How many steps the warm-up has."),
        RecipeField(
            "scheduler.lr_warmup_fraction",
            \.scheduler.lrWarmupFraction,
            "The warm-up's share of the decay, from 0 to less than 1; null for scheduler.lr_warmup_iters."
        ),
        RecipeField(
            "scheduler.lr_warmup_init",
            \.scheduler.lrWarmupInit,
            "The learning rate at the beginning of the warm-up."
        ),
        RecipeField(
            "scheduler.lr_decay_iters",
            \.scheduler.lrDecayIters,
            "At which step the lowest rate is reached; null for train.train_iters."
        ),
        RecipeField(
            "scheduler.lr_wsd_decay_style",
            \.scheduler.lrWSDDecayStyle,
            "The course of the decay at the end of WSD."
        ),
        RecipeField(
            "scheduler.lr_wsd_decay_iters",
            \.scheduler.lrWSDDecayIters,
            "How many steps the decay at the end of WSD has; WSD needs it."
        ),
        RecipeField(
            "scheduler.start_weight_decay",
            \.scheduler.startWeightDecay,
            "The weight decay of the first step; null for optimizer.weight_decay."
        ),
        RecipeField(
            "scheduler.end_weight_decay",
            \.scheduler.endWeightDecay,
            "The weight decay of the last step; null for optimizer.weight_decay."
        ),
        RecipeField(
            "scheduler.weight_decay_incr_style",
            \.scheduler.weightDecayIncrStyle,
            "The course of the weight decay between them."
        ),
    ]
}
