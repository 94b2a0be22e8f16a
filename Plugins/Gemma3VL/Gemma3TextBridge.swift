import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

/// The text models of Gemma 3 (270m, 1b) and text-only fine-tunes of the larger ones.
struct Gemma3TextBridge: ModelBridge {
    let name = "gemma3_text"
    let architectures = ["Gemma3ForCausalLM"]
    let modelTypes = ["gemma3_text": "Gemma3ForCausalLM"]

    var configuration: ConfigurationTable<Gemma3TextProvider> { Gemma3TextProvider.table }

    /// The weights of all norms are stored as their distance from 1.
    func initialValue(ofVector name: String) -> Float { 0 }

    let tokenizerClass: TokenizerClass? = .gemma

    var toy: ToyRecipe { Gemma3TextToy.recipe }

    func parameters(of provider: Gemma3TextProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        ParameterTable { provider.text.parameters(.transformers(mlpNorm: "pre_feedforward_layernorm")) }
    }
}

/// A model of `Gemma3ForCausalLM`.
struct Gemma3TextProvider: ModelProvider {
    var text = Gemma3TextConfiguration()
    var elementType: ElementType?

    var decoder: DecoderConfiguration {
        get { text.decoder }
        set { text.decoder = newValue }
    }

    func validate(name: String) throws {
        guard decoder.modelType == "gemma3_text" else {
            throw BridgeError(
                .badConfiguration,
                "\(name): model_type is \"\(decoder.modelType)\"; supported: \"gemma3_text\""
            )
        }
        try text.validate(name: name)
    }

    func provide(_ weights: ModelWeights) throws -> any CausalModel { try Gemma3TextModel(self, weights) }

    private static let source = "Gemma3TextConfig, transformers 5.23"

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Gemma3TextProvider>(
        standardizing: Gemma3TextConfiguration.standardized
    ) {
        Field(
            ["torch_dtype", "dtype"],
            "params_dtype",
            \.elementType,
            ifAbsent: .classDefault(nil, source: source),
            firstMatchWins: true
        )
        Field(
            "tie_word_embeddings",
            "share_embeddings_and_output_weights",
            \.text.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(true, source: source)
        )
        ConfigurationTable.part(\.text, Gemma3TextConfiguration.table)
    }
}

/// A text model of Gemma 3.
final class Gemma3TextModel: CausalModel {
    let decoder: TransformerDecoder

    init(_ provider: Gemma3TextProvider, _ weights: ModelWeights) throws {
        decoder = try TransformerDecoder(
            provider.decoder,
            form: provider.text.form(elementType: weights.elementType),
            weights: weights
        )
    }
}
