public import JSONTree
public import ModelPlugins

/// The `tokenizer.json` of toy models, in the two shapes that the hub's files have.
public enum ToyTokenizer {
    /// A token that is its own text and is never the result of a merge.
    public typealias Special = (id: Int, token: String)

    /// A byte-level tokenizer: text is split by a pattern, and every byte has a printable character.
    ///
    /// - Parameters:
    ///   - size: How many tokens, special ones included.
    ///   - special: The special tokens.
    ///   - start: The special token that is put before a text; nil for none.
    ///   - pattern: The regular expression that splits a text into words.
    /// - Returns: The content of the file.
    public static func byteLevel(size: Int, special: [Special], start: Special?, pattern: String) -> JSON {
        let vocabulary = ToyVocabulary(
            size: size,
            special: Dictionary(special.map { ($0.id, $0.token) }) { first, _ in first },
            alphabet: (0..<256).map { String(byteCharacters[$0]) },
            space: String(byteCharacters[0x20])
        )
        func byteLevel(_ flag: Bool) -> JSON {
            [
                "type": "ByteLevel", "add_prefix_space": .bool(flag), "trim_offsets": true, "use_regex": .bool(flag),
            ]
        }
        let split: JSON = [
            "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false,
        ]
        return [
            "version": "1.0",
            "truncation": nil,
            "padding": nil,
            "added_tokens": added(special),
            "normalizer": nil,
            "pre_tokenizer": ["type": "Sequence", "pretokenizers": [split, byteLevel(false)]],
            "post_processor": start.map(prefix) ?? byteLevel(false),
            "decoder": byteLevel(true),
            "model": model(vocabulary, unknown: nil, byteFallback: false),
        ]
    }

    /// The files of a byte-level tokenizer: `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json` and
    /// `chat_template.jinja`.
    ///
    /// - Parameters:
    ///   - size: How many tokens the model knows; all of them get a text.
    ///   - special: The special tokens.
    ///   - named: The roles of special tokens, such as `bos_token`.
    ///   - start: The special token that is put before a text; nil for none.
    ///   - pattern: The regular expression that splits a text into words.
    ///   - chatTemplate: The family's template.
    /// - Returns: The files.
    public static func byteLevelFiles(
        size: Int,
        special: [Special],
        named: [(role: String, token: String)],
        start: Special?,
        pattern: String,
        chatTemplate: String
    ) -> [ToyFile] {
        let names = named.map { ($0.role, JSON.string($0.token)) }
        let settings: [(String, JSON)] = [
            ("add_bos_token", .bool(start != nil)), ("add_eos_token", false), ("clean_up_tokenization_spaces", false),
            ("legacy", false), ("model_max_length", 1e30), ("tokenizer_class", "PreTrainedTokenizerFast"),
        ]
        let tokenizer = byteLevel(size: size, special: special, start: start, pattern: pattern)
        return [
            ToyFile("tokenizer.json", tokenizer, pretty: false),
            ToyFile("tokenizer_config.json", .object(JSONObject(names + settings))),
            ToyFile("special_tokens_map.json", .object(JSONObject(names))),
            ToyFile("chat_template.jinja", text: chatTemplate),
        ]
    }

    /// A tokenizer as SentencePiece's become: spaces are written as `▁`, and what is in no token falls back to bytes.
    ///
    /// - Parameters:
    ///   - size: How many tokens the vocabulary has.
    ///   - special: The special tokens; one whose id is `size` or more follows the vocabulary.
    ///   - start: The special token that is put before a text.
    ///   - unknown: The token for what cannot be written.
    /// - Returns: The content of the file.
    public static func bytePieces(size: Int, special: [Special], start: Special, unknown: String) -> JSON {
        let space = "▁"
        let bytes = (0..<256).map { "<0x\(hexDigits[$0 / 16])\(hexDigits[$0 % 16])>" }
        let printable = (0x21..<0x7F).compactMap { Unicode.Scalar($0).map { String(Character($0)) } }
        let vocabulary = ToyVocabulary(
            size: size,
            special: Dictionary(special.map { ($0.id, $0.token) }) { first, _ in first },
            alphabet: bytes + ["\n", space] + printable,
            space: space
        )
        return [
            "version": "1.0",
            "truncation": nil,
            "padding": nil,
            "added_tokens": added(special),
            "normalizer": ["type": "Replace", "pattern": ["String": " "], "content": .string(space)],
            "pre_tokenizer": [
                "type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious", "invert": false,
            ],
            "post_processor": prefix(start),
            "decoder": [
                "type": "Sequence",
                "decoders": [
                    ["type": "Replace", "pattern": ["String": .string(space)], "content": " "],
                    ["type": "ByteFallback"], ["type": "Fuse"],
                ],
            ],
            "model": model(vocabulary, unknown: unknown, byteFallback: true),
        ]
    }

    private static func model(_ vocabulary: ToyVocabulary, unknown: String?, byteFallback: Bool) -> JSON {
        [
            "type": "BPE",
            "dropout": nil,
            "unk_token": unknown.map { .string($0) } ?? .null,
            "continuing_subword_prefix": nil,
            "end_of_word_suffix": nil,
            "fuse_unk": .bool(byteFallback),
            "byte_fallback": .bool(byteFallback),
            "ignore_merges": .bool(!byteFallback),
            "vocab": vocabulary.vocabularyJSON,
            "merges": vocabulary.mergesJSON,
        ]
    }

    private static func added(_ special: [Special]) -> JSON {
        .array(
            special.sorted { $0.id < $1.id }.map { id, token in
                [
                    "id": JSON(id), "content": .string(token), "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true,
                ]
            }
        )
    }

    /// A post-processor that puts one token before the text.
    private static func prefix(_ start: Special) -> JSON {
        func text(_ name: String, _ type: JSON) -> JSON { ["Sequence": ["id": .string(name), "type_id": type]] }
        let first: JSON = ["SpecialToken": ["id": .string(start.token), "type_id": 0]]
        let token: JSON = [
            "id": .string(start.token), "ids": [JSON(start.id)], "tokens": [.string(start.token)],
        ]
        return [
            "type": "TemplateProcessing",
            "single": [first, text("A", 0)],
            "pair": [first, text("A", 0), text("B", 1)],
            "special_tokens": .object(JSONObject([(start.token, token)])),
        ]
    }

    /// The printable character of each byte, as GPT-2's tokenizer introduced them.
    private static let byteCharacters: [Character] = {
        let plain = Set(0x21...0x7E).union(0xA1...0xAC).union(0xAE...0xFF)
        var spare: UInt32 = 0x100
        return (0..<256).map { byte in
            if plain.contains(byte) { return Character(Unicode.Scalar(UInt8(byte))) }
            defer { spare += 1 }
            return Unicode.Scalar(spare).map { Character($0) } ?? " "
        }
    }()

    private static let hexDigits = Array("0123456789ABCDEF")
}
