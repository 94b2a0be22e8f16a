/// How rotary frequencies are stretched to sequences longer than those of the first training.
public struct RopeScaling: ConfigurationRoot, Equatable {
    /// `default`, `linear` or `yarn`.
    public var type = ""
    /// How many times longer the sequences are.
    public var factor = 0.0
    /// The length of the first training, for YaRN.
    public var originalMaxPositionEmbeddings: Int?
    /// YaRN: frequencies with more turns than this over the original length stay as they are.
    public var betaFast: Double?
    /// YaRN: frequencies with fewer turns than this are divided by the factor.
    public var betaSlow: Double?
    /// YaRN: numerator of the attention factor.
    public var mscale: Double?
    /// YaRN: denominator of the attention factor.
    public var mscaleAllDim: Double?
    /// YaRN: the attention factor itself, when it is given.
    public var attentionFactor: Double?
    /// YaRN: whether the bounds of the ramp are rounded to whole dimensions.
    public var truncate: Bool?
    /// Llama 4's scale on queries: `1 + beta * ln(1 + floor(position / original))`; nil for none.
    public var llama4ScalingBeta: Double?

    /// A scaling that waits to be filled.
    public init() {}

    /// The lines of a table for the keys `names` below each of several objects, such as `rope_parameters` and
    /// `rope_scaling`; the first object is the one that is written into a new configuration.
    ///
    /// Class defaults: transformers 5.23, `modeling_rope_utils.py`: absent means no scaling, a factor of 1, and YaRN's
    /// own defaults (32, 1, truncated) where the numbers are used.
    public static func fields<Root: ConfigurationRoot>(
        in objects: [String],
        _ scaling: any WritableKeyPath<Root, RopeScaling> & Sendable
    ) -> [Field<Root>] {
        let source = "modeling_rope_utils.py, transformers 5.23"
        func field<Value: ConfigurationValue>(
            _ keys: [String],
            _ megatron: String,
            _ part: any WritableKeyPath<RopeScaling, Value> & Sendable,
            _ absent: Value
        ) -> Field<Root> {
            let paths = objects.flatMap { object in keys.map { "\(object).\($0)" } }
            let absence = Field<RopeScaling>.Absence.classDefault(absent, source: source)
            return Field<RopeScaling>(paths, megatron, part, ifAbsent: absence, isSpelledOut: false).lifted(to: scaling)
        }
        return [
            field(["rope_type", "type"], "rotary_scaling_type", \.type, "default"),
            field(["factor"], "rotary_scaling_factor", \.factor, 1),
            field(
                ["original_max_position_embeddings"],
                "yarn_original_max_position_embeddings",
                \.originalMaxPositionEmbeddings,
                nil
            ),
            field(["beta_fast"], "yarn_beta_fast", \.betaFast, nil),
            field(["beta_slow"], "yarn_beta_slow", \.betaSlow, nil),
            field(["mscale"], "yarn_mscale", \.mscale, nil),
            field(["mscale_all_dim"], "yarn_mscale_all_dim", \.mscaleAllDim, nil),
            field(["attention_factor"], "yarn_attention_factor", \.attentionFactor, nil),
            field(["truncate"], "yarn_correction_range_round_to_int", \.truncate, nil),
            field(["llama_4_scaling_beta"], "llama_4_scaling_beta", \.llama4ScalingBeta, nil),
        ]
    }

    /// Says why this scaling cannot be computed, or nil.
    public var problem: String? {
        switch type {
        case "default": nil
        case "linear": factor > 0 ? nil : "a linear rope factor of \(factor), expected more than 0"
        case "yarn":
            if factor <= 0 {
                "a YaRN factor of \(factor), expected more than 0"
            } else if (originalMaxPositionEmbeddings ?? 1) <= 0 {
                "YaRN with original_max_position_embeddings of \(originalMaxPositionEmbeddings ?? 0), expected more than 0"
            } else {
                nil
            }
        default: "the rope type \(type); default, linear and yarn are computed here"
        }
    }
}
