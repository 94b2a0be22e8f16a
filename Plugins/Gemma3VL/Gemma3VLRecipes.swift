public import BridgeCore

// Learning rates, batch sizes and layouts are those of the table "Recommended Configurations" in Megatron Bridge's
// documentation of Gemma 3 VL (the smaller of two batch sizes); the rest are the arguments' defaults in its version 0.3.

/// What the family recommends for training, as templates.
enum Gemma3VLRecipes {
    static let all = [
        RecipeTemplate(
            name: "gemma3_vl_4b_finetune_config",
            summary: "Gemma 3 4B on pictures and text",
            abilities: abilities
        ) {
            gemma3_vl_4bFinetuneConfig(peft: $0)
        },
        RecipeTemplate(
            name: "gemma3_vl_12b_finetune_config",
            summary: "Gemma 3 12B on pictures and text",
            abilities: abilities
        ) {
            gemma3_vl_12bFinetuneConfig(peft: $0)
        },
        RecipeTemplate(
            name: "gemma3_vl_27b_finetune_config",
            summary: "Gemma 3 27B on pictures and text",
            abilities: abilities
        ) {
            gemma3_vl_27bFinetuneConfig(peft: $0)
        },
    ]

    /// Tokens of one picture look at each other in both directions, which packed rows do not keep apart.
    private static let abilities = RecipeTemplate.Abilities(packsSequences: false)

    static func recipe(
        _ name: String,
        hfPath: String,
        peft: Recipe.PEFTSection.Scheme,
        tensorSize: Int,
        pipelineSize: Int,
        globalBatchSize: Int
    ) -> Recipe {
        var recipe = Recipe(name: name, hfPath: hfPath)
        recipe.peft = Recipe.PEFTSection(peft)
        recipe.model.tensorModelParallelSize = tensorSize
        recipe.model.pipelineModelParallelSize = pipelineSize
        recipe.train.globalBatchSize = globalBatchSize
        recipe.train.microBatchSize = 2
        recipe.train.evalInterval = 500
        recipe.train.evalIters = 32
        recipe.optimizer.lr = peft == .none ? 5e-6 : 1e-4
        // The peer's 3e-5, and a tenth of the rate where that is above it.
        recipe.optimizer.minLR = peft == .none ? 5e-7 : 3e-5
        recipe.scheduler.lrWarmupIters = 500
        recipe.checkpoint.saveInterval = 500
        // The peer's optimizer says 0.1, but its scheduler sets 0.033 from the first step on. Here the scheduler says
        // nothing, so that a changed optimizer.weight_decay has an effect.
        recipe.optimizer.weightDecay = 0.033
        return recipe
    }
}

/// The recipe `gemma3_vl_4b_finetune_config`: Gemma 3 4B on pictures and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face folder.
///   - datasetType: What kind of data there is; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: How many steps there are.
///   - globalBatchSize: Samples in a step; nil for 32 with `.none` and 64 with adapters.
///   - freezeLanguageModel: Whether the language model stays as it is.
///   - freezeVisionModel: Whether the vision tower stays as it is.
///   - freezeVisionProjection: Whether the projector stays as it is.
/// - Returns: The recipe, of which any other setting can be changed.
public func gemma3_vl_4bFinetuneConfig(
    name: String = "gemma3_vl_4b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .none,
    trainIters: Int = 300000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    var recipe = Gemma3VLRecipes.recipe(
        name,
        hfPath: "google/gemma-3-4b-it",
        peft: peft,
        tensorSize: peft == .none ? 1 : 1,
        pipelineSize: peft == .none ? 1 : 1,
        globalBatchSize: globalBatchSize ?? (peft == .none ? 32 : 64)
    )
    recipe.checkpoint.pretrainedCheckpoint = pretrainedCheckpoint
    recipe.dataset.datasetType = datasetType
    recipe.train.trainIters = trainIters
    recipe.model.freezeLanguageModel = freezeLanguageModel
    recipe.model.freezeVisionModel = freezeVisionModel
    recipe.model.freezeVisionProjection = freezeVisionProjection
    return recipe
}

/// The recipe `gemma3_vl_12b_finetune_config`: Gemma 3 12B on pictures and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face folder.
///   - datasetType: What kind of data there is; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: How many steps there are.
///   - globalBatchSize: Samples in a step; nil for 32 with `.none` and 64 with adapters.
///   - freezeLanguageModel: Whether the language model stays as it is.
///   - freezeVisionModel: Whether the vision tower stays as it is.
///   - freezeVisionProjection: Whether the projector stays as it is.
/// - Returns: The recipe, of which any other setting can be changed.
public func gemma3_vl_12bFinetuneConfig(
    name: String = "gemma3_vl_12b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .none,
    trainIters: Int = 300000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    var recipe = Gemma3VLRecipes.recipe(
        name,
        hfPath: "google/gemma-3-12b-it",
        peft: peft,
        tensorSize: peft == .none ? 4 : 1,
        pipelineSize: peft == .none ? 1 : 1,
        globalBatchSize: globalBatchSize ?? (peft == .none ? 32 : 64)
    )
    recipe.checkpoint.pretrainedCheckpoint = pretrainedCheckpoint
    recipe.dataset.datasetType = datasetType
    recipe.train.trainIters = trainIters
    recipe.model.freezeLanguageModel = freezeLanguageModel
    recipe.model.freezeVisionModel = freezeVisionModel
    recipe.model.freezeVisionProjection = freezeVisionProjection
    return recipe
}

/// The recipe `gemma3_vl_27b_finetune_config`: Gemma 3 27B on pictures and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face folder.
///   - datasetType: What kind of data there is; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: How many steps there are.
///   - globalBatchSize: Samples in a step; nil for 16 with `.none` and 32 with adapters.
///   - freezeLanguageModel: Whether the language model stays as it is.
///   - freezeVisionModel: Whether the vision tower stays as it is.
///   - freezeVisionProjection: Whether the projector stays as it is.
/// - Returns: The recipe, of which any other setting can be changed.
public func gemma3_vl_27bFinetuneConfig(
    name: String = "gemma3_vl_27b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .none,
    trainIters: Int = 300000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    var recipe = Gemma3VLRecipes.recipe(
        name,
        hfPath: "google/gemma-3-27b-it",
        peft: peft,
        tensorSize: peft == .none ? 8 : 4,
        pipelineSize: peft == .none ? 2 : 1,
        globalBatchSize: globalBatchSize ?? (peft == .none ? 16 : 32)
    )
    recipe.checkpoint.pretrainedCheckpoint = pretrainedCheckpoint
    recipe.dataset.datasetType = datasetType
    recipe.train.trainIters = trainIters
    recipe.model.freezeLanguageModel = freezeLanguageModel
    recipe.model.freezeVisionModel = freezeVisionModel
    recipe.model.freezeVisionProjection = freezeVisionProjection
    return recipe
}
