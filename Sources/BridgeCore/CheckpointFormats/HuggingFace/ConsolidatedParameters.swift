import BridgeSupport
public import JSONTree
public import ModelSchema

/// The keys of `params.json` that describe a decoder, with their names in `config.json`.
public enum ConsolidatedParameters {
    private static let keys = [
        ("dim", "hidden_size"), ("n_layers", "num_hidden_layers"), ("head_dim", "head_dim"),
        ("hidden_dim", "intermediate_size"),
        ("n_heads", "num_attention_heads"), ("n_kv_heads", "num_key_value_heads"), ("norm_eps", "rms_norm_eps"),
        ("vocab_size", "vocab_size"),
    ]

    /// The keys of a `params.json` that describes a decoder.
    ///
    /// Source: Mistral's published files, and what vLLM's and transformers' readers of them make of each key.
    ///
    /// - Parameter more: Additional keys of the family.
    /// - Returns: The table.
    public static func settings(_ more: [Setting]) -> SettingsTable {
        SettingsTable(file: "params.json", source: "files that the maker publishes") {
            keys.map { Setting($0.0, .honoured) }
            SettingsTable.honoured(
                "rope_theta",
                "sliding_window",
                "tied_embeddings",
                "max_position_embeddings",
                "max_seq_len"
            )
            // vLLM's reader of these files raises for any other value.
            SettingsTable.only("quantization.qformat_weight", ["fp8_e4m3"], "other formats of weights are not read")
            SettingsTable.noEffect("quantization.qscheme_act", because: "activations are not quantized here")
            SettingsTable.only(
                "_sliding_window",
                [nil],
                "windows that differ from layer to layer are read from config.json"
            )
            SettingsTable.only("moe", [nil], "mixtures of experts are another architecture")
            SettingsTable.only("eagle", [nil], "a draft model for speculative decoding is another architecture")
            SettingsTable.only("q_lora_rank", [nil], "latent attention is another architecture")
            SettingsTable.only("kv_lora_rank", [nil], "latent attention is another architecture")
            SettingsTable.only("use_biases", [nil, false], "the projections have no biases")
            SettingsTable.only("causal", [nil, true], "attention is causal")
            SettingsTable.noEffect("model_type", "max_batch_size", because: "written for information")
            more
        }
    }

    /// The part of `config.json` that describes the decoder.
    ///
    /// - Parameters:
    ///   - parameters: The content of `params.json`.
    ///   - ropeTheta: The base of the rotary frequencies when the file names none.
    ///   - seqLength: The longest sequence when the file names none.
    ///   - name: The file, for messages.
    /// - Returns: The keys of `config.json`.
    /// - Throws: `BridgeError` naming the keys that are missing.
    public static func decoder(_ parameters: JSON, ropeTheta: Double, seqLength: Int, name: String) throws -> JSONObject
    {
        var decoder = JSONObject()
        var missing: [String] = []
        for (key, other) in keys {
            if let value = parameters[key] { decoder[other] = value } else { missing.append(key) }
        }
        guard missing.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "\(name) lacks \(missing.count) keys that describe the model",
                names: missing
            )
        }
        decoder["hidden_act"] = "silu"
        decoder["rope_theta"] = parameters["rope_theta"] ?? ropeTheta.json
        decoder["sliding_window"] = parameters["sliding_window"] ?? .null
        decoder["tie_word_embeddings"] = parameters["tied_embeddings"] ?? false
        decoder["max_position_embeddings"] =
            parameters["max_position_embeddings"] ?? parameters["max_seq_len"] ?? seqLength.json
        return decoder
    }

    /// `params.json` for weights that are dequantised or still quantised, as `configuration` specifies.
    public static func revised(_ base: JSON, for configuration: JSON) -> JSON {
        var json = base
        if configuration["quantization_config"] == nil { json.set(nil, at: "quantization") }
        return json
    }
}
