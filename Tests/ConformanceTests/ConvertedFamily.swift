import BridgeCore
import JSONTree
import TensorRuntime

/// A family whose models are converted and not run: as OLMo 2, it has no norms before attention and MLP.
struct ConvertedPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [ConvertedBridge()] }
}

struct ConvertedProvider: ModelProvider {
    static let conversionOnly: String? = "its layers have no norms before attention and MLP"

    var decoder = DecoderConfiguration()
    var elementType: ElementType?

    func validate(name: String) throws { try decoder.validate(name: name) }

    /// As a draft has it: what a family with a reason makes here is of no use, so it is never asked.
    func provide(_ weights: ModelWeights) throws -> any CausalModel {
        throw BridgeError(.badPlugin, "a model was made of a family that can only be converted")
    }
}

struct ConvertedBridge: ModelBridge {
    let name = "converted"
    let architectures = ["Olmo2ForCausalLM"]

    var toy: ToyRecipe {
        ToyRecipe(
            tiny: [
                "architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2", "num_hidden_layers": 4, "hidden_size": 48,
                "intermediate_size": 88, "num_attention_heads": 12, "num_key_value_heads": 4, "vocab_size": 600,
                "max_position_embeddings": 512, "rms_norm_eps": 0.002, "rope_theta": 200_000.0,
                "tie_word_embeddings": false, "hidden_act": "silu", "torch_dtype": "bfloat16",
            ],
            realSizes: [],
            layersPath: "num_hidden_layers",
            hiddenPath: "hidden_size",
            values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
            sideFiles: { configuration in
                TekkenToy.files(
                    vocabularySize: configuration["vocab_size"]?.integer ?? 0,
                    chatTemplate: "{{ messages[0]['content'] }}"
                )
            }
        )
    }

    var configuration: ConfigurationTable<ConvertedProvider> {
        let source = "Olmo2Config, transformers 5.23"
        let fields = DecoderFields<ConvertedProvider>(\.decoder, source: source)
        let standardizing: @Sendable (JSON) -> JSON = {
            RopeStandardization.flat($0, into: "rope_scaling", defaultTheta: 10000)
        }
        return ConfigurationTable<ConvertedProvider>(standardizing: standardizing) {
            Field("model_type", "model_type", \.decoder.modelType)
            fields.numLayers(1)
            fields.hiddenSize(1)
            fields.ffnHiddenSize(1)
            fields.numAttentionHeads(1)
            fields.numQueryGroups(1)
            Field(
                ["head_dim"],
                "kv_channels",
                \.decoder.kvChannels,
                ifAbsent: .derived(rule: "hidden_size / num_attention_heads") {
                    $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
                },
                writesDefault: false
            )
            fields.vocabSize(1)
            fields.seqLength(2048)
            fields.layernormEpsilon(1e-5)
            fields.rotaryBase(10000)
            RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling)
            RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
            Field(
                "tie_word_embeddings",
                "share_embeddings_and_output_weights",
                \.decoder.shareEmbeddingsAndOutputWeights,
                ifAbsent: .classDefault(false, source: source)
            )
            fields.attentionDropout(0)
            Field("torch_dtype", "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
            fields.activation("silu")
        }
    }

    func parameters(of provider: ConvertedProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = provider.decoder
        let (layer, own) = ("decoder.layers.*.", "model.layers.*.")
        let hidden = [decoder.hiddenSize]
        return ParameterTable {
            Rename(
                "embedding.word_embeddings.weight",
                "model.embed_tokens.weight",
                [decoder.vocabSize, decoder.hiddenSize],
                split: .vocabulary
            )
            Layers(decoder.numLayers) {
                FuseHeads(
                    "\(layer)self_attention.linear_qkv.weight",
                    ["q", "k", "v"].map { "\(own)self_attn.\($0)_proj.weight" },
                    heads: decoder.heads,
                    hiddenSize: decoder.hiddenSize
                )
                Rename(
                    "\(layer)self_attention.q_layernorm.weight",
                    "\(own)self_attn.q_norm.weight",
                    [decoder.numAttentionHeads * decoder.kvChannels]
                )
                Rename(
                    "\(layer)self_attention.k_layernorm.weight",
                    "\(own)self_attn.k_norm.weight",
                    [decoder.numQueryGroups * decoder.kvChannels]
                )
                Rename(
                    "\(layer)self_attention.linear_proj.weight",
                    "\(own)self_attn.o_proj.weight",
                    [decoder.hiddenSize, decoder.numAttentionHeads * decoder.kvChannels],
                    split: .row
                )
                Rename(
                    "\(layer)self_attention.linear_proj.post_layernorm.weight",
                    "\(own)post_attention_layernorm.weight",
                    hidden
                )
                FuseGate(
                    "\(layer)mlp.linear_fc1.weight",
                    gate: "\(own)mlp.gate_proj.weight",
                    up: "\(own)mlp.up_proj.weight",
                    ffnHiddenSize: decoder.ffnHiddenSize,
                    hiddenSize: decoder.hiddenSize
                )
                Rename(
                    "\(layer)mlp.linear_fc2.weight",
                    "\(own)mlp.down_proj.weight",
                    [decoder.hiddenSize, decoder.ffnHiddenSize],
                    split: .row
                )
                Rename(
                    "\(layer)mlp.linear_fc2.post_layernorm.weight",
                    "\(own)post_feedforward_layernorm.weight",
                    hidden
                )
            }
            LastStage {
                Rename("decoder.final_layernorm.weight", "model.norm.weight", hidden)
                OutputLayer(
                    "output_layer.weight",
                    "lm_head.weight",
                    [decoder.vocabSize, decoder.hiddenSize],
                    tiedTo: decoder.shareEmbeddingsAndOutputWeights ? "embedding.word_embeddings.weight" : nil
                )
            }
        }
    }
}
