import JSONTree

extension ProviderFields {
    /// The keys of the section that no class of Megatron Bridge is known to have, and that nothing reads.
    ///
    /// - Parameter own: The fields of the class alone.
    /// - Returns: The keys, in the order of the file.
    package func unknownKeys(own: Set<String>) -> [String] {
        (model.object ?? JSONObject()).map(\.key).filter { key in
            !own.contains(key) && !Self.known.contains(key) && !Self.groups.contains { key.hasPrefix($0) }
        }
    }

    /// The fields of TransformerConfig, ModelParallelConfig and GPTModelProvider: those that are read, those that ``check()``
    /// compares, and those that only change how a model is trained or run.
    private static let known = Set(
        """
        activation_func activation_func_clamp_value activation_func_fp8_input_store add_bias_linear add_qkv_bias
        apply_query_key_layer_scaling apply_residual_connection_post_layernorm apply_rope_fusion
        async_tensor_model_parallel_allreduce attention_backend attention_dropout attention_output_gate
        attention_softmax_in_fp32 autocast_dtype barrier_with_L1_time batch_invariant_mode batch_p2p_comm
        batch_p2p_sync bf16 calculate_per_token_loss clone_scatter_output_in_embedding config_logger_dir
        context_parallel_size cp_comm_type cp_partition_mode deallocate_pipeline_outputs
        defer_embedding_wgrad_compute delay_wgrad_compute deterministic_mode distribute_saved_activations
        embedding_init_method embedding_init_method_std ep_overlap_early_attn_memory_release
        experimental_attention_variant external_cuda_graph ffn_hidden_size finalize_model_grads_func
        fine_grained_activation_offloading first_last_layers_bf16 flash_decode fp16 fp16_lm_cross_entropy
        fp32_residual_connection fused_single_qkv_rope gated_linear_unit generation_config glu_linear_offset
        grad_scale_func grad_sync_func gradient_accumulation_fusion head_wise_attn_gate
        hetereogenous_dist_checkpoint heterogeneous_block_specs hf_config hf_model_id hidden_dropout hidden_size
        image_token_id init_method init_method_std init_model_with_meta_device is_hybrid_model kv_channels
        layernorm_epsilon layernorm_zero_centered_gamma log_max_attention_logit make_vocab_size_divisible_by
        masked_softmax_fusion max_seqlen_per_dp_cp_rank memory_efficient_layer_norm
        microbatch_group_size_per_vp_stage min_offloaded_tensor_size mrope_section multi_latent_attention
        no_rope_freq no_sync_func normalization num_attention_heads num_layers num_layers_at_end_in_bf16
        num_layers_at_start_in_bf16 num_layers_in_first_pipeline_stage num_layers_in_last_pipeline_stage
        num_moe_experts num_query_groups output_layer_init_method parallel_output param_sync_func params_dtype
        perform_initialization persist_layer_norm position_embedding_type qk_l2_norm qk_layernorm quant_recipe
        restore_modelopt_state rope_scaling rope_scaling_factor rotary_base rotary_base_per_layer
        rotary_interleaved rotary_percent rotary_scaling_factor scatter_embedding_sequence_parallel
        seq_len_interpolation_factor seq_length sequence_parallel share_embeddings_and_output_weights
        should_pad_vocab softmax_scale softmax_type symmetric_ar_type tensor_model_parallel_size test_mode
        timers transformer_impl transformer_layer_spec variable_seq_lengths virtual_pipeline_model_parallel_size
        vocab_size wgrad_deferral_limit window_attn_skip_freq window_size
        """.split { $0 == " " || $0 == "\n" }.map(String.init)
    )

    /// What the names of related fields begin with; each version of Megatron-Core adds some.
    private static let groups = [
        "_", "account_for_", "bias_", "cpu_offloading", "cross_entropy_", "cuda_graph_", "disable_", "dsa_", "enable_",
        "expert_", "fp4", "fp8", "freeze_", "hierarchical_", "hybrid_", "inference_", "kitchen_", "linear_", "mamba_",
        "mlp_chunks", "moe_", "mtp_", "num_microbatches", "offload", "overlap_", "pipeline_", "qk_clip", "recompute_",
        "tp_",
        "use_", "yarn_",
    ]
}
