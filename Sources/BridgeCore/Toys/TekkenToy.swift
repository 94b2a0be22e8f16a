import JSONTree
public import ModelPlugins

/// The tokenizer files of toys whose real models have a tekken tokenizer.
public enum TekkenToy {
    /// The control tokens, whose ids are their indices.
    private static let special: [ToyTokenizer.Special] = [
        "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
        "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
        "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
    ].enumerated().map { ($0, $1) }

    /// Splits words where case changes from lower to upper, digits one by one, and keeps a leading space with the word.
    private static let pattern =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
        + #"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
        + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and `chat_template.jinja`.
    ///
    /// - Parameters:
    ///   - vocabularySize: How many tokens the model knows; all of them get a text.
    ///   - chatTemplate: The family's template.
    /// - Returns: The files.
    public static func files(vocabularySize: Int, chatTemplate: String) -> [ToyFile] {
        let names: [(String, JSON)] = [
            ("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>"), ("unk_token", "<unk>"),
        ]
        let settings: [(String, JSON)] = [
            ("add_bos_token", true), ("add_eos_token", false), ("clean_up_tokenization_spaces", false),
            ("legacy", false), ("model_max_length", 1e30), ("tokenizer_class", "PreTrainedTokenizerFast"),
        ]
        let tokenizer = ToyTokenizer.byteLevel(
            size: vocabularySize,
            special: special,
            start: (1, "<s>"),
            pattern: pattern
        )
        return [
            ToyFile("tokenizer.json", tokenizer, pretty: false),
            ToyFile("tokenizer_config.json", .object(JSONObject(names + settings))),
            ToyFile("special_tokens_map.json", .object(JSONObject(names))),
            ToyFile("chat_template.jinja", text: chatTemplate),
        ]
    }
}
