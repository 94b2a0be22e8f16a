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
        ToyTokenizer.byteLevelFiles(
            size: vocabularySize,
            special: special,
            named: [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>"), ("unk_token", "<unk>")],
            start: (1, "<s>"),
            pattern: pattern,
            chatTemplate: chatTemplate
        )
    }
}
