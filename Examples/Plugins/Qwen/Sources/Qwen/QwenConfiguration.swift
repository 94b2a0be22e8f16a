import BridgeCore
import JSONTree
import TensorRuntime

/// What the configurations of Qwen 2.5 and Qwen 3 have in common: a decoder, and a window for its last layers.
struct QwenSettings: ConfigurationRoot, Equatable {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?
    /// Whether any layer has the window.
    var usesSlidingWindow = false
    /// The window: how many positions a query sees, itself included.
    var slidingWindow: Int?
    /// The number of the first layer with the window, where the layers have no types.
    var maxWindowLayers = 0
    /// `full_attention` or `sliding_attention` for each layer; nil where `maxWindowLayers` decides.
    var layerTypes: [String]?

    /// The window of each layer; nil for all positions.
    ///
    /// Source: `__post_init__` of `Qwen2Config` and `Qwen3Config`, transformers 5.23.
    var windows: [Int?] {
        guard usesSlidingWindow, let slidingWindow else { return [Int?](repeating: nil, count: decoder.numLayers) }
        return (0..<decoder.numLayers).map { layer in
            let isSliding =
                layerTypes.map { $0[layer] == DecoderConfiguration.slidingAttention } ?? (layer >= maxWindowLayers)
            return isSliding ? slidingWindow : nil
        }
    }

    func validate(modelType: String, name: String) throws {
        try decoder.validate(name: name)
        var problems: [String] = []
        if decoder.modelType != modelType {
            problems.append("model_type is \"\(decoder.modelType)\"; supported: \(modelType)")
        }
        if usesSlidingWindow, let slidingWindow, slidingWindow <= 0 {
            problems.append("sliding_window is \(slidingWindow), expected more than 0")
        }
        if let layerTypes {
            if layerTypes.count != decoder.numLayers {
                problems.append(
                    "layer_types has \(layerTypes.count) entries, expected one for each of the \(decoder.numLayers) layers"
                )
            }
            let known = [DecoderConfiguration.fullAttention, DecoderConfiguration.slidingAttention]
            if let other = layerTypes.first(where: { !known.contains($0) }) {
                problems.append("layer_types has \(other); supported: \(known.joined(separator: " and "))")
            }
            if layerTypes.contains(DecoderConfiguration.slidingAttention), !usesSlidingWindow || slidingWindow == nil {
                problems.append(
                    "layer_types has sliding_attention, but use_sliding_window and sliding_window give no window"
                )
            }
        }
        guard problems.isEmpty else {
            throw BridgeError(.badConfiguration, "\(name) has settings that cannot be used", names: problems)
        }
    }

    /// The lines of both tables.
    ///
    /// - Parameters:
    ///   - source: The class that supplies the values of absent keys.
    ///   - modelType: Its `model_type`.
    ///   - headWidth: The line of `head_dim`.
    /// - Returns: The table.
    static func table(
        source: String,
        modelType: String,
        headWidth: Field<QwenSettings>
    ) -> ConfigurationTable<QwenSettings> {
        let fields = DecoderFields<QwenSettings>(\.decoder, source: source)
        return ConfigurationTable<QwenSettings> {
            Field("model_type", "model_type", \.decoder.modelType, ifAbsent: .classDefault(modelType, source: source))
            fields.numLayers(32)
            fields.hiddenSize(4096)
            fields.ffnHiddenSize(22016)
            fields.numAttentionHeads(32)
            fields.numQueryGroups(32, nullMeansAll: true)
            headWidth
            fields.vocabSize(151_936)
            fields.seqLength(32768)
            fields.layernormEpsilon(1e-6)
            fields.rotaryBase(10000)
            RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling, ignoresPartialRotaryFactor: true)
            RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
            Field(
                "use_sliding_window",
                "use_sliding_window",
                \.usesSlidingWindow,
                ifAbsent: .classDefault(false, source: source)
            )
            Field("sliding_window", "sliding_window", \.slidingWindow, ifAbsent: .classDefault(4096, source: source))
            Field(
                "max_window_layers",
                "max_window_layers",
                \.maxWindowLayers,
                ifAbsent: .classDefault(28, source: source)
            )
            Field(
                ["layer_types"],
                "layer_types",
                \.layerTypes,
                ifAbsent: .classDefault(nil, source: source),
                writesDefault: false
            )
            Field(
                "tie_word_embeddings",
                "share_embeddings_and_output_weights",
                \.decoder.shareEmbeddingsAndOutputWeights,
                ifAbsent: .classDefault(false, source: source)
            )
            fields.initMethodStd(0.02)
            fields.attentionDropout(0)
            Field(
                ["torch_dtype", "dtype"],
                "params_dtype",
                \.elementType,
                ifAbsent: .classDefault(nil, source: source)
            )
            fields.activation("silu")
        }
    }

    /// The standardization of both tables: every spelling of the rotary parameters, and the names of layer types.
    @Sendable static func standardized(_ json: JSON) -> JSON {
        DecoderConfiguration.withCurrentLayerTypes(
            RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
        )
    }
}

/// A Qwen 2 or 2.5 model, as `Qwen2ForCausalLM` computes it.
struct Qwen2Provider: ModelProvider {
    var settings = QwenSettings()
    var decoder: DecoderConfiguration {
        get { settings.decoder }
        set { settings.decoder = newValue }
    }
    var elementType: ElementType? {
        get { settings.elementType }
        set { settings.elementType = newValue }
    }

    func validate(name: String) throws { try settings.validate(modelType: "qwen2", name: name) }

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Qwen2Provider>(standardizing: QwenSettings.standardized) {
        ConfigurationTable<Qwen2Provider>.part(
            \.settings,
            QwenSettings.table(
                source: "Qwen2Config, transformers 5.23",
                modelType: "qwen2",
                headWidth: Field(
                    "head_dim",
                    "kv_channels",
                    \.decoder.kvChannels,
                    ifAbsent: .derived(rule: "hidden_size / num_attention_heads", nullIsMissing: true) {
                        $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
                    }
                )
            )
        )
    }
}

/// A Qwen 3 model, as `Qwen3ForCausalLM` computes it.
struct Qwen3Provider: ModelProvider {
    var settings = QwenSettings()
    var decoder: DecoderConfiguration {
        get { settings.decoder }
        set { settings.decoder = newValue }
    }
    var elementType: ElementType? {
        get { settings.elementType }
        set { settings.elementType = newValue }
    }

    func validate(name: String) throws { try settings.validate(modelType: "qwen3", name: name) }

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Qwen3Provider>(standardizing: QwenSettings.standardized) {
        ConfigurationTable<Qwen3Provider>.part(
            \.settings,
            QwenSettings.table(
                source: "Qwen3Config, transformers 5.23",
                modelType: "qwen3",
                headWidth: Field(
                    "head_dim",
                    "kv_channels",
                    \.decoder.kvChannels,
                    ifAbsent: .classDefault(128, source: "Qwen3Config, transformers 5.23")
                )
            )
        )
        Field.fixed(
            "attention_bias",
            [false],
            ifAbsent: "Qwen3Config, transformers 5.23",
            writesDefault: false,
            "its projections have biases"
        )
    }
}
