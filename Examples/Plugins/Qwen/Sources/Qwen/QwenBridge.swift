import BridgeCore
import JSONTree

/// The family of Qwen 2 and 2.5: query, key and value projections with biases.
struct Qwen2Bridge: ModelBridge {
    let name = "qwen2"
    let architectures = ["Qwen2ForCausalLM"]
    let modelTypes = ["qwen2": "Qwen2ForCausalLM"]

    var configuration: ConfigurationTable<Qwen2Provider> { Qwen2Provider.table }

    var toy: ToyRecipe { QwenToy.qwen2 }

    func parameters(of provider: Qwen2Provider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = DecoderParameters(provider.decoder, names: .transformers())
        return ParameterTable {
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.attentionBias
                decoder.gatedMLP
            }
            decoder.head
        }
    }
}

/// The family of Qwen 3: norms of query and key heads.
struct Qwen3Bridge: ModelBridge {
    let name = "qwen3"
    let architectures = ["Qwen3ForCausalLM"]
    let modelTypes = ["qwen3": "Qwen3ForCausalLM"]

    var configuration: ConfigurationTable<Qwen3Provider> { Qwen3Provider.table }

    var toy: ToyRecipe { QwenToy.qwen3 }

    func parameters(of provider: Qwen3Provider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = DecoderParameters(provider.decoder, names: .transformers())
        return ParameterTable {
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.headNorms
                decoder.gatedMLP
            }
            decoder.head
        }
    }
}
