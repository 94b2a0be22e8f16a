import BridgeCore
import JSONTree

/// The lines of a configuration table for the keys of a `config.json`.
struct ConfigurationDraft {
    private(set) var lines: [String] = []

    private static let mark = FamilyDraft.mark

    init(_ json: JSON, modelType: String) {
        func has(_ key: String) -> Bool { json[key] != nil }
        lines.append(#"Field("model_type", "model_type", \.decoder.modelType)"#)
        for (key, megatron, field) in [
            ("num_hidden_layers", "num_layers", "numLayers"), ("hidden_size", "hidden_size", "hiddenSize"),
            ("intermediate_size", "ffn_hidden_size", "ffnHiddenSize"),
            ("num_attention_heads", "num_attention_heads", "numAttentionHeads"),
        ] {
            required(key, megatron, field, in: json)
        }
        if json["num_key_value_heads"]?.nonNull != nil {
            required("num_key_value_heads", "num_query_groups", "numQueryGroups", in: json)
        } else {
            lines += [
                "\(Self.mark) one key and value head for each query head",
                #"Field("num_key_value_heads", "num_query_groups", \.decoder.numQueryGroups, ifAbsent: .derived("#,
                #"    rule: "num_attention_heads", nullIsMissing: true) { $0.decoder.numAttentionHeads })"#,
            ]
        }
        if json["head_dim"]?.nonNull != nil {
            required("head_dim", "kv_channels", "kvChannels", in: json)
        } else {
            lines += [
                "\(Self.mark) the width of a head",
                #"Field("head_dim", "kv_channels", \.decoder.kvChannels, ifAbsent: .derived("#,
                #"    rule: "hidden_size / num_attention_heads", nullIsMissing: true) {"#,
                "    $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1) })",
            ]
        }
        for (key, megatron, field) in [
            ("vocab_size", "vocab_size", "vocabSize"), ("max_position_embeddings", "seq_length", "seqLength"),
            (Self.epsilons.first(where: has) ?? Self.epsilons[0], "layernorm_epsilon", "layernormEpsilon"),
        ] {
            required(key, megatron, field, in: json)
        }
        lines.append(#"Field("rope_theta", "rotary_base", \.decoder.rotaryBase)"#)
        let share = Self.rotatedShare(json) ?? 1
        if share != 1 {
            lines.append(
                "\(Self.mark) partial_rotary_factor is \(share), and the shared decoder rotates whole heads: if the class does so too "
                    + "whatever the value is, remove this from the reason in conversionOnly"
            )
        }
        lines += [
            "RopeScaling.fields(in: \"rope_scaling\", \\.decoder.ropeScaling\(share == 1 ? "" : ", ignoresPartialRotaryFactor: true"))",
            #"RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])"#,
        ]
        if has("sliding_window") {
            lines += [
                "\(Self.mark) every layer has the window, or those that layer_types names",
                #"Field("sliding_window", "sliding_window", \.decoder.slidingWindow, ifAbsent: .classDefault(nil, source: source))"#,
            ]
        }
        if has("layer_types") {
            lines += [
                #"Field(["layer_types"], "layer_types", \.decoder.layerTypes, ifAbsent: .classDefault(nil, source: source),"#,
                "    writesDefault: false)",
            ]
        }
        defaulted("tie_word_embeddings", in: json)
        lines += [
            #"Field("tie_word_embeddings", "share_embeddings_and_output_weights","#,
            #"    \.decoder.shareEmbeddingsAndOutputWeights, ifAbsent: .classDefault(false, source: source))"#,
        ]
        defaulted("initializer_range", in: json)
        lines += [
            #"Field("initializer_range", "init_method_std", \.decoder.initMethodStd, ifAbsent: .classDefault(0.02, source: source))"#
        ]
        defaulted("attention_dropout", in: json)
        lines += [
            #"Field("attention_dropout", "attention_dropout", \.decoder.attentionDropout,"#,
            #"    ifAbsent: .classDefault(0, source: source)).dropout"#,
            #"Field(["torch_dtype", "dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))"#,
        ]
        let activation = ["hidden_act", "hidden_activation", "activation_function"].first(where: has) ?? "hidden_act"
        required(activation, "activation_func", "activation", in: json)
        others(json)
    }

    /// Marks a default that the file does not show, because it has no key of these.
    private mutating func defaulted(_ key: String, in json: JSON) {
        guard json[key] == nil else { return }
        lines.append("\(Self.mark) config.json has no \(key); the default has to be that of the class in transformers")
    }

    private mutating func required(_ key: String, _ megatron: String, _ field: String, in json: JSON) {
        if json[key] == nil { lines.append("\(Self.mark) config.json has no \(key); name the key that it has instead") }
        lines.append(#"Field("\#(key)", "\#(megatron)", \.decoder.\#(field))"#)
    }

    /// The keys of the epsilon of norms, RMSNorm's first.
    static let epsilons = [
        "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "layernorm_epsilon", "norm_epsilon", "norm_eps",
    ]

    /// The share of a head that a configuration rotates; nil where it names none.
    static func rotatedShare(_ json: JSON) -> Double? {
        ["rope_scaling.partial_rotary_factor", "rope_parameters.partial_rotary_factor", "partial_rotary_factor"].lazy
            .compactMap { json[path: $0]?.double }.first
    }

    /// The keys that a draft knows, the objects of rotary parameters among them.
    private static let known: Set<String> = [
        "model_type", "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads",
        "num_key_value_heads",
        "head_dim", "vocab_size", "max_position_embeddings", "rope_theta", "rope_scaling",
        "rope_parameters",
        "sliding_window", "layer_types", "tie_word_embeddings", "initializer_range", "attention_dropout", "torch_dtype",
        "dtype", "hidden_act", "hidden_activation", "activation_function", "original_max_position_embeddings",
        "partial_rotary_factor", "quantization_config",
    ]

    /// A line for each other key.
    ///
    /// One that switches something off is accepted with that value alone; every other one may change a result, so that models
    /// are not run before the author has decided.
    private mutating func others(_ json: JSON) {
        let activations = ["hidden_act", "hidden_activation", "activation_function"]
        let activation = activations.first { json[$0] != nil }
        let epsilon = Self.epsilons.first { json[$0] != nil }
        let common = Set(SettingsTable.common.settings.map(\.key))
        for (key, value) in json.object ?? JSONObject() {
            let isOtherActivation = activations.contains(key) && key != activation
            let isKnown = Self.known.contains(key) || key == epsilon
            guard isOtherActivation || !isKnown, !common.contains(key) else { continue }
            for (path, leaf) in Self.leaves(value, at: key) {
                guard Self.isOff(leaf) else {
                    lines += [
                        "\(Self.mark) nothing computes with it: read it with a Field and compute with it, or use Field.fixed where this value "
                            + "changes nothing, or Field.noEffect where none does; until then models are converted and not run",
                        "Field.undecided(\"\(SwiftLiteral.escaped(path))\")  // \(SwiftLiteral.text(leaf))",
                    ]
                    continue
                }
                lines += [
                    "\(Self.mark) refused with another value, and taken to be this one where it is absent, which has to be the default of the "
                        + "class; read it, or use Field.noEffect where no value changes a result",
                    "Field.fixed(\"\(SwiftLiteral.escaped(path))\", [\(SwiftLiteral.text(leaf))], ifAbsent: source)",
                ]
            }
        }
    }

    /// Whether a value means that something is absent: null, false, 0, a factor of 1, or nothing in it.
    private static func isOff(_ value: JSON) -> Bool {
        if let number = value.double { return number == 0 || number == 1 }
        return value.isNull || value.bool == false || value.string?.isEmpty ?? false || value.array?.isEmpty ?? false
            || value.object?.isEmpty ?? false
    }

    private static func leaves(_ json: JSON, at path: String) -> [(path: String, value: JSON)] {
        guard let object = json.object, !object.isEmpty else { return [(path, json)] }
        return object.flatMap { leaves($0.value, at: "\(path).\($0.key)") }
    }
}
