import BridgeCore
import JSONTree

/// What a new plugin starts from: the tables of a family, drafted from a Hugging Face directory or from nothing.
///
/// Lines that a directory does not decide are marked with ``mark``.
public struct FamilyDraft: Sendable {
    /// The mark of a line that the author has to check.
    public static let mark = "// GUESS:"

    /// The class of transformers.
    public private(set) var architecture: String
    /// The class of its configuration, by transformers' habit of naming.
    var configurationClass: String {
        let ending = "ForCausalLM"
        return architecture.hasSuffix(ending) ? architecture.dropLast(ending.count) + "Config" : architecture
    }
    /// transformers' name of the model's type.
    var modelType: String
    /// The lines of the configuration table.
    var configuration: [String]
    /// The lines of the parameter table.
    var parameters: [String]
    /// The lines that change the architecture of the decoder.
    var form: [String]
    /// The reason why the model can only be converted; nil for one that the shared decoder seems to compute.
    var conversionOnly: String?
    /// The content of the toy's `config.json`.
    var tiny: JSON
    /// The content of the directory's `config.json`; nil without a directory.
    var published: JSON?

    /// The draft of a decoder as that of Llama, for a plugin without a model to look at.
    ///
    /// - Parameter name: The plugin's name.
    public init(name: String) {
        let configuration: JSON = [
            "architectures": [.string("\(name)ForCausalLM")],
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": 10,
            "hidden_act": "silu",
            "hidden_size": 48,
            "initializer_range": 0.03,
            "intermediate_size": 88,
            "max_position_embeddings": 512,
            "model_type": .string(name.lowercased()),
            "num_attention_heads": 12,
            "num_hidden_layers": 5,
            "num_key_value_heads": 4,
            "rms_norm_eps": 0.002,
            "rope_theta": 200_000.0,
            "tie_word_embeddings": false,
            "torch_dtype": "bfloat16",
            "vocab_size": 600,
        ]
        let layers = "model.layers.*."
        let heads = ["q", "k", "v", "o"].map { "\(layers)self_attn.\($0)_proj.weight" }
        let others = ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm"]
        let names =
            ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"] + heads
            + others.map { "\(layers)\($0).weight" }
        let draft = ParameterDraft(tensors: names.map { ($0, []) }, sizes: DraftSizes())
        self.init(
            name: name,
            configuration: configuration,
            tiny: configuration,
            published: nil,
            parameters: draft,
            conversionOnly: nil,
            isGuess: true
        )
    }

    /// The draft of the model in a Hugging Face directory, from its configuration and the headers of its weight files.
    ///
    /// - Parameters:
    ///   - name: The plugin's name.
    ///   - path: The directory.
    /// - Throws: `BridgeError` for a directory without a model in the style of transformers, and for a model whose text
    ///   configuration is a part of another one.
    public init(name: String, from path: String) throws {
        let directory = try HuggingFaceDirectory(path: path)
        let file = Files.join(directory.path, directory.style.configurationName)
        guard directory.style == .transformers, directory.configuration.object != nil else {
            throw BridgeError(
                .badArgument,
                "\(file) is not a config.json of transformers, from which a plugin can be drafted; give a directory that has one"
            )
        }
        guard directory.configuration["text_config"] == nil else {
            throw BridgeError(
                .badArgument,
                "\(file) has text_config, and drafts are for models that read text only; draft the text model, and add the vision "
                    + "tower as the article AddAModel describes"
            )
        }
        for value in [directory.configuration["architectures"]?.array?.first, directory.configuration["model_type"]] {
            // They become part of the source.
            guard let text = value?.nonNull else { continue }
            let isWord = text.string.map { !$0.isEmpty && $0.utf8.allSatisfy(Self.isPartOfWord) } ?? false
            guard isWord else {
                throw BridgeError(
                    .badConfiguration,
                    "\(file) has the architecture or model_type \(text.compactText), expected a word of letters, digits, dots, dashes "
                        + "and underscores"
                )
            }
        }
        self.init(
            name: name,
            configuration: directory.configuration,
            tiny: ToyDraft.tiny(of: directory.configuration),
            published: directory.configuration,
            parameters: ParameterDraft(
                tensors: directory.tensors.values.map { ($0.name, $0.shape) },
                sizes: DraftSizes(directory.configuration)
            ),
            conversionOnly: Self.conversionOnly(directory),
            isGuess: false
        )
    }

    /// The reason why the shared decoder does not compute such a model, as far as its files show one.
    private static func conversionOnly(_ directory: HuggingFaceDirectory) -> String? {
        let json = directory.configuration
        var reasons: [String] = []
        let biases = directory.tensors.keys.filter { $0.contains(/(norm|\bln_[0-9a-z]+)\.bias$/) }
        let epsilons = ["layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon"].filter { json[$0] != nil }
        if let evidence = biases.min() ?? epsilons.first {
            reasons.append("its norms are LayerNorm (\(evidence)), and the shared decoder computes RMSNorm")
        }
        if let share = ConfigurationDraft.rotatedShare(json), share != 1 {
            reasons.append(
                "it rotates a part of each head (partial_rotary_factor \(share)), and the shared decoder whole heads"
            )
        }
        return reasons.isEmpty ? nil : reasons.joined(separator: "; ")
    }

    private static func isPartOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private init(
        name: String,
        configuration: JSON,
        tiny: JSON,
        published: JSON?,
        parameters: ParameterDraft,
        conversionOnly: String?,
        isGuess: Bool
    ) {
        architecture = configuration["architectures"]?.array?.first?.string ?? "\(name)ForCausalLM"
        modelType = configuration["model_type"]?.string ?? name.lowercased()
        self.configuration = ConfigurationDraft(configuration, modelType: modelType).lines
        self.parameters = parameters.lines
        form = parameters.form
        self.conversionOnly = conversionOnly
        self.tiny = tiny
        self.published = published
        if isGuess {
            self.parameters.insert("\(Self.mark) the names of transformers' Llama", at: 0)
            self.configuration.insert("\(Self.mark) the keys of transformers' Llama", at: 0)
        }
    }
}
