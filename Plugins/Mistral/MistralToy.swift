import BridgeCore
import JSONTree

/// Toy models of the Mistral family.
enum MistralToy {
    static let recipe = ToyRecipe(
        tiny: tiny,
        realSizes: [("7b", sevenBillion), ("24b", twentyFourBillion)],
        layersPath: "num_hidden_layers",
        hiddenPath: "hidden_size",
        hiddenDivisor: { configuration in
            // Without head_dim a head is as wide as its share of the hidden size, and rotary positions need it even.
            guard configuration["head_dim"]?.integer == nil, let heads = configuration["num_attention_heads"]?.integer
            else { return nil }
            return ToyDivisor(2 * heads, "twice the \(heads) attention heads, whose width follows from it")
        },
        values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
        sideFiles: sideFiles
    )

    /// All relevant values differ from the class's defaults.
    private static let tiny: JSON = [
        "architectures": ["MistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 10,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 88,
        "max_position_embeddings": 512,
        "model_type": "mistral",
        "num_attention_heads": 12,
        "num_hidden_layers": 5,
        "num_key_value_heads": 4,
        "rms_norm_eps": 0.002,
        "rope_theta": 200_000.0,
        "sliding_window": 24,
        "tie_word_embeddings": false,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.57.1",
        "use_cache": true,
        "vocab_size": 600,
    ]

    /// Mistral 7B v0.3; its file has no `head_dim`.
    private static let sevenBillion: JSON = [
        "architectures": ["MistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "initializer_range": 0.02,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "rms_norm_eps": 0.00001,
        "rope_theta": 1_000_000.0,
        "sliding_window": nil,
        "tie_word_embeddings": false,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.42.0.dev0",
        "use_cache": true,
        "vocab_size": 32768,
    ]

    /// Mistral Small 3 24B, 2501.
    private static let twentyFourBillion: JSON = [
        "architectures": ["MistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 5120,
        "initializer_range": 0.02,
        "intermediate_size": 32768,
        "max_position_embeddings": 32768,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "rms_norm_eps": 0.00001,
        "rope_theta": 100_000_000.0,
        "sliding_window": nil,
        "tie_word_embeddings": false,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.49.0.dev0",
        "use_cache": true,
        "vocab_size": 131_072,
    ]

    private static func sideFiles(_ configuration: JSON) -> [ToyFile] {
        let generation: JSON = [
            "_from_model_config": true, "bos_token_id": 1, "eos_token_id": 2,
            "transformers_version": configuration["transformers_version"] ?? .null,
        ]
        return TekkenToy.files(
            vocabularySize: configuration["vocab_size"]?.integer ?? 0,
            chatTemplate: chatTemplate
        ) + [ToyFile("generation_config.json", generation)]
    }

    private static let chatTemplate = """
        {%- if messages[0]['role'] == 'system' %}
            {%- set system = messages[0]['content'] + '\\n\\n' %}
            {%- set turns = messages[1:] %}
        {%- else %}
            {%- set system = '' %}
            {%- set turns = messages %}
        {%- endif %}
        {{- bos_token }}
        {%- for message in turns %}
            {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
                {{- raise_exception('After the optional system message, user and assistant have to take turns.') }}
            {%- endif %}
            {%- if message['role'] == 'user' %}
                {{- '[INST] ' + (system if loop.last else '') + message['content'] + ' [/INST]' }}
            {%- elif message['role'] == 'assistant' %}
                {{- ' ' + message['content'] + eos_token }}
            {%- else %}
                {{- raise_exception('There is no role ' + message['role'] + ' here; user and assistant are known.') }}
            {%- endif %}
        {%- endfor %}

        """
}
