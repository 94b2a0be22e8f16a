import JSONTree

/// Settings of Megatron Bridge that are not supported, with the reason.
///
/// The sections are those of its `ConfigContainer`, with the common keys only; the
/// rest is refused as unknown. Ignoring such a setting would silently change the run, so each is an error.
enum RecipeForeignKeys {
    /// Why a key of Megatron Bridge is refused; nil for an unknown key.
    static func reason(_ key: String) -> String? {
        if let reason = keys[key] { return reason }
        for specs in packingSpecs where key.hasPrefix("\(specs).") {
            return packing[String(key.dropFirst(specs.count + 1))]
        }
        let section = key.split(separator: ".", maxSplits: 1).first.map(String.init) ?? key
        return sections[section]
    }

    /// Whether a setting has the only value that Bridge supports, so that a command line of Megatron Bridge works.
    static func isNeutral(_ key: String, _ value: JSON) -> Bool { neutral[key]?.contains(value) ?? false }

    private static let neutral: [String: [JSON]] = [
        "model.expert_model_parallel_size": [1],
        "model.expert_tensor_parallel_size": [.null, 1],
        "ddp.grad_reduce_in_fp32": [true],
        "ddp.average_in_collective": [false],
        "ddp.check_for_large_grads": [false],
        "ddp.align_param_gather": [false],
        "ddp.num_buckets": [.null],
        "ddp.num_distributed_optimizer_instances": [1],
        "ddp.pad_buckets_for_high_nccl_busbw": [false],
        // Sums of float32 gradients are float32 with either value.
        "ddp.reduce_scatter_with_fp32_accumulation": [true, false],
        "ddp.gradient_reduce_div_fusion": [true],
        "ddp.data_parallel_sharding_strategy": ["no_shard"],
        "ddp.outer_dp_sharding_strategy": ["no_shard"],
        "ddp.use_megatron_fsdp": [false],
        "ddp.use_custom_fsdp": [false],
        "ddp.fp8_param_gather": [false],
        "optimizer.overlap_param_gather_with_optimizer_step": [false],
        "comm_overlap.overlap_param_gather_with_optimizer_step": [false],
        "comm_overlap.align_param_gather": [false],
        "comm_overlap.tp_comm_overlap": [false],
        "logger.mlflow_tags": [.null],
        "comm_overlap.overlap_p2p_comm": [false],
        "dataset.enable_offline_packing": [false],
        "dataset.packed_sequence_specs": [.null],
        "dataset.packed_sequence_specs.pad_cu_seqlens": [false],
        "dataset.packed_sequence_specs.pad_seq_to_mult": [1, .null],
        "dataset.offline_packing_specs": [.null],
        "dataset.offline_packing_specs.pad_cu_seqlens": [false],
        "dataset.offline_packing_specs.pad_seq_to_mult": [1, .null],
        "train.exit_signal_handler": [true],
        "dataset.persistent_workers": [true],
        "dataset.data_sharding": [true],
        "dataset.pin_memory": [true, false],
        "checkpoint.save_rng": [true],
        "checkpoint.load_rng": [true],
        "checkpoint.load_optim": [true],
        "checkpoint.fully_parallel_save": [true],
        "checkpoint.fully_parallel_load": [true],
        "checkpoint.exit_on_missing_checkpoint": [true],
        "checkpoint.ckpt_assume_constant_structure": [true, false],
        "checkpoint.dist_ckpt_strictness": ["raise_all", "raise_unexpected"],
        "checkpoint.non_persistent_save_interval": [.null],
        "checkpoint.non_persistent_ckpt_type": [.null],
        "checkpoint.replication": [false],
        "model.tp_comm_overlap": [false],
        "model.gradient_accumulation_fusion": [true, false],
        "model.variable_seq_lengths": [true, false],
        "model.overlap_p2p_comm": [true, false],
        "model.batch_p2p_comm": [true, false],
        "model.microbatch_group_size_per_vp_stage": [.null],
        "model.distribute_saved_activations": [false],
        "model.hierarchical_context_parallel_sizes": [.null],
        "model.use_cpu_initialization": [true, false],
        "model.perform_initialization": [true, false],
        "model.fp16": [false],
        "optimizer.fp16": [false],
        "optimizer.optimizer_cpu_offload": [false],
        "optimizer.use_precision_aware_optimizer": [false],
        "mixed_precision.grad_reduce_in_fp32": [true],
    ]

    /// Where Megatron Bridge has the settings of packing before the run, in 0.4 and in 0.6.
    private static let packingSpecs = ["dataset.packed_sequence_specs", "dataset.offline_packing_specs"]

    private static let packing = [
        "tokenizer_model_name": "the tokenizer is that of the model",
        "num_tokenizer_workers": "set dataset.num_workers",
        "packed_train_data_path": "give the .npy file as dataset.train_data_path, with dataset.dataset_type=tokenized",
        "packed_val_data_path": "give the .npy file as dataset.valid_data_path, with dataset.dataset_type=tokenized",
        "packed_metadata_path": "the numbers of rows follow from the data",
        "pad_cu_seqlens": "there are no CUDA graphs",
        "pad_seq_to_mult": "samples need no padding within a row; dataset.pad_to_multiple_of pads rows",
    ]

