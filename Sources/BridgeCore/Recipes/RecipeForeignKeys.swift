import JSONTree

/// Settings of Megatron Bridge that have no meaning here, with the reason.
///
/// The sections are those of its `ConfigContainer`; of their keys there are those that people come across, not all, and the
/// rest is refused as unknown. A run that asked for one of them would get something else, so each is an error, not silence.
enum RecipeForeignKeys {
    /// Why a key of the peer is refused; nil for a key that the peer does not have either.
    static func reason(_ key: String) -> String? {
        if let reason = keys[key] { return reason }
        let section = key.split(separator: ".", maxSplits: 1).first.map(String.init) ?? key
        return sections[section]
    }

    /// Whether a setting has the value that every run here has anyway, so that a pasted command line loses nothing.
    static func isNeutral(_ key: String, _ value: JSON) -> Bool { neutral[key]?.contains(value) ?? false }

    private static let neutral: [String: [JSON]] = [
        "model.virtual_pipeline_model_parallel_size": [.null, 1],
        "model.expert_model_parallel_size": [1],
        "model.expert_tensor_parallel_size": [.null, 1],
        "model.sequence_parallel": [false],
        "model.calculate_per_token_loss": [true],
    ]

    private static let sections = [
        "ddp": "gradients are always summed in float32, by buckets; there is nothing to choose",
        "dist": "processes find each other through mpirun, not through torch.distributed",
        "tokenizer": "the tokenizer comes with the model that is trained",
        "rerun_state_machine":
            "a step that is not finite is left out and counted; see train.max_consecutive_skipped_iters",
        "ft": "there is no heartbeat service; a run goes on from its newest checkpoint when it is started again",
        "straggler": "there is no detection of slow ranks",
        "nvrx_straggler": "there is no detection of slow ranks",
        "profiling": "the profilers of CUDA and of torch do not see this program",
        "comm_overlap": "overlapping of communication is a matter of CUDA streams",
        "tensor_inspect": "it belongs to Transformer Engine",
        "inprocess_restart": "a run goes on from its newest checkpoint when it is started again",
        "env_vars": "set variables in the shell",
    ]

    private static let keys = [
        "model.virtual_pipeline_model_parallel_size": "interleaved pipeline stages are not available",
        "model.expert_model_parallel_size": "no model here has experts",
        "model.expert_tensor_parallel_size": "no model here has experts",
        "model.sequence_parallel": "it is a part of tensor parallelism that saves memory of a GPU only",
        "model.pipeline_dtype": "activations travel between stages in the type that they are computed in",
        "model.cp_comm_type": "there is one way of context-parallel communication",
        "model.attention_backend": "there is one implementation of attention",
        "model.recompute_method": "recomputation works layer by layer; choose model.recompute_granularity",
        "model.recompute_num_layers": "recomputation works layer by layer; choose model.recompute_granularity",
        "model.recompute_modules": "recomputation 'selective' is that of the MLP; choose model.recompute_granularity",
        "model.calculate_per_token_loss":
            "each trained token counts the same here; train.mean_of_means=true gives the other rule",
        "train.rampup_batch_size": "the global batch has one size",
        "train.decrease_batch_size_if_needed": "a global batch that cannot be divided is an error",
        "train.train_samples": "the length of a run is given in steps, as train.train_iters",
        "train.exit_signal": "SIGTERM and SIGINT always save and exit",
        "train.exit_signal_handler": "SIGTERM and SIGINT always save and exit",
        "train.manual_gc": "there is no garbage collector",
        "train.manual_gc_interval": "there is no garbage collector",
        "train.manual_gc_eval": "there is no garbage collector",
        "train.iterations_to_skip": "steps whose loss is not finite are left out by themselves",
        "train.skip_train": "leave the run out instead",
        "train.empty_unused_memory_level": "it empties the cache of CUDA's allocator",
        "train.train_sync_interval": "there is no device to wait for",
        "train.check_weight_hash_across_dp_replicas_interval":
            "replicas are not compared while a run goes on",
        "optimizer.use_distributed_optimizer": "the layout of the optimizer's state follows from the run's",
        "optimizer.use_precision_aware_optimizer": "the state of the optimizer is float32",
        "optimizer.bf16": "choose mixed_precision",
        "optimizer.fp16": "choose mixed_precision; float16 is not trained in",
        "optimizer.params_dtype": "choose mixed_precision",
        "optimizer.loss_scale": "bfloat16 needs no loss scale",
        "scheduler.lr_warmup_samples": "the warm-up is given in steps, as scheduler.lr_warmup_iters",
        "scheduler.lr_decay_samples": "the decay is given in steps, as scheduler.lr_decay_iters",
        "scheduler.override_opt_param_scheduler": "the recipe always decides about the schedule",
        "scheduler.use_checkpoint_opt_param_scheduler": "the recipe always decides about the schedule",
        "scheduler.no_weight_decay_cond_type": "1-D parameters have no weight decay",
        "dataset.dataloader_type": "the order of samples follows from rng.seed and dataset.shuffle",
        "dataset.hf_processor_path": "the processor comes with the model that is trained",
        "dataset.pin_memory": "there is no second memory to copy to",
        "dataset.persistent_workers": "threads that prepare samples always stay",
        "dataset.data_sharding": "each data-parallel rank always reads its own samples",
        "dataset.skip_getting_attention_mask_from_dataset": "masks follow from the samples",
        "dataset.test_data_path": "there is no test behind the last step; name the samples in dataset.valid_data_path",
        "checkpoint.ckpt_format": "there is one format, which Megatron reads",
        "checkpoint.fully_parallel_save": "every rank always writes its own part",
        "checkpoint.fully_parallel_load": "every rank always reads its own part",
        "checkpoint.load_optim": "a run that goes on always takes its optimizer with it",
        "checkpoint.load_rng": "a run that goes on always takes its random numbers with it",
        "checkpoint.save_rng": "the state of the random numbers is a few bytes and always saved",
        "checkpoint.finetune": "name the weights in checkpoint.pretrained_checkpoint",
        "checkpoint.exit_on_missing_checkpoint": "a checkpoint that is named and missing is always an error",
        "checkpoint.strict_fsdp_dtensor_load": "there are no DTensors",
        "logger.wandb_entity": "nothing is written for Weights & Biases",
        "logger.wandb_save_dir": "nothing is written for Weights & Biases",
        "logger.tensorboard_log_interval": "there is one interval, logger.log_interval",
        "logger.log_timers_to_tensorboard": "what the event files hold is not a choice",
        "logger.timing_log_level": "there is one level of timing",
        "rng.te_rng_tracker": "random numbers are counted, not tracked",
        "rng.inference_rng_tracker": "random numbers are counted, not tracked",
        "rng.data_parallel_random_init": "replicas always begin with the same parameters",
        "peft.lora_A_init_method": "adapters begin as in the peer's default: A by Xavier, B zero",
        "peft.lora_B_init_method": "adapters begin as in the peer's default: A by Xavier, B zero",
        "peft.dropout_position": "dropout stands before the adapter",
        "peft.a2a_experimental": "no model here has experts",
    ]
}
