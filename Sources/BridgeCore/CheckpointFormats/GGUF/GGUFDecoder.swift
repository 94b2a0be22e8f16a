import Glibc
public import ModelSchema

/// The keys and names of a decoder that llama.cpp's architectures have in common.
///
/// Source: src/llama-arch.cpp and src/llama-model.cpp of llama.cpp, in llama-cpp-python 0.3.36.
public struct GGUFDecoder: Sendable {
    private let decoder: DecoderConfiguration
    private let architecture: String
    private let model: String
    private let output: String
    private let hasPairedHeads: Bool
    private let normOffset: Float

    /// A decoder.
    ///
    /// - Parameters:
    ///   - decoder: Its configuration.
    ///   - architecture: llama.cpp's name of the architecture, which begins its keys.
    ///   - model: The prefix of `embed_tokens` in Hugging Face's names.
    ///   - output: Hugging Face's name of the output layer's weight.
    ///   - hasPairedHeads: Whether the architecture rotates neighbouring elements of a head.
    ///   - normOffset: What is added to the weights of norms.
    public init(
        _ decoder: DecoderConfiguration,
        architecture: String,
        model: String = "model.",
        output: String = "lm_head.weight",
        hasPairedHeads: Bool,
        normOffset: Float = 0
    ) {
        self.decoder = decoder
        self.architecture = architecture
        self.model = model
        self.output = output
        self.hasPairedHeads = hasPairedHeads
        self.normOffset = normOffset
    }

    private func key(_ field: String, _ name: String, _ value: GGUFValue) -> GGUFSetting {
        .key(field, "\(architecture).\(name)", value)
    }

    // MARK: Settings

    /// The sizes, and what has no effect.
    public var settings: [GGUFSetting] {
        let width = GGUFValue.count(decoder.kvChannels)
        return [
            key("vocab_size", "vocab_size", .count(decoder.vocabSize)),
            key("seq_length", "context_length", .count(decoder.seqLength)),
            key("hidden_size", "embedding_length", .count(decoder.hiddenSize)),
            key("num_layers", "block_count", .count(decoder.numLayers)),
            key("ffn_hidden_size", "feed_forward_length", .count(decoder.ffnHiddenSize)),
            key("num_attention_heads", "attention.head_count", .count(decoder.numAttentionHeads)),
            key("num_query_groups", "attention.head_count_kv", .count(decoder.numQueryGroups)),
            .keys(
                "kv_channels",
                to: ["attention.key_length", "attention.value_length", "rope.dimension_count"].map {
                    ("\(architecture).\($0)", width)
                }
            ),
            key("layernorm_epsilon", "attention.layer_norm_rms_epsilon", .number(decoder.layernormEpsilon)),
            key("rotary_base", "rope.freq_base", .number(decoder.rotaryBase)),
            .noEffect("model_type", "text_model_type", because: "general.architecture determines the computation"),
            .noEffect(
                "share_embeddings_and_output_weights",
                because: "without output.weight the output layer is the embedding"
            ),
            .noEffect("init_method_std", "attention_dropout", because: "they are for training"),
            .noEffect("params_dtype", because: "every tensor has its own type"),
        ]
    }

    /// The activation of the MLP, of which an architecture has one.
    public func activation(_ names: [String]) -> GGUFSetting {
        .only(
            "activation_func",
            decoder.activation,
            names.contains(decoder.activation),
            expected: names.joined(separator: " or ")
        )
    }

    /// A window for an architecture without one: as long as the model's context it has no effect.
    public var withoutWindow: [GGUFSetting] {
        let windows = (0..<decoder.numLayers).compactMap(decoder.window)
        let shortest = windows.min() ?? .max
        return [
            .only(
                "sliding_window",
                "\(shortest)",
                shortest >= decoder.seqLength,
                expected:
                    "none, or at least the context of \(decoder.seqLength), because llama.cpp has no window in its "
                    + "architecture \(architecture)"
            ),
            .noEffect("layer_types", because: "no layer has a window"),
        ]
    }

    /// A window in some layers.
    public var withWindow: [GGUFSetting] {
        let windows = (0..<decoder.numLayers).map { decoder.window(ofLayer: $0) }
        guard let window = windows.compactMap({ $0 }).first else {
            return [.noEffect("sliding_window", "layer_types", because: "no layer has a window")]
        }
        return [
            key("sliding_window", "attention.sliding_window", .count(window)),
            key("layer_types", "attention.sliding_window_pattern", .flags(windows.map { $0 != nil })),
        ]
    }