    private static let sections = [
        "ddp":
            "of the data-parallel settings, overlap_grad_reduce, overlap_param_gather, bucket_size and check_for_nan_in_grad can be set",
        "dist": "processes are started by mpirun, not by torch.distributed",
        "tokenizer": "the tokenizer is that of the model",
        "rerun_state_machine":
            "a step with a loss or gradient that is not finite is skipped and counted; see train.max_consecutive_skipped_iters",
        "ft": "there is no heartbeat service; a restarted run resumes from its newest checkpoint",
        "straggler": "slow ranks are not detected",
        "nvrx_straggler": "slow ranks are not detected",
        "profiling": "the profilers of CUDA and torch do not support this program",
        "comm_overlap": "only data-parallel communication overlaps with computation; see ddp.overlap_grad_reduce",
        "tensor_inspect": "it is a feature of Transformer Engine",
        "inprocess_restart": "a restarted run resumes from its newest checkpoint",
        "env_vars": "set variables in the shell",
    ]

    private static let keys = [
        "model.expert_model_parallel_size": "no supported model has experts",
        "model.expert_tensor_parallel_size": "no supported model has experts",
        "model.tp_comm_overlap": "tensor-parallel communication does not overlap with the products of a layer",
        "model.microbatch_group_size_per_vp_stage":
            "the group of micro-batches of a virtual stage is model.pipeline_model_parallel_size",
        "model.distribute_saved_activations": "saved activations are divided by model.sequence_parallel",
        "model.hierarchical_context_parallel_sizes": "there is one method of context-parallel communication",
        "model.gradient_accumulation_fusion": "gradients are always added up in float32 where they are computed",
        "model.variable_seq_lengths": "messages between stages always carry their shapes",
        "model.overlap_p2p_comm": "messages between stages are always sent while the stage computes",
        "model.batch_p2p_comm": "messages between stages are always sent while the stage computes",
        "model.use_cpu_initialization": "the program runs on processors",
        "model.perform_initialization": "set checkpoint.random_init to begin with random weights",
        "model.bf16": "set mixed_precision=bf16_mixed",
        "model.fp16": "training in float16 is not supported; set mixed_precision",
        "model.params_dtype": "set mixed_precision",
        "mixed_precision.grad_reduce_in_fp32": "gradients are always summed in float32; remove it or set true",
        "mixed_precision.params_dtype": "set mixed_precision=bf16_mixed or fp32",
        "mixed_precision.bf16": "set mixed_precision=bf16_mixed or fp32",
        "mixed_precision.fp16": "training in float16 is not supported; set mixed_precision=bf16_mixed or fp32",
        "optimizer.optimizer_cpu_offload": "the state of the optimizer is in the memory of the processors",
        "checkpoint.ckpt_assume_constant_structure": "each checkpoint is planned by itself",
        "checkpoint.dist_ckpt_strictness":
            "missing and unexpected parameters are always an error; set raise_all, or remove it",
        "checkpoint.non_persistent_save_interval":
            "all checkpoints are kept as checkpoint.most_recent_k has it; set checkpoint.save_interval",
        "checkpoint.non_persistent_ckpt_type":
            "all checkpoints are kept as checkpoint.most_recent_k has it; set checkpoint.save_interval",
        "checkpoint.replication": "checkpoints are written to one directory, which all hosts share",
        "model.pipeline_dtype": "activations are sent between stages in the type that they are computed in",
        "model.cp_comm_type": "there is one method of context-parallel communication",
        "model.attention_backend": "there is one implementation of attention",
        "model.recompute_method": "recomputation works layer by layer; set model.recompute_granularity",
        "model.recompute_num_layers": "recomputation works layer by layer; set model.recompute_granularity",
        "model.recompute_modules": "selective recomputation is that of the MLP; set model.recompute_granularity",
        "ddp.grad_reduce_in_fp32":
            "gradients are always summed in float32, over micro-batches and over ranks; remove it or set true",
        "ddp.average_in_collective":
            "gradients are summed, and divided in the step of the optimizer, so that the number of ranks does not change rounding",
        "ddp.check_for_large_grads": "optimizer.clip_grad limits them; train.loss_spike_threshold skips a step",
        "ddp.align_param_gather": "each pipeline stage gathers its parameters as its forward pass needs them",
        "ddp.num_buckets": "set ddp.bucket_size, the number of parameters in a bucket",
        "ddp.num_distributed_optimizer_instances":
            "the state of the optimizer is shared by all ranks with the same parameters",
        "ddp.pad_buckets_for_high_nccl_busbw": "NCCL is not used",
        "ddp.gradient_reduce_div_fusion": "gradients are always divided in the step of the optimizer",
        "ddp.data_parallel_sharding_strategy":
            "FSDP is not supported; optimizer.use_distributed_optimizer shards the state of the optimizer (ZeRO-1)",
        "ddp.outer_dp_sharding_strategy":
            "FSDP is not supported; optimizer.use_distributed_optimizer shards the state of the optimizer (ZeRO-1)",
        "ddp.use_megatron_fsdp":
            "FSDP is not supported; optimizer.use_distributed_optimizer shards the state of the optimizer (ZeRO-1)",
        "ddp.use_custom_fsdp":
            "FSDP is not supported; optimizer.use_distributed_optimizer shards the state of the optimizer (ZeRO-1)",
        "ddp.fp8_param_gather": "parameters are gathered in the type of the forward pass",
        "optimizer.overlap_param_gather_with_optimizer_step":
            "parameters are gathered after the step of the optimizer; set ddp.overlap_param_gather",
        "comm_overlap.overlap_param_gather_with_optimizer_step":
            "parameters are gathered after the step of the optimizer; set ddp.overlap_param_gather",
        "train.rampup_batch_size": "the global batch size is constant",
        "train.decrease_batch_size_if_needed": "a global batch that cannot be divided is an error",
        "train.exit_signal": "SIGTERM and SIGINT always save and exit",
        "train.exit_signal_handler": "SIGTERM and SIGINT always save and exit",
        "train.manual_gc": "there is no garbage collector",
        "train.manual_gc_interval": "there is no garbage collector",
        "train.manual_gc_eval": "there is no garbage collector",
        "train.iterations_to_skip": "steps whose loss is not finite are always skipped",
        "train.skip_train": "a run without training is not supported; use 'bridge evaluate' for a model",
        "train.empty_unused_memory_level": "it empties the cache of CUDA's allocator",
        "train.train_sync_interval": "there is no device to synchronize with",
        "train.check_weight_hash_across_dp_replicas_interval":
            "replicas are not compared during a run",
        "optimizer.use_precision_aware_optimizer": "the state of the optimizer is float32",
        "optimizer.bf16": "set mixed_precision",
        "optimizer.fp16": "training in float16 is not supported; set mixed_precision",
        "optimizer.params_dtype": "set mixed_precision",
        "optimizer.loss_scale": "bfloat16 needs no loss scale",
        "scheduler.lr_warmup_samples": "the warm-up is a number of steps; set scheduler.lr_warmup_iters",
        "scheduler.lr_decay_samples": "the decay is a number of steps; set scheduler.lr_decay_iters",
        "scheduler.override_opt_param_scheduler": "the schedule is always that of the recipe",
        "scheduler.use_checkpoint_opt_param_scheduler": "the schedule is always that of the recipe",
        "scheduler.no_weight_decay_cond_type": "1-D parameters have no weight decay",
        "dataset.enable_offline_packing": "dataset.packed_sequence_size alone packs samples before the run; remove it",
        "dataset.packed_sequence_specs": "set dataset.packed_sequence_size to the number of tokens of a row",
        "dataset.offline_packing_specs": "set dataset.packed_sequence_size to the number of tokens of a row",
        "dataset.dataloader_type": "the order of samples follows from rng.seed and dataset.shuffle",
        "dataset.hf_processor_path": "the processor is that of the model",
        "dataset.pin_memory": "there is no device memory to copy to",
        "dataset.persistent_workers": "threads that prepare samples always persist",
        "dataset.data_sharding": "each data-parallel rank always reads its own samples",
        "dataset.skip_getting_attention_mask_from_dataset": "masks follow from the samples",
        "dataset.test_data_path": "there is no test after the last step; set dataset.valid_data_path",
        "checkpoint.fully_parallel_save": "every rank always writes its own part",
        "checkpoint.fully_parallel_load": "every rank always reads its own part",
        "checkpoint.load_optim": "a resumed run always loads the optimizer state",
        "checkpoint.load_rng": "a resumed run always loads the state of the random number generators",
        "checkpoint.save_rng": "the state of the random number generators is always saved",
        "checkpoint.finetune": "set checkpoint.pretrained_checkpoint to the weights",
        "checkpoint.exit_on_missing_checkpoint": "a missing checkpoint is always an error",
        "checkpoint.strict_fsdp_dtensor_load": "there are no DTensors",
        "logger.mlflow_tags": "a run on an MLflow server has no tags; its settings are parameters",
        "logger.tensorboard_log_interval": "there is one interval, logger.log_interval",
        "logger.log_timers_to_tensorboard": "the contents of event files cannot be configured",
        "logger.timing_log_level": "there is one level of timing",
        "rng.te_rng_tracker": "random number generators are counter-based and need no tracker",
        "rng.inference_rng_tracker": "random number generators are counter-based and need no tracker",
        "rng.data_parallel_random_init": "replicas always start with the same parameters",
        "peft.lora_A_init_method": "adapters are initialized with Megatron Bridge's defaults: A by Xavier, B zero",
        "peft.lora_B_init_method": "adapters are initialized with Megatron Bridge's defaults: A by Xavier, B zero",
        "peft.dropout_position": "dropout is applied before the adapter",
        "peft.a2a_experimental": "no supported model has experts",
    ]
}
