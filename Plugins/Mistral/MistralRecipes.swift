public import BridgeCore

// Megatron Bridge has no recipe for this family. Rates, batch sizes and steps are those that it recommends for Ministral 3,
// models of the same maker with the same layers. The layout keeps a rank's part of the weights as small as there: full
// training of 8B is sharded across 2 ranks and of 14B across 4, at most 4 billion parameters each, so 7B has 2 ranks and 24B
// has 8; with adapters a rank holds up to 8 billion, so 7B has 1 and 24B has 4. Conversations come from a file or, with `hf`,
// from columns of the same names, because the makers of Megatron Bridge are all for images.

/// The recommended recipes of the family.
enum MistralRecipes {
    static let all = [
        RecipeTemplate(name: "mistral_7b_finetune_config", summary: "Mistral 7B on conversations", abilities: abilities)
        {
            mistral_7bFinetuneConfig(peft: $0)
        },
        RecipeTemplate(
            name: "mistral_small_24b_finetune_config",
            summary: "Mistral Small 24B on conversations",
            abilities: abilities
        ) {
            mistral_small_24bFinetuneConfig(peft: $0)
        },
    ]

    /// A family that reads text only.
    private static let abilities = RecipeTemplate.Abilities(readsImages: false)

    static func recipe(
        _ choices: Recipe.Choices,
        hfPath: String,
        full: Recipe.Scale,
        adapters: Recipe.Scale
    ) -> Recipe {
        var recipe = Recipe(choices, hfPath: hfPath, full: full, adapters: adapters)
        recipe.optimizer.minLR = 0
        recipe.scheduler.lrWarmupIters = 50
        recipe.checkpoint.saveInterval = 50
        recipe.dataset.makerName = "make_conversation_dataset"
        return recipe
    }
}

/// The recipe `mistral_7b_finetune_config`: Mistral 7B on conversations.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face directory.
///   - datasetType: The kind of data set; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: The number of steps.
///   - globalBatchSize: The number of samples in a step; nil for 32 with `.none` and 64 with adapters.
/// - Returns: The recipe; all other settings can be changed.
public func mistral_7bFinetuneConfig(
    name: String = "mistral_7b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .preloaded,
    peft: Recipe.PEFTSection.Scheme = .none,
    trainIters: Int = 1000,
    globalBatchSize: Int? = nil
) -> Recipe {
    MistralRecipes.recipe(
        Recipe.Choices(
            name: name,
            pretrainedCheckpoint: pretrainedCheckpoint,
            datasetType: datasetType,
            peft: peft,
            trainIters: trainIters,
            globalBatchSize: globalBatchSize
        ),
        hfPath: "mistralai/Mistral-7B-Instruct-v0.3",
        full: Recipe.Scale(tensorSize: 2, globalBatchSize: 32),
        adapters: Recipe.Scale(tensorSize: 1, globalBatchSize: 64)
    )
}

/// The recipe `mistral_small_24b_finetune_config`: Mistral Small 24B on conversations.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face directory.
///   - datasetType: The kind of data set; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: The number of steps.
///   - globalBatchSize: The number of samples in a step; nil for 16 with `.none` and 32 with adapters.
/// - Returns: The recipe; all other settings can be changed.
public func mistral_small_24bFinetuneConfig(
    name: String = "mistral_small_24b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .preloaded,
    peft: Recipe.PEFTSection.Scheme = .none,
    trainIters: Int = 1000,
    globalBatchSize: Int? = nil
) -> Recipe {
    MistralRecipes.recipe(
        Recipe.Choices(
            name: name,
            pretrainedCheckpoint: pretrainedCheckpoint,
            datasetType: datasetType,
            peft: peft,
            trainIters: trainIters,
            globalBatchSize: globalBatchSize
        ),
        hfPath: "mistralai/Mistral-Small-24B-Instruct-2501",
        full: Recipe.Scale(tensorSize: 8, globalBatchSize: 16),
        adapters: Recipe.Scale(tensorSize: 4, globalBatchSize: 32)
    )
}
