import JSONTree
public import ModelSchema

extension GenerationSettings {
    /// Every key of `generation_config.json`.
    public static let table = SettingsTable(
        file: "generation_config.json",
        source: "GenerationConfig, transformers 5.23"
    ) {
        SettingsTable.honoured(
            "eos_token_id",
            "sequence_bias",
            "repetition_penalty",
            "no_repeat_ngram_size",
            "bad_words_ids",
            "min_length",
            "min_new_tokens",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            "stop_strings",
            "max_time"
        )
        SettingsTable.noEffect(
            "max_new_tokens",
            "max_length",
            because: "does not change which tokens are chosen; the limit of generate unless --max-new-tokens is given"
        )
        SettingsTable.noEffect(
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            because: "greedy decoding is the default and uses none of them; honoured with --do-sample or --temperature"
        )
        SettingsTable.noEffect(
            "typical_p",
            "epsilon_cutoff",
            "eta_cutoff",
            "top_h",
            because: "greedy decoding uses none of them; refused when tokens are sampled, unless neutral"
        )
        SettingsTable.only("num_beams", [1, nil], "beam search is not supported")
        SettingsTable.only("num_beam_groups", [1, nil], "beam search is not supported")
        SettingsTable.only("constraints", [nil], "constrained beam search is not supported")
        SettingsTable.only("force_words_ids", [nil], "constrained beam search is not supported")
        SettingsTable.only("penalty_alpha", [nil, 0], "contrastive search is not supported")
        SettingsTable.only("dola_layers", [nil], "DoLa decoding is not supported")
        SettingsTable.only("guidance_scale", [nil, 1], "classifier-free guidance is not supported")
        SettingsTable.only("encoder_repetition_penalty", [nil, 1], "penalties on the prompt alone are not supported")
        SettingsTable.only("encoder_no_repeat_ngram_size", [nil, 0], "rules about the prompt alone are not supported")
        SettingsTable.only("token_healing", [nil, false], "token healing is not supported")
        SettingsTable.only("watermarking_config", [nil], "watermarks are not supported")
        SettingsTable.only("num_return_sequences", [1, nil], "one sequence is generated")
        SettingsTable.only("is_assistant", [nil, false], "the model would be an assistant of another one")
        SettingsTable.only("use_mtp", [nil, false], "multi-token prediction is not supported")
        SettingsTable.noEffect(
            "early_stopping",
            "length_penalty",
            "diversity_penalty",
            because: "only for beam search"
        )
        SettingsTable.noEffect(
            "use_cache",
            "cache_implementation",
            "cache_config",
            "max_cache_len",
            "return_legacy_cache",
            "low_memory",
            "compile_config",
            "disable_compile",
            "prefill_chunk_size",
            "continuous_batching_config",
            "renormalize_logits",
            "num_assistant_tokens",
            "num_assistant_tokens_schedule",
            "assistant_confidence_threshold",
            "assistant_early_exit",
            "assistant_lookbehind",
            "assistant_ensemble_weight",
            "target_lookbehind",
            "prompt_lookup_num_tokens",
            "max_matching_ngram_size",
            "speculation_type",
            because: "selects an implementation; results do not change tokens"
        )
        SettingsTable.noEffect(
            "output_attentions",
            "output_hidden_states",
            "output_scores",
            "output_logits",
            "return_dict_in_generate",
            because: "the return values of a call in Python; options of the commands control the output"
        )
        SettingsTable.noEffect(
            "pad_token_id",
            "bos_token_id",
            "decoder_start_token_id",
            because: "sequences are not padded, and the tokenizer writes the start"
        )
        SettingsTable.noEffect(
            "transformers_version",
            "_from_model_config",
            "_commit_hash",
            "trust_remote_code",
            because: "written for information"
        )
    }
}
