/// The settings of the model and of its training.
extension RecipeTable {
    static let first = [
        RecipeField("name", \.name, "The run's name, used for its directories."),
        RecipeField("hf_path", \.hfPath, "The hub id of the recipe's model; empty for any model."),
    ]

    static let model = [
        RecipeField(
            "model.tensor_model_parallel_size",
            \.model.tensorModelParallelSize,
            "The number of ranks that the matrices of each layer are sharded across."
        ),
        RecipeField(
            "model.pipeline_model_parallel_size",
            \.model.pipelineModelParallelSize,
            "The number of pipeline stages."
        ),
        RecipeField(
            "model.context_parallel_size",
            \.model.contextParallelSize,
            "The number of ranks that a sequence is sharded across."
        ),
        RecipeField(
            "model.sequence_parallel",
            \.model.sequenceParallel,
            "Whether tensor-parallel ranks shard the activations between their layers along the sequence."
        ),
        RecipeField(
            "model.virtual_pipeline_model_parallel_size",
            \.model.virtualPipelineModelParallelSize,
            "The number of virtual stages on each pipeline-parallel rank, for the interleaved schedule; null for one."
        ),
        RecipeField(
            "model.account_for_embedding_in_pipeline_split",
            \.model.accountForEmbeddingInPipelineSplit,
            "Whether the embedding counts as a layer of the first pipeline stage."
        ),
        RecipeField(
            "model.account_for_loss_in_pipeline_split",
            \.model.accountForLossInPipelineSplit,
            "Whether output layer and loss count as a layer of the last pipeline stage."
        ),
        RecipeField(
            "model.pipeline_model_parallel_layout",
            \.model.pipelineModelParallelLayout,
            "The virtual pipeline stages as text, such as Et*3|(tt|)*29|L: E embedding, t layer, L loss."
        ),
        RecipeField(
            "model.num_layers_in_first_pipeline_stage",
            \.model.numLayersInFirstPipelineStage,
            "The number of layers of the first pipeline stage; null for an even distribution."
        ),
        RecipeField(
            "model.num_layers_in_last_pipeline_stage",
            \.model.numLayersInLastPipelineStage,
            "The number of layers of the last pipeline stage; null for an even distribution."
        ),
        RecipeField(
            "model.seq_length",
            \.model.seqLength,
            "The maximum sequence length in tokens; equal to dataset.seq_length."
        ),
        RecipeField(
            "model.load_in_4bit",
            \.model.loadIn4bit,
            "Whether the frozen matrices of the language model have 4 bits (QLoRA), embedding and output layer 8."
        ),
        RecipeField(
            "model.load_in_8bit",
            \.model.loadIn8bit,
            "Whether the frozen matrices of the language model have 8 bits."
        ),
        RecipeField(
            "model.quantization_group_size",
            \.model.quantizationGroupSize,
            "The number of weights of a row that share a factor, for load_in_4bit and load_in_8bit: 32, 64 or 128."
        ),
        RecipeField(
            "model.calculate_per_token_loss",
            \.model.calculatePerTokenLoss,
            "Whether the loss is the mean over all supervised tokens; false: the mean of the micro-batches' means."
        ),
        RecipeField(
            "model.freeze_language_model",
            \.model.freezeLanguageModel,
            "Whether the language model is frozen; a frozen language model gets no adapters."
        ),
        RecipeField(
            "model.freeze_vision_model",
            \.model.freezeVisionModel,
            "Whether the vision tower is frozen; a frozen vision tower gets no adapters."
        ),
        RecipeField(
            "model.freeze_vision_projection",
            \.model.freezeVisionProjection,
            "Whether the projector between vision tower and language model is frozen."
        ),
        RecipeField(
            "model.attention_dropout",
            \.model.attentionDropout,
            "The dropout probability of attention weights, instead of the model's attention_dropout; only 0 is supported."
        ),
        RecipeField(
            "model.recompute_granularity",
            \.model.recomputeGranularity,
            "The activations recomputed in the backward pass: none, those of the MLP of each layer, or those of whole layers."
        ),
    ]

