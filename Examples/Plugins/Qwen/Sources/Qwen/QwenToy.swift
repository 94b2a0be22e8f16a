import BridgeCore
import JSONTree

/// Toy models of both families.
enum QwenToy {
    static let qwen2 = recipe(
        tiny: tiny("Qwen2ForCausalLM", "qwen2", [("max_window_layers", 3), ("use_sliding_window", true)]),
        realSizes: [
            (
                "0.5b",
                real(
                    "Qwen2ForCausalLM",
                    "qwen2",
                    Sizes(896, 4864, layers: 24, heads: 14, groups: 2, vocabulary: 151_936)
                )
            ),
            (
                "7b",
                real(
                    "Qwen2ForCausalLM",
                    "qwen2",
                    Sizes(3584, 18944, layers: 28, heads: 28, groups: 4, vocabulary: 152_064, isTied: false)
                )
            ),
        ]
    )

    static let qwen3 = recipe(
        tiny: tiny(
            "Qwen3ForCausalLM",
            "qwen3",
            [("attention_bias", false), ("head_dim", 10), ("max_window_layers", 2), ("use_sliding_window", true)]
        ),
        realSizes: [
            (
                "0.6b",
                real(
                    "Qwen3ForCausalLM",
                    "qwen3",
                    Sizes(1024, 3072, layers: 28, heads: 16, groups: 8, vocabulary: 151_936, headWidth: 128)
                )
            ),
            (
                "8b",
                real(
                    "Qwen3ForCausalLM",
                    "qwen3",
                    Sizes(
                        4096,
                        12288,
                        layers: 36,
                        heads: 32,
                        groups: 8,
                        vocabulary: 151_936,
                        headWidth: 128,
                        isTied: false
                    )
                )
            ),
        ]
    )

    private static func recipe(tiny: JSON, realSizes: [(name: String, configuration: JSON)]) -> ToyRecipe {
        ToyRecipe(
            tiny: tiny,
            realSizes: realSizes,
            layersPath: "num_hidden_layers",
            hiddenPath: "hidden_size",
            hiddenDivisor: { configuration in
                guard configuration["head_dim"]?.integer == nil,
                    let heads = configuration["num_attention_heads"]?.integer
                else { return nil }
                return ToyDivisor(2 * heads, "twice the \(heads) attention heads, whose width follows from it")
            },
            values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
            sideFiles: sideFiles
        )
    }

    /// All relevant values differ from the class's defaults.
    private static func tiny(_ architecture: String, _ modelType: String, _ own: [(String, JSON)]) -> JSON {
        var configuration: JSON = [
            "architectures": [.string(architecture)],
            "attention_dropout": 0.0,
            "bos_token_id": 3,
            "eos_token_id": 5,
            "hidden_act": "silu",
            "hidden_size": 48,
            "initializer_range": 0.03,
            "intermediate_size": 88,
            "max_position_embeddings": 512,
            "model_type": .string(modelType),
            "num_attention_heads": 12,
            "num_hidden_layers": 5,
            "num_key_value_heads": 4,
            "rms_norm_eps": 0.002,
            "rope_scaling": nil,
            "rope_theta": 3000.0,
            "sliding_window": 14,
            "tie_word_embeddings": true,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",
            "use_cache": true,
            "vocab_size": 600,
        ]
        for (key, value) in own { configuration.set(value, at: key) }
        return configuration
    }

    private struct Sizes {
        var hidden, ffn, layers, heads, groups, vocabulary: Int
        var headWidth: Int?
        var isTied: Bool

        init(
            _ hidden: Int,
            _ ffn: Int,
            layers: Int,
            heads: Int,
            groups: Int,
            vocabulary: Int,
            headWidth: Int? = nil,
            isTied: Bool = true
        ) {
            (self.hidden, self.ffn, self.layers, self.heads, self.groups) = (hidden, ffn, layers, heads, groups)
            (self.vocabulary, self.headWidth, self.isTied) = (vocabulary, headWidth, isTied)
        }
    }

    private static func real(_ architecture: String, _ modelType: String, _ sizes: Sizes) -> JSON {
        var configuration: JSON = [
            "architectures": [.string(architecture)],
            "attention_dropout": 0.0,
            "bos_token_id": 151_643,
            "eos_token_id": 151_645,
        ]
        if let headWidth = sizes.headWidth { configuration.set(JSON(headWidth), at: "head_dim") }
        let rest: JSON = [
            "hidden_act": "silu",
            "hidden_size": JSON(sizes.hidden),
            "initializer_range": 0.02,
            "intermediate_size": JSON(sizes.ffn),
            "max_position_embeddings": 32768,
            "max_window_layers": JSON(sizes.layers),
            "model_type": .string(modelType),
            "num_attention_heads": JSON(sizes.heads),
            "num_hidden_layers": JSON(sizes.layers),
            "num_key_value_heads": JSON(sizes.groups),
            "rms_norm_eps": 0.000001,
            "rope_scaling": nil,
            "rope_theta": 1_000_000.0,
            "sliding_window": nil,
            "tie_word_embeddings": .bool(sizes.isTied),
            "torch_dtype": "bfloat16",
            "transformers_version": "4.51.0",
            "use_cache": true,
            "use_sliding_window": false,
            "vocab_size": JSON(sizes.vocabulary),
        ]
        for (key, value) in rest.object ?? JSONObject() { configuration.set(value, at: key) }
        return configuration
    }

    /// The first special token ends texts, the two after it frame turns.
    private static func sideFiles(_ configuration: JSON) -> [ToyFile] {
        let first = configuration["bos_token_id"]?.integer ?? 3
        let generation: JSON = [
            "bos_token_id": JSON(first), "do_sample": true, "eos_token_id": [JSON(first + 2), JSON(first)],
            "pad_token_id": JSON(first), "temperature": 0.7, "top_k": 20, "top_p": 0.8,
            "transformers_version": configuration["transformers_version"] ?? .null,
        ]
        return ToyTokenizer.byteLevelFiles(
            size: configuration["vocab_size"]?.integer ?? 0,
            special: [(first, "<|endoftext|>"), (first + 1, "<|im_start|>"), (first + 2, "<|im_end|>")],
            named: [("eos_token", "<|im_end|>"), ("pad_token", "<|endoftext|>")],
            start: nil,
            pattern: pattern,
            chatTemplate: chatTemplate
        ) + [ToyFile("generation_config.json", generation)]
    }

    private static let pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    private static let chatTemplate = """
        {%- for message in messages %}
            {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\\n' }}
        {%- endif %}

        """
}
