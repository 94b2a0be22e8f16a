import BridgeCore
import JSONTree

/// Toy models of the Llama family.
enum LlamaToy {
    static let recipe = ToyRecipe(
        tiny: tiny,
        realSizes: [
            ("1b", real(layers: 16, hidden: 2048, ffn: 8192, headWidth: 64, factor: 32, isTied: true)),
            ("8b", real(layers: 32, hidden: 4096, ffn: 14336, headWidth: nil, factor: 8, isTied: false)),
        ],
        layersPath: "num_hidden_layers",
        hiddenPath: "hidden_size",
        hiddenDivisor: { configuration in
            let heads = configuration["num_attention_heads"]?.integer ?? 32
            guard configuration["head_dim"]?.integer == nil else {
                return ToyDivisor(heads, "the \(heads) attention heads")
            }
            return ToyDivisor(2 * heads, "twice the \(heads) attention heads, whose width follows from it")
        },
        values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
        sideFiles: sideFiles
    )

    /// All relevant values differ from the class's defaults.
    private static let tiny: JSON = [
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": [2, 5],
        "head_dim": 10,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.03,
        "intermediate_size": 88,
        "max_position_embeddings": 512,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": 12,
        "num_hidden_layers": 5,
        "num_key_value_heads": 4,
        "pretraining_tp": 1,
        "rms_norm_eps": 0.002,
        "rope_scaling": [
            "factor": 6.0, "high_freq_factor": 5.0, "low_freq_factor": 1.5, "original_max_position_embeddings": 64,
            "rope_type": "llama3",
        ],
        "rope_theta": 2000.0,
        "tie_word_embeddings": true,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0.dev0",
        "use_cache": true,
        "vocab_size": 600,
    ]

    /// Llama 3.2 1B and Llama 3.1 8B; the file of the latter has no `head_dim`.
    private static func real(layers: Int, hidden: Int, ffn: Int, headWidth: Int?, factor: Double, isTied: Bool) -> JSON
    {
        var configuration: JSON = [
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": 128000,
            "eos_token_id": [128001, 128008, 128009],
        ]
        if let headWidth { configuration.set(JSON(headWidth), at: "head_dim") }
        let rest: JSON = [
            "hidden_act": "silu",
            "hidden_size": JSON(hidden),
            "initializer_range": 0.02,
            "intermediate_size": JSON(ffn),
            "max_position_embeddings": 131_072,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": 32,
            "num_hidden_layers": JSON(layers),
            "num_key_value_heads": 8,
            "pretraining_tp": 1,
            "rms_norm_eps": 0.00001,
            "rope_scaling": [
                "factor": JSON(factor), "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192, "rope_type": "llama3",
            ],
            "rope_theta": 500_000.0,
            "tie_word_embeddings": .bool(isTied),
            "torch_dtype": "bfloat16",
            "transformers_version": "4.45.0.dev0",
            "use_cache": true,
            "vocab_size": 128_256,
        ]
        for (key, value) in rest.object ?? JSONObject() { configuration.set(value, at: key) }
        return configuration
    }

    private static func sideFiles(_ configuration: JSON) -> [ToyFile] {
        let start = configuration["bos_token_id"]?.integer ?? 1
        let ends = configuration["eos_token_id"]?.array?.compactMap(\.integer) ?? [2]
        let header = start + 6
        var special: [ToyTokenizer.Special] = [
            (start, "<|begin_of_text|>"), (header, "<|start_header_id|>"), (header + 1, "<|end_header_id|>"),
        ]
        special += zip(
            ends,
            ends.count == 2 ? ["<|end_of_text|>", "<|eot_id|>"] : ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]
        )
        .map { ($0, $1) }
        let generation: JSON = [
            "bos_token_id": JSON(start), "do_sample": true, "eos_token_id": configuration["eos_token_id"] ?? .null,
            "temperature": 0.6, "top_p": 0.9, "transformers_version": configuration["transformers_version"] ?? .null,
        ]
        return ToyTokenizer.byteLevelFiles(
            size: configuration["vocab_size"]?.integer ?? 0,
            special: special,
            named: [("bos_token", "<|begin_of_text|>"), ("eos_token", "<|eot_id|>")],
            start: (start, "<|begin_of_text|>"),
            pattern: pattern,
            chatTemplate: chatTemplate
        ) + [ToyFile("generation_config.json", generation)]
    }

    private static let pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private static let chatTemplate = """
        {{- bos_token }}
        {%- for message in messages %}
            {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
        {%- endif %}

        """
}