    static let train = [
        RecipeField("train.micro_batch_size", \.train.microBatchSize, "The number of samples in one forward pass."),
        RecipeField(
            "train.global_batch_size",
            \.train.globalBatchSize,
            "The number of samples in one step, a multiple of train.micro_batch_size."
        ),
        RecipeField("train.train_iters", \.train.trainIters, "The number of steps of the run."),
        RecipeField(
            "train.num_epochs",
            \.train.numEpochs,
            "The number of passes over the training samples, such as 3 or 0.5, instead of train.train_iters; null for train.train_iters."
        ),
        RecipeField(
            "train.train_samples",
            \.train.trainSamples,
            "The number of training samples that the run takes, instead of train.train_iters: as many full batches as they make; null for "
                + "train.train_iters."
        ),
        RecipeField(
            "train.evals_per_epoch",
            \.train.evalsPerEpoch,
            "The number of validations in each epoch, at the ends of equal parts, instead of train.eval_interval; null for train.eval_interval."
        ),
        RecipeField(
            "train.patience",
            \.train.patience,
            "Ends the run after this number of consecutive validations none of which is the best so far (early stopping); null for never."
        ),
        RecipeField(
            "train.metric_for_best_model",
            \.train.metricForBestModel,
            "The metric of a validation that train.patience and checkpoint.keep_best compare: the smallest loss, or the largest of another metric."
        ),
        // Megatron Bridge moved these two to the section validation in 0.4.
        RecipeField(
            "train.eval_interval",
            \.train.evalInterval,
            "The number of steps between two validations, and one follows the last step; 0 for no validation.",
            aliases: ["validation.eval_interval"]
        ),
        RecipeField(
            "train.eval_iters",
            \.train.evalIters,
            "The number of global batches in a validation, at most one pass over the validation samples; 0 for no validation.",
            aliases: ["validation.eval_iters"]
        ),
        RecipeField(
            "train.exit_duration_in_mins",
            \.train.exitDurationInMins,
            "Saves a checkpoint and exits after this number of minutes; null for never."
        ),
        RecipeField(
            "train.exit_interval",
            \.train.exitInterval,
            "Saves a checkpoint and exits after a step that is a multiple of this; null for never."
        ),
        RecipeField(
            "train.loss_spike_threshold",
            \.train.spikeThreshold,
            "Skips a step whose loss exceeds the running mean by more than this factor; null for never.",
            aliases: ["train.spike_threshold"]
        ),
        RecipeField(
            "train.neftune_noise_alpha",
            \.train.neftuneNoiseAlpha,
            "Alpha of the noise that training adds to the embeddings of tokens (NEFTune), such as 5; null for none."
        ),
        RecipeField(
            "train.max_consecutive_skipped_iters",
            \.train.maxSkippedIters,
            "The run ends with an error after this number of consecutive skipped steps; 0 counts as 1.",
            aliases: ["train.max_skipped_iters"]
        ),
    ]

    static let optimizer = [
        RecipeField(
            "optimizer.optimizer",
            \.optimizer.optimizer,
            "AdamW, or stochastic gradient descent with momentum."
        ),
        RecipeField(
            "optimizer.use_distributed_optimizer",
            \.optimizer.useDistributedOptimizer,
            "Whether data-parallel ranks shard the optimizer's state (ZeRO-1); results are the same.",
            aliases: ["ddp.use_distributed_optimizer"]
        ),
        RecipeField("optimizer.lr", \.optimizer.lr, "The maximum learning rate."),
        RecipeField("optimizer.min_lr", \.optimizer.minLR, "The minimum learning rate, at the end of the decay."),
        RecipeField(
            "optimizer.weight_decay",
            \.optimizer.weightDecay,
            "The weight decay of matrices; vectors have none."
        ),
        RecipeField(
            "optimizer.adam_beta1",
            \.optimizer.adamBeta1,
            "AdamW's decay rate of the first moment, from 0 to less than 1."
        ),
        RecipeField(
            "optimizer.adam_beta2",
            \.optimizer.adamBeta2,
            "AdamW's decay rate of the second moment, from 0 to less than 1."
        ),
        RecipeField(
            "optimizer.adam_eps",
            \.optimizer.adamEps,
            "AdamW's epsilon, added to the square root of the second moment."
        ),
        RecipeField("optimizer.sgd_momentum", \.optimizer.sgdMomentum, "The momentum of SGD, from 0 to less than 1."),
        RecipeField(
            "optimizer.clip_grad",
            \.optimizer.clipGrad,
            "The maximum global norm of the gradients; larger gradients are scaled down to it. 0 for no clipping."
        ),
        RecipeField(
            "optimizer.grad_norm_skip_threshold",
            \.optimizer.gradNormSkipThreshold,
            "A step whose gradients have a larger global norm, before clipping, is skipped; null for none."
        ),
        RecipeField(
            "optimizer.vision_model_lr",
            \.optimizer.visionModelLR,
            "The maximum learning rate of the vision tower, with the schedule of optimizer.lr; null for optimizer.lr."
        ),
        RecipeField(
            "optimizer.vision_projection_lr",
            \.optimizer.visionProjectionLR,
            "The maximum learning rate of the multi-modal projector, with the schedule of optimizer.lr; null for optimizer.lr."
        ),
        RecipeField(
            "optimizer.embedding_lr",
            \.optimizer.embeddingLR,
            "The maximum learning rate of the word embedding and the output layer, with the schedule of optimizer.lr; null for optimizer.lr."
        ),
        RecipeField(
            "optimizer.adapter_lr",
            \.optimizer.adapterLR,
            "The maximum learning rate of adapters, with the schedule of optimizer.lr; null for optimizer.lr."
        ),
    ]

