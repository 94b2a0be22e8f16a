public import JSONTree

/// Standardizes the rotary parameters of a configuration, as transformers' classes do before they use them.
///
/// Source: `RotaryEmbeddingConfigMixin.convert_rope_params_to_dict` and `standardize_rope_params` in
/// `modeling_rope_utils.py`, transformers 5.23. `rope_scaling` has precedence over `rope_parameters` as a whole; a
/// `rope_theta` inside the object over a top-level one; for YaRN a top-level `original_max_position_embeddings` over
/// the one inside.
public enum RopeStandardization {
    /// The keys that may be in an object of rotary parameters.
    static let keys = [
        "rope_theta", "rope_type", "type", "factor", "original_max_position_embeddings", "beta_fast", "beta_slow",
        "mscale",
        "mscale_all_dim", "attention_factor", "truncate", "llama_4_scaling_beta", "partial_rotary_factor",
        "low_freq_factor", "high_freq_factor",
    ]

    /// A configuration with one object of rotary parameters for all layers.
    ///
    /// - Parameters:
    ///   - json: The text configuration.
    ///   - target: The object that the fields read; `rope_theta` is put next to it where that is `rope_scaling`.
    ///   - defaultTheta: The class's base, for a configuration that names none.
    ///   - classDefault: The class's parameters, for a configuration without any.
    /// - Returns: The configuration with every rotary parameter in `target`, and without the other spellings.
    public static func flat(_ json: JSON, into target: String, defaultTheta: Double, classDefault: JSON? = nil) -> JSON
    {
        guard json.object != nil else { return json }
        var result = json
        // An empty object is as good as none, as in Python.
        let scaling = json["rope_scaling"]?.nonNull
        let isGiven = scaling.map { $0.object?.isEmpty != true } ?? false
        var parameters =
            isGiven ? scaling ?? .null : json["rope_parameters"]?.nonNull ?? classDefault ?? .object(JSONObject())
        guard parameters.object != nil else {
            // The fields below it are then read from what is not an object, so the key itself is reported.
            return result
        }
        setDefault(&parameters, "rope_theta", json["rope_theta"] ?? defaultTheta.json)
        if let partial = json["partial_rotary_factor"]?.nonNull {
            setDefault(&parameters, "partial_rotary_factor", partial)
        }
        setDefault(&parameters, "rope_type", parameters["type"] ?? "default")
        if isScaledFromOriginal(parameters) {
            if let original = json["original_max_position_embeddings"] {
                parameters.set(original, at: "original_max_position_embeddings")
            } else if let length = json["max_position_embeddings"] {
                setDefault(&parameters, "original_max_position_embeddings", length)
            }
        }
        finish(&parameters, truncate: parameters["truncate"], length: json["max_position_embeddings"])
        for key in ["rope_scaling", "rope_parameters", "rope_theta"] { result.set(nil, at: key) }
        if target == "rope_scaling" {
            result.set(parameters["rope_theta"], at: "rope_theta")
            parameters.set(nil, at: "rope_theta")
        }
        result.set(parameters, at: target)
        return result
    }

