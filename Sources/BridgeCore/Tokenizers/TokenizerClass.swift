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
    /// The tokens by their role, such as `bos_token`, where neither `tokenizer_config.json` nor `special_tokens_map.json` has
    /// the role's key.
    public let tokens: [String: String]
    /// The parts that replace those of a `tokenizer.json`, by their paths there.
    ///
    /// Its parameters are `tokenizer_config.json` and `tokenizer.json`.
    private let parts: @Sendable (_ configuration: JSON, _ file: JSON) -> [(path: String, value: JSON)]
    /// Whether the class makes its parts for the model of a `config.json`, null where there is no such file.
    private let isForModel: @Sendable (JSON) -> Bool

    /// A class.
    ///
    /// - Parameters:
    ///   - name: Its name, without `Fast`.
    ///   - keys: The keys of `tokenizer_config.json` that it reads, beside those that all classes read.
    ///   - tokens: The tokens of the roles whose keys the files do not have.
    ///   - parts: The parts that it makes, by their paths in a `tokenizer.json`, for a `tokenizer_config.json`.
    public init(
        _ name: String,
        keys: [String] = [],
        tokens: [String: String] = [:],
        parts: @escaping @Sendable (JSON) -> [(path: String, value: JSON)]
    ) {
        self.name = name
        self.keys = keys
        self.tokens = tokens
        self.parts = { configuration, _ in parts(configuration) }
        isForModel = { _ in true }
    }

    /// A class whose parts depend on a `tokenizer.json` and on the model's `config.json`.
    init(
        keys: [String],
        isForModel: @escaping @Sendable (JSON) -> Bool,
        parts: @escaping @Sendable (_ configuration: JSON, _ file: JSON) -> [(path: String, value: JSON)]
    ) {
        name = nil
        (self.keys, self.isForModel, self.parts) = (keys, isForModel, parts)
        tokens = [:]
    }

    /// The parts of a byte-pair model that these classes set, other than its unknown token.
    public static let model: [(path: String, value: JSON)] = [
        ("model.fuse_unk", true), ("model.byte_fallback", true), ("model.dropout", nil), ("model.ignore_merges", false),
        ("model.continuing_subword_prefix", nil), ("model.end_of_word_suffix", nil),
    ]

    /// `LlamaTokenizer`, transformers 5.23 (models/llama/tokenization_llama.py).
    static let llama = TokenizerClass(
        "LlamaTokenizer",
        tokens: ["bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"]
    ) { configuration in
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
    ///
    /// - Parameters:
    ///   - json: The content of the file.
    ///   - configuration: `tokenizer_config.json`.
    ///   - model: `config.json`; null where there is none.
    /// - Returns: The content with the parts of the class.
    func applied(to json: JSON, configuration: JSON, model: JSON) -> JSON {
        guard isForModel(model) else { return json }
        var json = json
        for (path, value) in parts(configuration, json) { json.set(value, at: path) }
        return json
    }
}