    // Megatron Bridge has these in its section comm_overlap too.
    static let ddp = [
        RecipeField(
            "ddp.overlap_grad_reduce",
            \.ddp.overlapGradReduce,
            "Whether ranks with the same parameters sum gradients during the rest of the backward pass; results are the same.",
            aliases: ["comm_overlap.overlap_grad_reduce"]
        ),
        RecipeField(
            "ddp.overlap_param_gather",
            \.ddp.overlapParamGather,
            "Whether the parameters that other ranks have updated are gathered during the next forward pass; results are the same.",
            aliases: ["optimizer.overlap_param_gather", "comm_overlap.overlap_param_gather"]
        ),
        RecipeField(
            "ddp.bucket_size",
            \.ddp.bucketSize,
            "The number of parameters whose gradients are summed together; null for 40 million, or 1 million for each rank with the same parameters if that is more.",
            aliases: ["comm_overlap.bucket_size"]
        ),
        RecipeField(
            "ddp.check_for_nan_in_grad",
            \.ddp.checkForNanInGrad,
            "Whether a gradient that is not finite ends the run with an error that names the rank and the parameter; false: the step is skipped."
        ),
    ]

    static let scheduler = [
        RecipeField(
            "scheduler.lr_decay_style",
            \.scheduler.lrDecayStyle,
            "The decay style of the learning rate after the warm-up."
        ),
        RecipeField("scheduler.lr_warmup_iters", \.scheduler.lrWarmupIters, "The number of warm-up steps."),
        RecipeField(
            "scheduler.lr_warmup_fraction",
            \.scheduler.lrWarmupFraction,
            "The warm-up as a fraction of the decay steps, from 0 to less than 1; null for scheduler.lr_warmup_iters."
        ),
        RecipeField(
            "scheduler.lr_warmup_init",
            \.scheduler.lrWarmupInit,
            "The initial learning rate of the warm-up."
        ),
        RecipeField(
            "scheduler.lr_decay_iters",
            \.scheduler.lrDecayIters,
            "The step at which the minimum learning rate is reached; null for train.train_iters."
        ),
        RecipeField(
            "scheduler.lr_decay_fraction",
            \.scheduler.lrDecayFraction,
            "The step at which the minimum learning rate is reached as a fraction of train.train_iters, more than 0 to 1; null for scheduler.lr_decay_iters."
        ),
        RecipeField(
            "scheduler.lr_wsd_decay_style",
            \.scheduler.lrWSDDecayStyle,
            "The decay style of the final phase of WSD."
        ),
        RecipeField(
            "scheduler.lr_wsd_decay_iters",
            \.scheduler.lrWSDDecayIters,
            "The number of steps of the final decay phase of WSD; with WSD either this or scheduler.lr_wsd_decay_fraction is required."
        ),
        RecipeField(
            "scheduler.lr_wsd_decay_fraction",
            \.scheduler.lrWSDDecayFraction,
            "The final decay phase of WSD as a fraction of the decay steps, more than 0 to 1; null for scheduler.lr_wsd_decay_iters."
        ),
        RecipeField(
            "scheduler.start_weight_decay",
            \.scheduler.startWeightDecay,
            "The weight decay at the first step; null for optimizer.weight_decay."
        ),
        RecipeField(
            "scheduler.end_weight_decay",
            \.scheduler.endWeightDecay,
            "The weight decay at the last step; null for optimizer.weight_decay."
        ),
        RecipeField(
            "scheduler.weight_decay_incr_style",
            \.scheduler.weightDecayIncrStyle,
            "The schedule of the weight decay from start to end."
        ),
    ]

    /// Settings of former versions, which are read and not written.
    static let former = [
        RecipeField(
            "train.mean_of_means",
            \.meanOfMeans,
            "The opposite of model.calculate_per_token_loss."
        )
    ]
}

extension Recipe {
    /// The former setting of ``ModelSection/calculatePerTokenLoss``.
    fileprivate var meanOfMeans: Bool {
        get { !model.calculatePerTokenLoss }
        set { model.calculatePerTokenLoss = !newValue }
    }
}
