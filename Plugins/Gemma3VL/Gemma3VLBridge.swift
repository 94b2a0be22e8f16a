import BridgeCore
import JSONTree
import Tokenizers

/// The Gemma 3 family with images: local and global layers, four norms around each half of a layer, SigLIP.
struct Gemma3VLBridge: ModelBridge {
    let name = "gemma3"
    let architectures = ["Gemma3ForConditionalGeneration"]
    let modelTypes = ["gemma3": "Gemma3ForConditionalGeneration"]

    var configuration: ConfigurationTable<Gemma3VLProvider> { Gemma3VLProvider.table }

    let providerClasses = [Gemma3ProviderClass.images]

    /// The table has transformers 5's names of the tower, which are also Megatron's here; the hub puts `vision_model.` in between.
    let keyMappings = [
        KeyMapping("hub", [("vision_tower.", "vision_tower.vision_model.")]),
        KeyMapping(
            "transformers 4.52 and later",
            [
                ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
                ("vision_tower.", "model.vision_tower.vision_model."),
                ("multi_modal_projector.", "model.multi_modal_projector."),
            ]
        ),
        KeyMapping("transformers 5, in memory", [("vision_tower.", "model.vision_tower.")]),
    ]

    let moduleNames = KeyMapping(
        "transformers 5, in memory",
        [
            ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
            ("vision_tower.", "model.vision_tower."), ("multi_modal_projector.", "model.multi_modal_projector."),
        ]
    )

    /// Gains of the decoder and the projector are stored as their distance from 1.
    func initialValue(ofVector name: String) -> Float {
        name.hasPrefix("vision_tower.") && !name.hasSuffix("bias") ? 1 : 0
    }

    var toy: ToyRecipe { Gemma3VLToy.recipe }

    let tokenizerClass: TokenizerClass? = .gemma

    var recipes: [RecipeTemplate] { Gemma3VLRecipes.all }

    var processorSettings: [SettingsTable] { Gemma3VLProcessor.settings }

    func processor(for provider: Gemma3VLProvider, files: ProcessorFiles) throws -> (any ModelProcessor)? {
        try Gemma3VLProcessor(provider, files: files)
    }

    func parameters(of provider: Gemma3VLProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let names = DecoderParameters.Names.transformers(
            model: "language_model.model.",
            output: "language_model.lm_head.weight",
            mlpNorm: "pre_feedforward_layernorm"
        )
        return ParameterTable {
            Tower("vision_tower.**", "vision_tower.**", provider.vision.parameters)
            if provider.vision.hasHead {
                Tower("vision_tower.**", "vision_tower.**", provider.vision.headParameters).optional()
            }
            Rename(
                "multi_modal_projector.mm_soft_embed_norm.weight",
                "multi_modal_projector.mm_soft_emb_norm.weight",
                [provider.vision.tower.hiddenSize]
            )
            Transpose(
                "multi_modal_projector.proj.weight",
                "multi_modal_projector.mm_input_projection_weight",
                [provider.vision.tower.hiddenSize, provider.decoder.hiddenSize],
                split: .column
            )
            provider.text.parameters(names, prefix: "language_model.")
        }
    }
}
