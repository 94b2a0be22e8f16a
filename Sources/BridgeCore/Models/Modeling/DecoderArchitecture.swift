import BridgeSupport
import Glibc
public import ModelSchema
public import TensorRuntime

/// The settings in which the decoders of families differ.
///
/// ``TransformerDecoder`` reads it and knows no family; the family derives it from its configuration.
public struct DecoderArchitecture: Sendable {
    /// One layer.
    public struct Layer: Sendable, Equatable {
        /// The sliding window: the number of positions that a query sees, itself included; nil for all.
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
    /// The treatment of the norms' weights.
    public var norm: RMSNormOptions
    /// The function in the gated MLP.
    public var activation: ElementFunction
    /// The factor of attention scores.
    public var attentionScale: Float
    /// The factor of token embeddings; nil for none.
    public var embeddingScale: Float?
    /// A function of scaled token embeddings [N, D] to others of the same shape, such as a native kernel; nil for none.
    public var embeddingFunction: (@Sendable (_ embeddings: Tensor) throws -> Tensor)?
    /// Whether queries and keys are normalised head by head before the rotary embedding.
    public var normalizesHeads = false
    /// Whether the outputs of attention and MLP are normalised before they are added to the residual stream.
    public var normalizesOutputs = false
    /// The factor of queries at a position after the rotary embedding; nil for none.
    public var queryScale: (@Sendable (_ position: Int32) -> Float)?

    /// The form that most decoders share.
    public init(
        layers: [Layer],
        rotary: [RotaryEmbedding],
        norm: RMSNormOptions,
        activation: ElementFunction,
        attentionScale: Float
    ) {
        self.layers = layers
        self.rotary = rotary
        self.norm = norm
        self.activation = activation
        self.attentionScale = attentionScale
    }

    /// The architecture of Llama's and Mistral's decoders, whose layers differ at most in their windows.
    ///
    /// - Throws: `BridgeError` for an activation that is not supported.
    public init(alike configuration: DecoderConfiguration) throws {
        self.init(
            layers: (0..<configuration.numLayers).map { Layer(window: configuration.window(ofLayer: $0)) },
            rotary: [configuration.rotaryEmbedding],
            norm: RMSNormOptions(epsilon: Float(configuration.layernormEpsilon)),
            activation: try ElementFunction(huggingFace: configuration.activation),
            attentionScale: Float(1 / Double(configuration.kvChannels).squareRoot())
        )
    }
}

extension DecoderConfiguration {
    /// The rotary embedding, scaled as the configuration specifies.
    public var rotaryEmbedding: RotaryEmbedding { ropeScaling.embedding(base: rotaryBase, in: self) }
}

extension RopeScaling {
    /// The rotary embedding of heads of `configuration`, with this scaling.
    ///
    /// - Parameters:
    ///   - base: The base of the frequencies.
    ///   - configuration: The decoder.
    /// - Returns: The embedding; an unscaled one for a scaling that has a ``problem``.
    public func embedding(base: Double, in configuration: DecoderConfiguration) -> RotaryEmbedding {
        let (width, length) = (configuration.kvChannels, originalMaxPositionEmbeddings ?? configuration.seqLength)
        switch type {
        case "linear": return RotaryEmbedding(width: width, base: base, factor: factor ?? 1)
        case "yarn": return RotaryEmbedding(width: width, base: base, yarn: yarn(originalLength: length))
        case "llama3":
            return RotaryEmbedding(
                width: width,
                base: base,
                llama3: RotaryEmbedding.Llama3(
                    factor: factor ?? 1,
                    originalLength: length,
                    lowFrequencyFactor: lowFreqFactor ?? 1,
                    highFrequencyFactor: highFreqFactor ?? 4
                )
            )
        default: return RotaryEmbedding(width: width, base: base)
        }
    }

    /// The parameters of YaRN, with the defaults of `_compute_yarn_parameters` in `modeling_rope_utils.py`, transformers 5.23.
    private func yarn(originalLength: Int) -> RotaryEmbedding.YaRN {
        let factor = factor ?? 1
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
            originalLength: originalLength,
            betaFast: betaFast ?? 32,
            betaSlow: betaSlow ?? 1,
            truncates: truncate ?? true,
            attentionFactor: attention
        )
    }
}
