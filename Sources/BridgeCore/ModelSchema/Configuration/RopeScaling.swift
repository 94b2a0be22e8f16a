/// The scaling of rotary frequencies to sequences longer than those of pre-training.
public struct RopeScaling: ConfigurationRoot, Equatable {
    /// `default`, `linear`, `yarn` or `llama3`.
    public var type = ""
    /// The ratio of the scaled context length to the original one; nil where none is given.
    public var factor: Double?
    /// The original context length, for YaRN, Llama 3 and Llama 4's query scale.
    public var originalMaxPositionEmbeddings: Int?
    /// YaRN: frequencies with more rotations than this over the original length stay as they are.
    public var betaFast: Double?
    /// YaRN: frequencies with fewer rotations than this are divided by the factor.
    public var betaSlow: Double?
    /// YaRN: numerator of the attention factor.
    public var mscale: Double?
    /// YaRN: denominator of the attention factor.
    public var mscaleAllDim: Double?
    /// YaRN: the attention factor itself, when it is given.
    public var attentionFactor: Double?
    /// YaRN: whether the bounds of the ramp are rounded to whole dimensions.
    public var truncate: Bool?
    /// Llama 3: wavelengths above the original length divided by this are scaled in full.
    public var lowFreqFactor: Double?
    /// Llama 3: wavelengths below the original length divided by this stay as they are.
    public var highFreqFactor: Double?
    /// The share of a head that is rotated; only 1 is computed.
    public var partialRotaryFactor: Double?
    /// Whether the family's class rotates whole heads with the default type whatever ``partialRotaryFactor`` is.
    public var ignoresPartialRotaryFactor = false
    /// Llama 4's scale on queries: `1 + beta * ln(1 + floor(position / original))`; nil for none.
    public var llama4ScalingBeta: Double?

    /// A scaling without values.
    public init() {}

    /// The lines of a table for the keys below an object, such as `rope_scaling`, which ``RopeStandardization`` has filled.
    ///
    /// Class defaults: `modeling_rope_utils.py`, transformers 5.23: absent means no scaling, and YaRN's own defaults
    /// (32, 1, truncated) are applied where the values are used.
    ///
    /// - Parameters:
    ///   - object: The key path of the object.
    ///   - scaling: Where the values go.
    ///   - suffix: What Megatron's names of the fields end in, for a model with several scalings.
    ///   - ignoresPartialRotaryFactor: Whether the class of the family rotates whole heads with the default type whatever
    ///     `partial_rotary_factor` is, as its `compute_default_rope_parameters` shows, or the family is only converted;
    ///     otherwise another value than 1 is refused.
    /// - Returns: The lines.
    public static func fields<Root: ConfigurationRoot>(
        in object: String,
        _ scaling: any WritableKeyPath<Root, RopeScaling> & Sendable,
        suffix: String = "",
        ignoresPartialRotaryFactor: Bool = false
    ) -> [Field<Root>] {
        let source = "modeling_rope_utils.py, transformers 5.23"
        func field<Value: ConfigurationValue>(
            _ key: String,
            _ megatron: String,
            _ part: any WritableKeyPath<RopeScaling, Value> & Sendable,
            _ absent: Value
        ) -> Field<Root> {
            let absence = Field<RopeScaling>.Absence.classDefault(absent, source: source)
            let path = "\(object).\(key)"
            return Field<RopeScaling>([path], megatron + suffix, part, ifAbsent: absence, writesDefault: false)
                .lifted(to: scaling)
        }
        var partial = field("partial_rotary_factor", "rotary_percent", \.partialRotaryFactor, nil)
        let decode = partial.decode
        partial.decode = { reading, root in
            decode(&reading, &root)
            root[keyPath: scaling].ignoresPartialRotaryFactor = ignoresPartialRotaryFactor
        }
        return [
            field("rope_type", "rotary_scaling_type", \.type, "default"),
            field("factor", "rotary_scaling_factor", \.factor, nil),
            field(
                "original_max_position_embeddings",
                "yarn_original_max_position_embeddings",
                \.originalMaxPositionEmbeddings,
                nil
            ),
            field("beta_fast", "yarn_beta_fast", \.betaFast, nil),
            field("beta_slow", "yarn_beta_slow", \.betaSlow, nil),
            field("mscale", "yarn_mscale", \.mscale, nil),
            field("mscale_all_dim", "yarn_mscale_all_dim", \.mscaleAllDim, nil),
            field("attention_factor", "yarn_attention_factor", \.attentionFactor, nil),
            field("truncate", "yarn_correction_range_round_to_int", \.truncate, nil),
            field("low_freq_factor", "rope_low_freq_factor", \.lowFreqFactor, nil),
            field("high_freq_factor", "rope_high_freq_factor", \.highFreqFactor, nil),
            partial,
            field("llama_4_scaling_beta", "llama_4_scaling_beta", \.llama4ScalingBeta, nil),
        ]
    }

    /// Why this scaling cannot be computed; nil when it can.
    public var problem: String? {
        let rotated = partialRotaryFactor ?? 1
        if rotated != 1, type != "default" || !ignoresPartialRotaryFactor {
            return
                "partial_rotary_factor is \(rotated); supported with rope_type \(type): 1, because whole heads are rotated"
        }
        guard type != "default" else { return nil }
        guard ["linear", "yarn", "llama3"].contains(type) else {
            return "rope_type is \(type); supported: default, linear, yarn and llama3"
        }
        guard let factor, factor > 0 else {
            return
                "rope_type is \(type) and factor is \(factor.map { "\($0)" } ?? "null"), expected a factor of more than 0"
        }
        if type != "linear", let original = originalMaxPositionEmbeddings, original <= 0 {
            return "rope_type is \(type) and original_max_position_embeddings is \(original), expected more than 0"
        }
        if type == "llama3" {
            guard let low = lowFreqFactor, let high = highFreqFactor, originalMaxPositionEmbeddings != nil, low > 0,
                high > low
            else {
                return
                    "rope_type is llama3, which needs original_max_position_embeddings, low_freq_factor and a larger high_freq_factor"
            }
        }
        return nil
    }
}
