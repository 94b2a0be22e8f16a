import BridgeCore
import JSONTree
import TensorRuntime

/// A Mistral model, as `MistralForCausalLM` computes it, or, with a type for each layer, `MinistralForCausalLM`.
struct MistralProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?

    func validate(name: String) throws {
        guard Self.modelTypes.contains(decoder.modelType) else {
            throw BridgeError(
                .badConfiguration,
                "\(name): model_type is \"\(decoder.modelType)\"; supported: \(Self.modelTypes.joined(separator: " or "))"
            )
        }
        try decoder.validate(name: name)
    }
}

extension MistralProvider {
    private static let source = "MistralConfig, transformers 5.23"
    private static let fields = DecoderFields<MistralProvider>(\.decoder, source: source)
    private static let modelTypes = ["mistral", "ministral"]

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<MistralProvider>(standardizing: standardized) {
        Field("model_type", "model_type", \.decoder.modelType, ifAbsent: .classDefault("mistral", source: source))
        fields.numLayers(32)
        fields.hiddenSize(4096)
        fields.ffnHiddenSize(14336)
        fields.numAttentionHeads(32)
        fields.numQueryGroups(8, nullMeansAll: true)
        Field(
            "head_dim",
            "kv_channels",
            \.decoder.kvChannels,
            ifAbsent: .derived(rule: "hidden_size / num_attention_heads", nullIsMissing: true) {
                $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
            }
        )
        fields.vocabSize(32000)
        fields.seqLength(131_072)
        fields.layernormEpsilon(1e-6)
        fields.rotaryBase(10000)
        RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling, ignoresPartialRotaryFactor: true)
        RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
        fields.slidingWindow(4096)
        Field(
            "tie_word_embeddings",
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(false, source: source)
        )
        fields.initMethodStd(0.02)
        fields.attentionDropout(0)
        Field(["torch_dtype", "dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
        fields.activation("silu")
        Field(
            ["layer_types"],
            "layer_types",
            \.decoder.layerTypes,
            ifAbsent: .classDefault(nil, source: "MinistralConfig, transformers 5.23"),
            writesDefault: false
        )
        Field.noEffect(
            "attention_bias",
            "mlp_bias",
            because: "the class has no biases; a bias in the weights is refused as a tensor without a parameter"
        )
    }

    /// AutoConfig takes a `mistral` with `layer_types` for a `ministral`, whose layers have these types.
    @Sendable private static func standardized(_ json: JSON) -> JSON {
        DecoderConfiguration.withCurrentLayerTypes(
            RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
        )
    }
}
