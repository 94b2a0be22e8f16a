import JSONTree

/// A configuration of a toy with the keys of a published one.
enum ToyDraft {
    /// The published configuration with sizes of which no two are equal, all divisible by two ranks.
    static func tiny(of published: JSON) -> JSON {
        var json = published
        func replace(_ key: String, _ value: JSON) {
            if json[key]?.nonNull != nil { json.set(value, at: key) }
        }
        let sizes: [(String, JSON)] = [
            ("num_hidden_layers", 5), ("hidden_size", 48), ("intermediate_size", 88), ("num_attention_heads", 12),
            ("num_key_value_heads", 4), ("head_dim", 10), ("vocab_size", 600), ("max_position_embeddings", 512),
            ("sliding_window", 24), ("bos_token_id", 1), ("pad_token_id", 0),
            ("original_max_position_embeddings", 64),
        ]
        for (key, value) in sizes { replace(key, value) }
        for key in ConfigurationDraft.epsilons { replace(key, 0.002) }
        for object in ["rope_scaling", "rope_parameters"] where json[object]?.object != nil {
            if json[path: "\(object).original_max_position_embeddings"] != nil {
                json.set(64, at: "\(object).original_max_position_embeddings")
            }
        }
        if let end = json["eos_token_id"]?.nonNull { json.set(end.array == nil ? 2 : [2], at: "eos_token_id") }
        let layers = published["num_hidden_layers"]?.integer
        for (key, value) in published.object ?? JSONObject() {
            // A list with a value for each layer.
            guard let list = value.array, !list.isEmpty, !key.hasSuffix("token_id"),
                list.count == layers || key == "layer_types"
            else { continue }
            // Both kinds where there are both.
            let kinds = list.reduce(into: [JSON]()) { if !$0.contains($1) { $0.append($1) } }
            json.set(.array((0..<5).map { kinds[$0 % kinds.count] }), at: key)
        }
        json.set(nil, at: "quantization_config")
        return json
    }
}
