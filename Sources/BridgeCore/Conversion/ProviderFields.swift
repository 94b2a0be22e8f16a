import BridgeSupport
package import JSONTree

/// The fields of a provider of Megatron Bridge, or the arguments of Megatron-LM, under the names that Bridge has for them.
///
/// Source: TransformerConfig and GPTModelProvider, Megatron Bridge 0.3.1; arguments.py, Megatron-LM 0.16.
package struct ProviderFields: Sendable {
    /// The section `model` of a `run_config.yaml`.
    let model: JSON
    /// The file, for messages.
    let name: String

    package init(model: JSON, name: String) {
        self.model = model
        self.name = name
    }

    /// Settings that change what a model computes and have no key in the configurations of the families: each with the
    /// values that mean what the families compute.
    private static let required: [(name: String, accepted: [JSON])] = [
        ("normalization", ["RMSNorm", .null]), ("gated_linear_unit", [.bool(true), .null]),
        ("add_bias_linear", [.bool(false), .null]), ("add_qkv_bias", [.bool(false), .null]),
        ("num_moe_experts", [.null]), ("multi_latent_attention", [.bool(false), .null]),
        ("layernorm_zero_centered_gamma", [.bool(false), .null]), ("qk_layernorm", [.bool(false), .null]),
        ("position_embedding_type", ["rope", "yarn", .null]), ("rotary_interleaved", [.bool(false), .null]),
        ("rope_scaling", [.bool(false), .null]), ("seq_len_interpolation_factor", [.null]),
        ("is_hybrid_model", [.bool(false), .null]), ("hidden_dropout", [JSON(0), .null]),
        ("apply_residual_connection_post_layernorm", [.bool(false), .null]), ("window_attn_skip_freq", [.null]),
        ("no_rope_freq", [.null]), ("attention_output_gate", [.bool(false), .null]), ("mtp_num_layers", [.null]),
        ("qk_l2_norm", [.bool(false), .null]), ("softmax_type", ["vanilla", .null]),
        ("glu_linear_offset", [JSON(0), .null]),
        ("activation_func_clamp_value", [.null]), ("head_wise_attn_gate", [.bool(false), .null]),
        ("rotary_base_per_layer", [.null]), ("experimental_attention_variant", [.null]),
    ]

    /// Checks that nothing changes what the model computes besides the fields that are read.
    ///
    /// - Throws: `BridgeError` with code `badConfiguration` and all such settings.
    package func check() throws {
        let wrong = Self.required.compactMap { name, accepted -> String? in
            guard let found = model[name],
                !accepted.contains(where: { $0 == found || $0.double != nil && $0.double == found.double })
            else { return nil }
            return "\(name) is \(found.compactText), expected \(accepted.map(\.compactText).joined(separator: " or "))"
        }
        guard wrong.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "\(self.name) describes a model that no family of the loaded plugins computes; give the directory of the "
                    + "Hugging Face model with --hf-model if it is one of theirs",
                names: wrong
            )
        }
    }

    /// The value of a field under Bridge's name, as `config.json` has it; nil where it is not given.
    package func value(_ field: String) -> JSON? {
        switch field {
        case "activation_func": activation
        case "params_dtype": (model["params_dtype"]?["_target_"] ?? model["params_dtype"])?.nonNull.flatMap(Self.dtype)
        case "sliding_window": window
        case "rotary_scaling_type": isYarn ? "yarn" : nil
        case "rotary_scaling_factor": isYarn ? model["yarn_rotary_scaling_factor"]?.nonNull : nil
        case "rotary_percent": model["rotary_percent"]?.double == 1 ? nil : model["rotary_percent"]?.nonNull
        case _ where field.hasPrefix("yarn_"): isYarn ? model[field]?.nonNull : nil
        default: model[field]?.nonNull
        }
    }

    private var isYarn: Bool { model["position_embedding_type"]?.string == "yarn" }

    /// torch's function, under transformers' name.
    private var activation: JSON? {
        guard let target = (model["activation_func"]?["_target_"] ?? model["activation_func"])?.string else {
            return nil
        }
        switch target.split(separator: ".").last {
        case "silu", "swiglu": return "silu"
        case "fast_gelu", "gelu_tanh": return "gelu_pytorch_tanh"
        case let name?: return .string(String(name))
        case nil: return nil
        }
    }

    /// Megatron counts the positions before a query, transformers the query too.
    private var window: JSON? {
        guard let size = model["window_size"]?.nonNull else { return .null }
        if let positions = size.array?.first?.integer { return JSON(positions < Int.max ? positions + 1 : positions) }
        return size
    }

    private static func dtype(_ json: JSON) -> JSON? {
        json.string.map { .string($0.hasPrefix("torch.") ? String($0.dropFirst("torch.".count)) : $0) }
    }
}
