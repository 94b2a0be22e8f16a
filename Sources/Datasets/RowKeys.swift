import BridgeCore

/// The verdict of every key of a row and of its messages, as for settings of other files.
public enum RowKeys {
    /// The treatment of a key.
    public enum Verdict: Sendable, Equatable {
        /// It is read.
        case honoured
        /// The chat template sees it, and decides.
        case template
        /// It changes nothing, for the reason given.
        case noEffect(String)
        /// A row that has it is refused, with a sentence.
        case refused
    }

    /// A key with its verdict.
    public typealias Entry = (key: String, verdict: Verdict)

    private static func entries(_ keys: [String], _ verdict: Verdict) -> [Entry] { keys.map { ($0, verdict) } }

    /// The keys of a row.
    public static let row: [Entry] =
        entries(ConversationRow.keys + [ConversationRow.systemKey], .honoured)
        + entries(ConversationRow.toolKeys + ConversationRow.imageKeys + TurnMarks.lists, .honoured)
        + entries(ConversationRow.mediaKeys + TurnMarks.prompts, .refused)
        + entries(describing, .noEffect("describes the row"))
        + entries(["parallel_tool_calls"], .noEffect("a setting of a server's decoding"))
        + entries(["__index_level_0__"], .noEffect("the index of a pandas table"))

    /// The keys of a row with a prompt and its answer, besides those of ``row``.
    public static let completion: [Entry] =
        entries(CompletionRow.keys, .honoured) + entries([CompletionRow.instructionKey], .refused)

    /// The keys of a row with two answers, besides those of ``row``.
    public static let preference: [Entry] =
        entries(PreferenceRow.promptKeys + PreferenceRow.answerKeys, .honoured)
        + entries(PreferenceRow.describing, .noEffect("describes the answers"))

    private static let describing = [
        "id", "_id", "idx", "index", "uuid", "uid", "conversation_id", "prompt_id", "source", "dataset", "origin",
        "url",
        "license", "language", "lang", "category", "categories", "task", "task_type", "tag", "tags", "topic",
        "difficulty",
        "score", "scores", "rating", "split", "timestamp", "created", "created_at", "date", "version", "metadata",
        "meta",
        "extra_info", "info", "model", "num_turns", "turns", "token_count", "length", "hash", "comment", "note", "name",
    ]

    /// The keys of a message.
    public static let message: [Entry] =
        entries(["role", "from", "content", "value", "tool_calls", "function_call", "tools"], .honoured)
        + entries(TurnMarks.keys, .honoured)
        + entries(["images", "image", "videos", "audio", "audios"], .refused)
        + entries(TurnMarks.details + TurnMarks.prompts, .refused)
        + entries(["name", "tool_call_id", "prefix"] + reasoning, .template)
        + entries(describingMessage, .noEffect("describes the message; a chat template that names it sees it"))

    private static let describingMessage = [
        "id", "refusal", "annotations", "timestamp", "created_at", "end_turn", "status", "recipient", "channel",
        "author",
        "metadata",
        "model", "language", "index", "score", "rank", "emoji", "citations", "usage", "finish_reason", "logprobs",
    ]

    /// The keys of a row of tokens.
    public static let tokenized: [Entry] =
        entries(["input_ids", "labels"] + ConversationRow.imageKeys, .honoured)
        + entries(TurnMarks.tokenLists, .honoured)
        + entries(["attention_mask", "position_ids", "token_type_ids"] + sequenceStarts, .refused)
        + entries(sequenceLengths + sequenceNumbers + inputs, .refused)
        + entries(ConversationRow.mediaKeys + TurnMarks.prompts, .refused)
        + entries(
            describing + ["text", "prompt", "completion", "input_length", "num_tokens", "n_tokens"],
            .noEffect("describes the row")
        )
        + entries(
            ConversationRow.keys + [ConversationRow.systemKey] + ConversationRow.toolKeys,
            .noEffect("the tokens are in input_ids")
        )
        + entries(
            ["special_tokens_mask", "offset_mapping", "overflow_to_sample_mapping"],
            .noEffect("the tokenizer's notes about its tokens")
        )
        + entries(["mm_token_type_ids"], .noEffect("no forward pass of these families reads it"))
        + entries(["max_seqlen", "max_length_q", "max_length_k"], .noEffect("follows from the sequences of the row"))
        + entries(["__index_level_0__"], .noEffect("the index of a pandas table"))

    /// Where the sequences of a packed row start, and perhaps where the last one ends.
    package static let sequenceStarts = [
        "seq_start_id", "cu_seqlens", "cu_seqlens_q", "cu_seqlens_k", "cu_seq_lens_q", "cu_seq_lens_k",
    ]
    /// How long the sequences of a packed row are.
    package static let sequenceLengths = ["seq_lengths", "sequence_lengths", "seq_lens"]
    /// The sequence of each token of a packed row.
    package static let sequenceNumbers = ["segment_ids", "sequence_ids", "document_ids", "seq_idx"]
    /// Tensors in place of tokens and images.
    package static let inputs = [
        "inputs_embeds", "pixel_values", "image_sizes", "pixel_attention_mask", "num_crops", "image_grid_thw",
    ]

    package static let knownOfRow = Set(row.map(\.key))
    package static let knownOfTokenized = Set(tokenized.map(\.key))
    /// The keys of a message that need no chat template to be known.
    static let readOfMessage = Set(message.filter { $0.verdict != .template }.map(\.key))
    /// The names of reasoning, which the chat template sees under each of them.
    package static let reasoning = ["reasoning_content", "reasoning", "thinking"]
}
