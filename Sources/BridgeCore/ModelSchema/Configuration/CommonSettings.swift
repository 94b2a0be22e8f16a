import JSONTree

extension SettingsTable {
    /// The keys of `config.json` that every family has without a line of its own.
    public static var common: SettingsTable { CommonSettings.table }
}

/// Keys that any `config.json` of transformers may have, whatever the class of the model.
///
/// Sources: the fields of `PreTrainedConfig` and the attributes that older versions of it wrote, `configuration_utils.py`,
/// transformers 5.23 and 4.57; `GenerationConfig` for what may also be in `generation_config.json`.
package enum CommonSettings {
    package static let table = SettingsTable(file: "config.json", source: "PreTrainedConfig, transformers 5.23") {
        SettingsTable.honoured("architectures", "model_type")
        SettingsTable.honoured("bos_token_id", "eos_token_id", "pad_token_id", "initializer_range")
        SettingsTable.only(
            "is_causal",
            [true],
            "with another value transformers attends in both directions"
        )
        SettingsTable.only(
            "per_layer_config",
            [nil, .object(.init())],
            "layers that differ in other settings than their type"
        )
        SettingsTable.only(
            "tie_last_hidden_states",
            [true, nil],
            "the last of the hidden states is the output of the final norm"
        )
        SettingsTable.noEffect(
            "use_cache",
            "cache_implementation",
            "attn_implementation",
            "_attn_implementation",
            "_attn_implementation_internal",
            "_attn_implementation_autoset",
            "attn_implementation_autoset",
            "experts_implementation",
            "_experts_implementation",
            "_flash_attn_2_enabled",
            "torchscript",
            "pretraining_tp",
            "chunk_size_feed_forward",
            "use_bfloat16",
            "gradient_checkpointing",
            because: "selects an implementation; results do not change"
        )
        SettingsTable.noEffect(
            "transformers_version",
            "name_or_path",
            "_name_or_path",
            "_commit_hash",
            "unsloth_version",
            "unsloth_fixed",
            "finetuning_task",
            "task_specific_params",
            "tokenizer_class",
            "prefix",
            "adapted_with",
            because: "written for information"
        )
        SettingsTable.noEffect(
            "output_hidden_states",
            "output_attentions",
            "return_dict",
            "use_return_dict",
            because: "the return values of a call in Python; options of the commands control the output"
        )
        SettingsTable.noEffect(
            "id2label",
            "label2id",
            "num_labels",
            "problem_type",
            "classifier_dropout",
            "summary_type",
            because: "only for classification heads"
        )
        SettingsTable.noEffect(
            "is_encoder_decoder",
            "is_decoder",
            "add_cross_attention",
            "cross_attention_hidden_size",
            "tie_encoder_decoder",
            "tie_word_embeddings_encoder",
            "decoder_start_token_id",
            "sep_token_id",
            "pruned_heads",
            "encoder_no_repeat_ngram_size",
            because: "the classes of these models do not read it"
        )
        SettingsTable.noEffect(
            "auto_map",
            "trust_remote_code",
            "custom_pipelines",
            because: "code from the repository is never run; the plugin computes the model"
        )
        SettingsTable.noEffect(
            "max_length",
            "min_length",
            "do_sample",
            "early_stopping",
            "num_beams",
            "num_beam_groups",
            "diversity_penalty",
            "temperature",
            "top_k",
            "top_p",
            "typical_p",
            "repetition_penalty",
            "length_penalty",
            "no_repeat_ngram_size",
            "bad_words_ids",
            "num_return_sequences",
            "output_scores",
            "return_dict_in_generate",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "remove_invalid_values",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            because: "does not change the logits; generate uses it where the model has no generation_config.json"
        )
    }
}