    /// A configuration with rotary parameters for full and for sliding attention.
    ///
    /// Source: `Gemma3TextConfig.convert_rope_params_to_dict` in `configuration_gemma3.py`, transformers 5.23, where
    /// `rope_scaling` is laid over the parameters of full attention; without `rope_parameters` these say
    /// `"rope_type": "default"`, so the older key `type` of `rope_scaling` is not looked at.
    ///
    /// - Parameters:
    ///   - json: The text configuration.
    ///   - theta: The class's bases of full and of sliding attention.
    /// - Returns: The configuration with `rope_theta`, `rope_scaling`, `rope_local_base_freq` and
    ///   `rope_parameters.sliding_attention` only.
    public static func layered(_ json: JSON, theta: (full: Double, sliding: Double)) -> JSON {
        guard json.object != nil else { return json }
        var result = json
        let given = json["rope_parameters"]?.nonNull
        let initial: JSON = ["rope_type": "default"]
        var full = given == nil ? initial : given?["full_attention"]?.nonNull ?? .object(JSONObject())
        var sliding = given?["sliding_attention"]?.nonNull ?? initial
        for (key, value) in json["rope_scaling"]?.object ?? JSONObject() { full.set(value, at: key) }
        if given != nil, full == .object(JSONObject()) { full = initial }
        setDefault(&full, "rope_theta", json["rope_theta"] ?? theta.full.json)
        setDefault(&sliding, "rope_theta", json["rope_local_base_freq"] ?? theta.sliding.json)
        for key in ["rope_scaling", "rope_parameters", "rope_theta", "rope_local_base_freq"] {
            result.set(nil, at: key)
        }
        for (name, object) in [("full", full), ("sliding", sliding)] {
            var parameters = object
            if let partial = json["partial_rotary_factor"]?.nonNull {
                setDefault(&parameters, "partial_rotary_factor", partial)
            }
            setDefault(&parameters, "rope_type", parameters["type"] ?? "default")
            if isScaledFromOriginal(parameters), let length = json["max_position_embeddings"] {
                setDefault(&parameters, "original_max_position_embeddings", length)
            }
            // YaRN reads `truncate` next to the objects of the layer types, not inside them.
            finish(&parameters, truncate: given?["truncate"], length: json["max_position_embeddings"])
            let base = parameters["rope_theta"]
            parameters.set(nil, at: "rope_theta")
            result.set(base, at: name == "full" ? "rope_theta" : "rope_local_base_freq")
            result.set(parameters, at: name == "full" ? "rope_scaling" : "rope_parameters.sliding_attention")
        }
        return result
    }

    /// YaRN's treatment of values that are false or absent in Python.
    private static func finish(_ parameters: inout JSON, truncate: JSON?, length: JSON?) {
        parameters.set(nil, at: "type")
        guard parameters["rope_type"] == "yarn" else { return }
        for key in ["beta_fast", "beta_slow", "mscale", "mscale_all_dim"] {
            if let value = parameters[key], value.isNull || value.double == 0 { parameters.set(nil, at: key) }
        }
        if let truncate {
            parameters.set(.bool(isTrue(truncate)), at: "truncate")
        } else {
            parameters.set(nil, at: "truncate")
        }
        if parameters["factor"]?.isNull == true, let length = length?.double,
            let original = parameters["original_max_position_embeddings"]?.double, original > 0
        {
            parameters.set((length / original).json, at: "factor")
        }
    }

    /// Whether the rope type is one that looks for the original context length.
    private static func isScaledFromOriginal(_ parameters: JSON) -> Bool {
        parameters["rope_type"] == "yarn" || parameters["rope_type"] == "llama3"
    }

    private static func isTrue(_ json: JSON) -> Bool {
        json.bool ?? json.double.map { $0 != 0 } ?? json.string.map { !$0.isEmpty } ?? json.array.map { !$0.isEmpty }
            ?? json.object.map { !$0.isEmpty } ?? false
    }

    private static func setDefault(_ parameters: inout JSON, _ key: String, _ value: JSON) {
        if parameters[key] == nil { parameters.set(value, at: key) }
    }

    /// The lines of a table for the spellings that standardization has read.
    ///
    /// - Parameters:
    ///   - target: The object that the fields read.
    ///   - others: The objects that mean the same.
    /// - Returns: The lines.
    public static func otherSpellings<Root: ConfigurationRoot>(of target: String, _ others: [String]) -> [Field<Root>] {
        let inside = (others + [target]).flatMap { object in keys.map { "\(object).\($0)" } }
        return Field.standardized(
            inside + ["rope_theta", "original_max_position_embeddings", "partial_rotary_factor"],
            as: target
        )
            + (others + [target]).flatMap { object in
                Field.noEffect(
                    "\(object).max_position_embeddings",
                    "\(object).finetuned",
                    because: "written for information; the class does not read it"
                )
                    + Field.noEffect(
                        "\(object).short_factor",
                        "\(object).long_factor",
                        "\(object).mrope_section",
                        because: "only for rope types that are refused"
                    )
            }
    }
}
