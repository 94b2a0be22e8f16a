import BridgeCore
import JSONTree

/// The Llama family: decoder only, grouped-query attention, SwiGLU, rotary frequencies scaled for long contexts.
struct LlamaBridge: ModelBridge {
    let name = "llama"
    let architectures = ["LlamaForCausalLM"]
    let modelTypes = ["llama": "LlamaForCausalLM"]

    var configuration: ConfigurationTable<LlamaProvider> { LlamaProvider.table }

    var toy: ToyRecipe { LlamaToy.recipe }

    // Checkpoints before 4.32 have the rotary frequencies, which follow from the configuration.
    let ignoredTensors = [
        IgnoredTensors("model.layers.*.self_attn.rotary_emb.inv_freq", because: "follows from the configuration")
    ]

    func parameters(of provider: LlamaProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = DecoderParameters(provider.decoder, names: .transformers())
        return ParameterTable {
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.gatedMLP
            }
            decoder.head
        }
    }
}
