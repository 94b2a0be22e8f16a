import BridgeSupport
public import JSONTree
import TensorRuntime

/// The configuration of a decoder-only transformer, in Megatron-Core's terms.
public struct DecoderConfiguration: ConfigurationRoot, Equatable {
    /// transformers' name of the text model's class, such as `mistral`; some class defaults depend on it.
    public var modelType = ""
    /// Decoder layers.
    public var numLayers = 0
    /// Width of the residual stream.
    public var hiddenSize = 0
    /// Width between the two matrices of the MLP.
    public var ffnHiddenSize = 0
    /// Query heads.
    public var numAttentionHeads = 0
    /// Key and value heads.
    public var numQueryGroups = 0
    /// Width of a head.
    public var kvChannels = 0
    /// Words in the vocabulary, without padding.
    public var vocabSize = 0
    /// The epsilon of the norms.
    public var layernormEpsilon = 0.0
    /// The longest sequence that the model was made for.
    public var seqLength = 0
    /// The base of the rotary frequencies.
    public var rotaryBase = 0.0
    /// The scaling of the rotary frequencies.
    public var ropeScaling = RopeScaling()
    /// The sliding window: the number of positions that a query sees, itself included; nil for all.
    public var slidingWindow: Int?
    /// For every layer `sliding_attention` or `full_attention`; nil where all have the window.
    public var layerTypes: [String]?
    /// The activation in the gated MLP, under transformers' name.
    public var activation = ""
    /// Whether the output layer is the embedding.
    public var shareEmbeddingsAndOutputWeights = false
    /// Standard deviation for new weights.
    public var initMethodStd = 0.0
    /// The share of attention weights that training drops.
    public var attentionDropout = 0.0

    /// A configuration that waits to be filled.
    public init() {}

    /// The heads of an attention layer.
    public var heads: HeadLayout {
        HeadLayout(queryHeads: numAttentionHeads, groups: numQueryGroups, headWidth: kvChannels)
    }

    /// The sliding window of a layer; nil for all positions.
    public func window(ofLayer layer: Int) -> Int? {
        guard let layerTypes, layerTypes.indices.contains(layer) else { return slidingWindow }
        return layerTypes[layer] == Self.slidingAttention ? slidingWindow : nil
    }

    /// A text configuration whose `layer_types` have today's names.
    ///
    /// Source: `remap_legacy_layer_types` in `configuration_utils.py`, transformers 5.23.
    public static func withCurrentLayerTypes(_ json: JSON) -> JSON {
        guard let types = json["layer_types"]?.array, types.contains("attention") else { return json }
        var result = json
        result.set(.array(types.map { $0 == "attention" ? .string(fullAttention) : $0 }), at: "layer_types")
        return result
    }

    /// The type of a layer whose queries see the window.
    public static let slidingAttention = "sliding_attention"
    /// The type of a layer whose queries see everything before them.
    public static let fullAttention = "full_attention"

    /// Checks what has to hold between the values.
    ///
    /// - Parameter name: The file, for messages.
    /// - Throws: `BridgeError` with everything that is wrong.
    public func validate(name: String) throws {
        var problems: [String] = []
        do { _ = try ElementFunction(huggingFace: activation) } catch let error as BridgeError {
            problems.append(error.message)
        }
        if let problem = ropeScaling.problem { problems.append(problem) }
        if !(rotaryBase > 0) {
            problems.append(
                "rotary_base is \(rotaryBase), expected more than 0 from a line of the table that reads rope_theta"
            )
        }
        if let layerTypes {
            if layerTypes.count != numLayers {
                problems.append(
                    "layer_types has \(layerTypes.count) entries, expected one for each of the \(numLayers) layers"
                )
            }
            if let other = layerTypes.first(where: { $0 != Self.slidingAttention && $0 != Self.fullAttention }) {
                problems.append(
                    "layer_types has \(other); supported: \(Self.slidingAttention) and \(Self.fullAttention)"
                )
            }
            if layerTypes.contains(Self.slidingAttention), slidingWindow == nil {
                problems.append("layer_types has \(Self.slidingAttention), but sliding_window is null")
            }
        }
        let sizes = [
            ("num_layers", numLayers), ("hidden_size", hiddenSize), ("ffn_hidden_size", ffnHiddenSize),
            ("num_attention_heads", numAttentionHeads), ("num_query_groups", numQueryGroups),
            ("kv_channels", kvChannels),
            ("vocab_size", vocabSize), ("seq_length", seqLength),
        ]
        for (field, value) in sizes where value <= 0 { problems.append("\(field) is \(value), expected more than 0") }
        for (field, value) in sizes where value > Self.largestSize {
            problems.append("\(field) is \(value), expected at most \(Self.largestSize)")
        }
        if numLayers > Self.mostLayers { problems.append("num_layers is \(numLayers), more than \(Self.mostLayers)") }
        if numQueryGroups > 0, numAttentionHeads % numQueryGroups != 0 {
            problems.append(
                "num_attention_heads is \(numAttentionHeads), not a multiple of num_query_groups, \(numQueryGroups)"
            )
        }
        let width = numAttentionHeads.multipliedReportingOverflow(by: kvChannels)
        if width.overflow || width.partialValue > Self.largestSize {
            problems.append(
                "num_attention_heads is \(numAttentionHeads) and kv_channels \(kvChannels), together more than \(Self.largestSize)"
            )
        }
        if kvChannels % 2 != 0 { problems.append("kv_channels is \(kvChannels); rotary positions need an even head") }
        if let slidingWindow, slidingWindow <= 0 {
            problems.append("sliding_window is \(slidingWindow), expected more than 0 or null")
        }
        guard problems.isEmpty else {
            throw BridgeError(.badConfiguration, "\(name) has settings that cannot be used", names: problems)
        }
    }

    /// A bound on each size, so that products of two of them cannot overflow.
    package static let largestSize = 1 << 28
    /// A bound on the layers, so that a table of parameters stays small.
    static let mostLayers = 4096
}
