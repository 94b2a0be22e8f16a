public import JSONTree

/// A tokenizer class of transformers that makes parts of the pipeline itself.
///
/// Such a class takes vocabulary, merges, added tokens and post-processor from a `tokenizer.json`, and ignores the other parts.
///
/// Source: `convert_to_native_format` in tokenization_utils_tokenizers.py, transformers 5.23.
public struct TokenizerClass: Sendable {
    /// Its name, without `Fast`; nil for the class that uses a `tokenizer.json` as it is, which is then used whatever name the
    /// files have.
    public let name: String?
    /// The keys of `tokenizer_config.json` that it reads, beside those that all classes read.
    public let keys: [String]
    /// The parts that replace those of a `tokenizer.json`, by their paths there.
    ///
    /// Its parameters are `tokenizer_config.json` and `tokenizer.json`.
    private let parts: @Sendable (JSON, JSON) -> [(path: String, value: JSON)]

    /// A class.
    ///
    /// - Parameters:
    ///   - name: Its name, without `Fast`.
    ///   - keys: The keys of `tokenizer_config.json` that it reads, beside those that all classes read.
    ///   - parts: The parts that it makes, by their paths in a `tokenizer.json`, for a `tokenizer_config.json`.
    public init(
        _ name: String,
        keys: [String] = [],
        parts: @escaping @Sendable (JSON) -> [(path: String, value: JSON)]
    ) {
        self.name = name
        self.keys = keys
        self.parts = { configuration, _ in parts(configuration) }
    }

    /// The class that uses a `tokenizer.json` as it is, but for the first expression by which texts are split.
    ///
    /// Source: `_patch_mistral_regex` in tokenization_utils_tokenizers.py, transformers 5.23.
    ///
    /// - Parameters:
    ///   - key: The key of `tokenizer_config.json` that asks for the other expression.
    ///   - expression: The expression.
    public init(correctedBy key: String, expression: String) {
        name = nil
        keys = [key]
        parts = { configuration, file in
            guard configuration[key]?.bool == true, let current = file["pre_tokenizer"]?.nonNull else { return [] }
            let added = file["added_tokens"]?.array?.count ?? 0
            guard file[path: "model.vocab"]?.object?.count ?? 0 > Self.largestUncorrected - added else { return [] }
            let split: JSON = [
                "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Isolated", "invert": false,
            ]
            // White space that Metaspace marks would be lost between the two.
            let bytes: JSON = [
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
            ]
            let steps =
                current["pretokenizers"]?.array.map { Array($0.dropFirst()) }
                ?? [current["type"] == "Metaspace" ? bytes : current]
            return [("pre_tokenizer", ["type": "Sequence", "pretokenizers": .array([split] + steps)])]
        }
    }

    /// Vocabularies of at most this size keep their expression.
    private static let largestUncorrected = 100_000

    /// The parts of a byte-pair model that these classes set, other than its unknown token.
    public static let model: [(path: String, value: JSON)] = [
        ("model.fuse_unk", true), ("model.byte_fallback", true), ("model.dropout", nil), ("model.ignore_merges", false),
        ("model.continuing_subword_prefix", nil), ("model.end_of_word_suffix", nil),
    ]

    /// `LlamaTokenizer`, transformers 5.23 (models/llama/tokenization_llama.py).
    static let llama = TokenizerClass("LlamaTokenizer") { configuration in
        let addsPrefix = configuration["add_prefix_space"]?.bool ?? true
        let isLegacy = configuration["legacy"]?.bool ?? false
        let steps: [JSON] = [
            ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "], ["type": "ByteFallback"],
            ["type": "Fuse"],
        ]
        let strip: JSON = ["type": "Strip", "content": " ", "start": 1, "stop": 0]
        return model + [
            ("model.unk_token", nil), ("normalizer", nil),
            (
                "pre_tokenizer",
                [
                    "type": "Metaspace", "replacement": "\u{2581}", "split": false,
                    "prepend_scheme": addsPrefix ? (isLegacy ? "always" : "first") : "never",
                ]
            ),
            ("decoder", ["type": "Sequence", "decoders": .array(steps + (addsPrefix ? [strip] : []))]),
        ]
    }

    /// The classes that use a `tokenizer.json` as it is.
    private static let plain: Set<String> = ["TokenizersBackend", "PythonBackend", "PreTrainedTokenizer"]

    /// The class that transformers makes of a model's files.
    ///
    /// Source: `AutoTokenizer.from_pretrained` in models/auto/tokenization_auto.py, transformers 5.23: a class that is named and
    /// exists goes before that of the family.
    ///
    /// - Parameters:
    ///   - configuration: `tokenizer_config.json`.
    ///   - registered: The class of the model's family; nil for a family whose files are used as they are.
    ///   - isByteLevel: Whether the `tokenizer.json` splits into bytes, for which `LlamaTokenizer` is not used.
    /// - Returns: The class, nil where the `tokenizer.json` is used as it is; and whether another class is named, which is
    ///   not known and may make other parts.
    package static func chosen(by configuration: JSON, registered: TokenizerClass?, isByteLevel: Bool) -> (
        class: TokenizerClass?, isUnknown: Bool
    ) {
        guard let registered, registered.name != nil else { return (registered, false) }
        guard var name = configuration["tokenizer_class"]?.string else { return (registered, false) }
        if name.hasSuffix("Fast") { name.removeLast(4) }
        if name == registered.name { return (registered, false) }
        if name == llama.name { return (isByteLevel ? nil : llama, false) }
        return (nil, !plain.contains(name))
    }

    /// A `tokenizer.json` with the parts of the class.
    func applied(to json: JSON, configuration: JSON) -> JSON {
        var json = json
        for (path, value) in parts(configuration, json) { json.set(value, at: path) }
        return json
    }
}
