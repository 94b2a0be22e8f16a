import BridgeSupport
import JSONTree
public import ModelSchema
public import Tokenizers

extension TokenizerSettings {
    /// The keys of a tokenizer's files with their verdicts.
    ///
    /// Any key that ends in `_token` names a token, and is honoured.
    ///
    /// - Parameter registered: The class that transformers has for the model's family; nil where the files are used as they
    ///   are.
    /// - Returns: The tables of `tokenizer_config.json`, `tokenizer.json` and `special_tokens_map.json`.
    public static func tables(registered: TokenizerClass?) -> [SettingsTable] {
        let own = (registered?.keys ?? []).map { Setting($0, .honoured) }
        let configuration = SettingsTable(
            file: configuration.file,
            source: configuration.source,
            settings: configuration.settings + own
        )
        return [configuration, file, map]
    }

    private static let roles = SettingsTable.honoured(
        "bos_token",
        "eos_token",
        "unk_token",
        "sep_token",
        "pad_token",
        "cls_token",
        "mask_token",
        "extra_special_tokens",
        "additional_special_tokens",
        "model_specific_special_tokens"
    )

    private static let configuration = SettingsTable(
        file: "tokenizer_config.json",
        source: "PreTrainedTokenizerBase and TokenizersBackend, transformers 5.23"
    ) {
        roles
        SettingsTable.honoured("added_tokens_decoder", "chat_template", "tokenizer_class")
        // Read for the class LlamaTokenizer; the others have no use for them.
        SettingsTable.honoured("add_prefix_space", "legacy")
        SettingsTable.only("split_special_tokens", [false, nil], "special tokens in a text stay whole")
        SettingsTable.only(
            "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
            [false, nil],
            "decoded texts are not changed"
        )
        SettingsTable.noEffect("clean_up_tokenization_spaces", because: "it is ignored for byte-pair encodings")
        SettingsTable.noEffect(
            "add_bos_token",
            "add_eos_token",
            because: "the post-processor of tokenizer.json decides"
        )
        SettingsTable.noEffect(
            "model_max_length",
            "max_len",
            "max_length",
            "stride",
            "truncation_side",
            "truncation_strategy",
            "tokenizer_truncation",
            because: "texts are not truncated; samples are, at dataset.seq_length"
        )
        SettingsTable.noEffect(
            "padding_side",
            "pad_to_multiple_of",
            "pad_token_type_id",
            "tokenizer_padding",
            because: "padding is masked"
        )
        SettingsTable.noEffect(
            "model_input_names",
            "token_type_ids_pattern",
            "token_type_ids_include_special_tokens",
            "special_tokens_pattern",
            because: "it selects the outputs of transformers' tokenizer"
        )
        SettingsTable.noEffect("auto_map", because: "code of a repository is not run")
        SettingsTable.noEffect(
            "sp_model_kwargs",
            "spaces_between_special_tokens",
            "unk_id",
            because: "it is for slow tokenizers and for models that are not byte-pair encodings"
        )
        SettingsTable.noEffect(
            "use_default_system_prompt",
            "chat_control_tokens",
            "response_schema",
            "response_template",
            because: "the chat template decides what is rendered, and answers are not parsed"
        )
        SettingsTable.noEffect(
            "tokenizer_file",
            "vocab_file",
            "special_tokens_map_file",
            "gguf_file",
            "vocab",
            "merges",
            "post_processor",
            "tokenizer",
            "tokenizer_object",
            because: "files are found by their names in the directory"
        )
        SettingsTable.noEffect(
            "processor_class",
            "backend",
            "name_or_path",
            "files_loaded",
            "is_local",
            "local_files_only",
            "init_inputs",
            "verbose",
            "use_fast",
            "transformers_version",
            "slow_tokenizer_class",
            "device_map",
            because: "describes how the files were loaded or saved"
        )
    }

    private static let file = SettingsTable(
        file: "tokenizer.json",
        source:
            "tokenizers 0.23; a class that tokenizer_class names may make normalizer, pre_tokenizer and decoder itself"
    ) {
        SettingsTable.honoured("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")
        SettingsTable.honoured(
            "model.type",
            "model.vocab",
            "model.merges",
            "model.unk_token",
            "model.fuse_unk",
            "model.byte_fallback",
            "model.ignore_merges",
            "model.continuing_subword_prefix",
            "model.end_of_word_suffix"
        )
        SettingsTable.only("model.dropout", [nil, 0], "merges are not skipped at random")
        SettingsTable.noEffect("version", because: "there is one version of the format")
        SettingsTable.noEffect(
            "truncation",
            "padding",
            because: "every call of transformers' tokenizer sets its own, which is none"
        )
    }

    private static let map = SettingsTable(
        file: "special_tokens_map.json",
        source: "_from_pretrained of PreTrainedTokenizerBase, transformers 5.23"
    ) {
        roles
        SettingsTable.honoured("add_bos_token", "add_eos_token")
    }

    /// Refuses values of `tokenizer_config.json` that would change the result and are not supported.
    ///
    /// - Parameter directory: The directory of the file.
    /// - Throws: `BridgeError` that lists every key, the value found and those supported.
    static func check(in directory: String) throws {
        let path = Files.join(directory, configuration.file)
        if Files.exists(path) { try configuration.check(JSON(contentsOf: path), name: path) }
    }

    /// The unknown keys of a tokenizer's files.
    ///
    /// - Parameters:
    ///   - directory: The directory of the files.
    ///   - registered: The class of the model's family; nil where the files are used as they are.
    /// - Returns: The keys by file; no entry for a file without such keys.
    /// - Throws: `BridgeError` for a file that is not valid JSON.
    package static func unknownSettings(in directory: String, registered: TokenizerClass?) throws -> [UnknownSettings] {
        try tables(registered: registered).compactMap { table in
            let path = Files.join(directory, table.file)
            guard Files.exists(path) else { return nil }
            let isLarge = table.file == file.file
            let json =
                isLarge
                ? JSON(outlineOf: try Files.contents(of: path, limit: 1 << 30), depth: 2) : try JSON(contentsOf: path)
            var keys = table.unknownKeys(of: json)
            if !isLarge { keys.removeAll { $0.hasSuffix("_token") } }
            if table.file == configuration.file,
                TokenizerClass.chosen(by: json, registered: registered, isByteLevel: false).isUnknown
            {
                keys.append(
                    "tokenizer_class (\(json["tokenizer_class"]?.string ?? "") is not known; tokenizer.json is used as it is)"
                )
            }
            return keys.isEmpty ? nil : UnknownSettings(file: table.file, keys: keys)
        }
    }
}
