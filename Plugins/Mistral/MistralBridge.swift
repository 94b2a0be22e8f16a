import BridgeCore
import JSONTree
import Tokenizers

/// The Mistral family: decoder only, grouped-query attention, SwiGLU, optionally a sliding window.
struct MistralBridge: ModelBridge {
    let name = "mistral"
    let architectures = ["MistralForCausalLM", "MinistralForCausalLM"]
    let modelTypes = ["mistral": "MistralForCausalLM", "ministral": "MinistralForCausalLM"]

    // Megatron-LM's own model of a decoder is the same when it has RMSNorm, SwiGLU and rotary positions.
    let providerClasses = [
        ProviderClass(
            "megatron.bridge.models.mistral.mistral_provider.MistralModelProvider",
            architecture: "MistralForCausalLM"
        ),
        ProviderClass("megatron.core.models.gpt.gpt_model.GPTModel", architecture: "MistralForCausalLM"),
    ]

    var configuration: ConfigurationTable<MistralProvider> { MistralProvider.table }

    var toy: ToyRecipe { MistralToy.recipe }

    let tokenizerClass: TokenizerClass? = .correctedSplit(
        by: "fix_mistral_regex",
        modelTypes: ["mistral", "mistral3", "voxtral", "ministral", "pixtral"]
    )

    var recipes: [RecipeTemplate] { MistralRecipes.all }

    func parameters(of provider: MistralProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = DecoderParameters(
            provider.decoder,
            names: style == .consolidated ? .consolidated : .transformers()
        )
        return ParameterTable {
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.gatedMLP
            }
            decoder.head
        }
    }

    let parameterSettings: SettingsTable? = ConsolidatedParameters.settings([
        SettingsTable.only("llama_4_scaling", [nil], "a text-only model with this scale is another architecture")
    ])

    func translated(parameters: JSON, name: String) throws -> JSON? {
        guard parameters["vision_encoder"]?.nonNull == nil, parameters["yarn"]?.nonNull == nil else { return nil }
        try parameterSettings?.check(parameters, name: name)
        // Before params.json had rope_theta it was 10000, and the models were made for 32768 positions.
        let decoder = try ConsolidatedParameters.decoder(parameters, ropeTheta: 10000, seqLength: 32768, name: name)
        let head: [(String, JSON)] = [("architectures", ["MistralForCausalLM"]), ("model_type", "mistral")]
        return .object(JSONObject(head + decoder.map { ($0.key, $0.value) }))
    }

    func parameters(configuration: JSON, base: JSON) -> JSON {
        ConsolidatedParameters.revised(base, for: configuration)
    }
}
