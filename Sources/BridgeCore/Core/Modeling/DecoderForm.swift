import Glibc
public import TensorRuntime

/// What a family's decoder computes, as far as decoders differ.
///
/// ``TransformerDecoder`` reads it and knows no family; the family derives it from its configuration.
public struct DecoderForm: Sendable {
    /// One layer.
    public struct Layer: Sendable, Equatable {
        /// How many positions a query sees, itself included; nil for all.
        public var window: Int?
        /// Which of the rotary embeddings turns queries and keys.
        public var rotary: Int

        /// A layer.
        public init(window: Int? = nil, rotary: Int = 0) {
            self.window = window
            self.rotary = rotary
        }
    }

    /// The layers.
    public var layers: [Layer]
    /// The rotary embeddings.
    public var rotary: [RotaryEmbedding]
    /// How the norms treat their gains.
    public var norm: RMSNormForm
    /// The function in the gated MLP.
    public var activation: ElementFunction
    /// What scores are multiplied by.
    public var attentionScale: Float
    /// What word embeddings are multiplied by; nil for nothing.
    public var embeddingScale: Float?
    /// Whether queries and keys are normalised head by head before they are turned.
    public var normalizesHeads = false
    /// Whether the outputs of attention and MLP are normalised before they are added to the residual stream.
    public var normalizesOutputs = false
    /// What queries at a position are multiplied by after they have been turned; nil for nothing.
    public var queryScale: (@Sendable (_ position: Int32) -> Float)?

    /// The form that most decoders share.
    public init(
        layers: [Layer],
        rotary: [RotaryEmbedding],
        norm: RMSNormForm,
        activation: ElementFunction,
        attentionScale: Float
    ) {
        self.layers = layers
        self.rotary = rotary
        self.norm = norm
        self.activation = activation
        self.attentionScale = attentionScale
    }

    /// The form of a decoder whose layers are all alike: Llama's and Mistral's.
    public init(alike configuration: DecoderConfiguration) {
        self.init(
            layers: [Layer](repeating: Layer(window: configuration.slidingWindow), count: configuration.numLayers),
            rotary: [configuration.rotaryEmbedding],
            norm: RMSNormForm(epsilon: Float(configuration.layernormEpsilon)),
            activation: .silu,
            attentionScale: Float(1 / Double(configuration.kvChannels).squareRoot())
        )
    }
}

extension DecoderConfiguration {
    /// The rotary embedding, stretched as the configuration says.
    public var rotaryEmbedding: RotaryEmbedding {
        switch ropeScaling.type {
        case "linear": RotaryEmbedding(width: kvChannels, base: rotaryBase, stretch: ropeScaling.factor)
        case "yarn": RotaryEmbedding(width: kvChannels, base: rotaryBase, yarn: ropeScaling.yarn(seqLength: seqLength))
        default: RotaryEmbedding(width: kvChannels, base: rotaryBase)
        }
    }
}

extension RopeScaling {
    /// The numbers of YaRN, with the defaults of `_compute_yarn_parameters` in `modeling_rope_utils.py`, transformers 5.23.
    func yarn(seqLength: Int) -> RotaryEmbedding.YaRN {
        func magnitude(_ scale: Double) -> Double { factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1 }
        let attention: Double
        if let attentionFactor {
            attention = attentionFactor
        } else if let mscale, let mscaleAllDim, mscale != 0, mscaleAllDim != 0 {
            attention = magnitude(mscale) / magnitude(mscaleAllDim)
        } else {
            attention = magnitude(1)
        }
        return RotaryEmbedding.YaRN(
            factor: factor,
            originalLength: originalMaxPositionEmbeddings ?? seqLength,
            betaFast: betaFast ?? 32,
            betaSlow: betaSlow ?? 1,
            truncates: truncate ?? true,
            attentionFactor: attention
        )
    }
}

extension ElementFunction {
    /// The function that a Hugging Face configuration names.
    ///
    /// Source: `ACT2FN` in `activations.py`, transformers 5.23.
    ///
    /// - Throws: `BridgeError` for one that is not computed here.
    public init(huggingFace name: String) throws {
        switch name {
        case "silu", "swish": self = .silu
        case "gelu": self = .gelu
        case "gelu_pytorch_tanh", "gelu_new": self = .geluTanh
        case "relu": self = .relu
        case "tanh": self = .tanh
        default:
            throw BridgeError(
                .badConfiguration,
                "the activation \(name) is not computed here; silu, gelu, gelu_pytorch_tanh, relu and tanh are"
            )
        }
    }
}