    /// The scaling of the rotary frequencies.
    ///
    /// - Parameter hasRamp: Whether the architecture reads the ramp and the attention factor of YaRN, and the scale on queries.
    /// - Returns: The settings.
    public func ropeScaling(hasRamp: Bool) -> [GGUFSetting] {
        let rope = decoder.ropeScaling
        let isYaRN = rope.type == "yarn"
        var keys: [(key: String, value: GGUFValue)] = []
        func add(_ name: String, _ value: GGUFValue) { keys.append(("\(architecture).\(name)", value)) }
        if rope.type != "default" {
            add("rope.scaling.type", .text(rope.type))
            add("rope.scaling.factor", .number(rope.factor ?? 1))
        }
        if isYaRN || rope.llama4ScalingBeta != nil {
            add(
                "rope.scaling.original_context_length",
                .count(rope.originalMaxPositionEmbeddings ?? decoder.seqLength)
            )
        }
        if isYaRN, hasRamp {
            add("rope.scaling.yarn_beta_fast", .number(rope.betaFast ?? Self.betaFast))
            add("rope.scaling.yarn_beta_slow", .number(rope.betaSlow ?? Self.betaSlow))
        }
        if isYaRN, let factor = attentionFactor {
            add("rope.scaling.attn_factor", .number(factor / Self.logarithmicScale(rope.factor ?? 1, 1)))
        }
        if hasRamp, let beta = rope.llama4ScalingBeta { add("attention.temperature_scale", .number(beta)) }
        func only(_ field: String, _ found: some Any, _ isSupported: Bool, _ expected: String) -> GGUFSetting {
            .only(field, "\(found)", isSupported, expected: expected)
        }
        let names = ["default", "linear", "yarn"]
        return [
            .keys(to: keys),
            only("rotary_scaling_type", rope.type, names.contains(rope.type), names.joined(separator: ", ")),
            .noEffect(
                "rotary_scaling_factor",
                "yarn_original_max_position_embeddings",
                because: "they are among the keys of the scaling"
            ),
            only(
                "yarn_beta_fast",
                rope.betaFast ?? 0,
                !isYaRN || hasRamp || (rope.betaFast ?? Self.betaFast) == Self.betaFast,
                "\(Self.betaFast)"
            ),
            only(
                "yarn_beta_slow",
                rope.betaSlow ?? 0,
                !isYaRN || hasRamp || (rope.betaSlow ?? Self.betaSlow) == Self.betaSlow,
                "\(Self.betaSlow)"
            ),
            .noEffect(
                "yarn_mscale",
                "yarn_mscale_all_dim",
                "yarn_attention_factor",
                because: "they are in the factor of the scaling"
            ),
            only("yarn_correction_range_round_to_int", "false", !isYaRN || rope.truncate ?? true, "true"),
            .noEffect("rope_low_freq_factor", "rope_high_freq_factor", because: "they are for the type llama3"),
            .noEffect("rotary_percent", because: "heads are rotated whole"),
            only(
                "llama_4_scaling_beta",
                rope.llama4ScalingBeta ?? 0,
                rope.llama4ScalingBeta == nil || hasRamp,
                "none, because llama.cpp has no scale on queries in its architecture \(architecture)"
            ),
        ]
    }

    /// The factor of YaRN that is not llama.cpp's own, `0.1 ln factor + 1`; nil for that one.
    ///
    /// Source: `_compute_yarn_parameters` in modeling_rope_utils.py, transformers 5.23.
    private var attentionFactor: Double? {
        let rope = decoder.ropeScaling
        if let factor = rope.attentionFactor { return factor }
        guard let numerator = rope.mscale, let denominator = rope.mscaleAllDim, numerator != 0, denominator != 0 else {
            return nil
        }
        let factor = rope.factor ?? 1
        return Self.logarithmicScale(factor, numerator) / Self.logarithmicScale(factor, denominator)
    }

    private static func logarithmicScale(_ factor: Double, _ weight: Double) -> Double {
        factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1
    }

    /// YaRN's own defaults.
    ///
    /// Source: modeling_rope_utils.py, transformers 5.23.
    private static let (betaFast, betaSlow) = (32.0, 1.0)

    // MARK: Tensors

    private func layer(
        _ huggingFace: String,
        _ name: String,
        pairedHeads: Int? = nil,
        offset: Float = 0
    ) -> GGUFTensor {
        GGUFTensor(
            NamePattern("\(model)layers.*.\(huggingFace).weight"),
            NamePattern("blk.*.\(name).weight"),
            pairedHeads: pairedHeads,
            offset: offset
        )
    }

    /// A norm of each layer.
    public func norm(_ huggingFace: String, _ name: String) -> GGUFTensor {
        layer(huggingFace, name, offset: normOffset)
    }

    /// Embeddings, output layer, final norm, and the matrices and the first norm of each layer.
    public var tensors: [GGUFTensor] {
        let pairedHeads = hasPairedHeads ? decoder.kvChannels : nil
        return [
            GGUFTensor(NamePattern("\(model)embed_tokens.weight"), "token_embd.weight", precision: .table),
            GGUFTensor(NamePattern(output), "output.weight", precision: .table),
            GGUFTensor(NamePattern("\(model)norm.weight"), "output_norm.weight", offset: normOffset),
            norm("input_layernorm", "attn_norm"),
            layer("self_attn.q_proj", "attn_q", pairedHeads: pairedHeads),
            layer("self_attn.k_proj", "attn_k", pairedHeads: pairedHeads),
            layer("self_attn.v_proj", "attn_v"),
            layer("self_attn.o_proj", "attn_output"),
            layer("mlp.gate_proj", "ffn_gate"),
            layer("mlp.up_proj", "ffn_up"),
            layer("mlp.down_proj", "ffn_down"),
        ]
    }
}
