public import BridgeCore

// Learning rates, batch sizes and layouts are those of the table "Recommended Configurations" in Megatron Bridge's
// documentation of Ministral 3 (the smaller of two batch sizes); the rest are the arguments' defaults in its version 0.3.
// The separate recipes for full training and adapters are those of its main branch of 2026-08-22.

/// The recommended recipes of the family.
enum Ministral3Recipes {
    static let all =
        [
            RecipeTemplate(name: "ministral3_3b_finetune_config", summary: "Ministral 3 3B on images and text") {
                ministral3_3bFinetuneConfig(peft: $0)
            },
            RecipeTemplate(name: "ministral3_8b_finetune_config", summary: "Ministral 3 8B on images and text") {
                ministral3_8bFinetuneConfig(peft: $0)
            },
            RecipeTemplate(name: "ministral3_14b_finetune_config", summary: "Ministral 3 14B on images and text") {
                ministral3_14bFinetuneConfig(peft: $0)
            },
        ] + modes.flatMap(\.self)

    /// Size, hub id, tensor-parallel sizes of full training and of adapters.
    private static let modes = [
        ("3b", "3B", 1, 1), ("8b", "8B", 2, 1), ("14b", "14B", 4, 2),
    ].map { stem, size, full, adapters in
        RecipeTemplate.modes(
            stem: "ministral3_\(stem)",
            hfPath: "mistralai/Ministral-3-\(size)-Instruct-2512",
            summary: "Ministral 3 \(size) on images and text",
            sft: .init(tensorSize: full, lr: 5e-6, minLR: 5e-7),
            peft: .init(tensorSize: adapters, lr: 2e-4, minLR: 2e-5)
        ) { _ in }
    }

    static func recipe(
        _ choices: Recipe.Choices,
        hfPath: String,
        full: Recipe.Scale,
        adapters: Recipe.Scale
    ) -> Recipe {
        var recipe = Recipe(choices, hfPath: hfPath, full: full, adapters: adapters)
        recipe.train.evalInterval = 30
        recipe.train.evalIters = 32
        recipe.optimizer.minLR = 0
        recipe.scheduler.lrWarmupIters = 50
        recipe.checkpoint.saveInterval = 50
        return recipe
    }
}

/// The recipe `ministral3_3b_finetune_config`: Ministral 3 3B on images and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face directory.
///   - datasetType: The kind of data set; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: The number of steps.
///   - globalBatchSize: The number of samples in a step; nil for 32 with `.none` and 64 with adapters.
///   - freezeLanguageModel: Whether the language model is frozen.
///   - freezeVisionModel: Whether the vision tower is frozen.
///   - freezeVisionProjection: Whether the projector is frozen.
/// - Returns: The recipe; all other settings can be changed.
public func ministral3_3bFinetuneConfig(
    name: String = "ministral3_3b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .lora,
    trainIters: Int = 1000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    Ministral3Recipes.recipe(
        Recipe.Choices(
            name: name,
            pretrainedCheckpoint: pretrainedCheckpoint,
            datasetType: datasetType,
            peft: peft,
            trainIters: trainIters,
            globalBatchSize: globalBatchSize,
            freezeLanguageModel: freezeLanguageModel,
            freezeVisionModel: freezeVisionModel,
            freezeVisionProjection: freezeVisionProjection
        ),
        hfPath: "mistralai/Ministral-3-3B-Instruct-2512",
        full: Recipe.Scale(tensorSize: 1, globalBatchSize: 32),
        adapters: Recipe.Scale(tensorSize: 1, globalBatchSize: 64)
    )
}

/// The recipe `ministral3_8b_finetune_config`: Ministral 3 8B on images and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face directory.
///   - datasetType: The kind of data set; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: The number of steps.
///   - globalBatchSize: The number of samples in a step; nil for 32 with `.none` and 64 with adapters.
///   - freezeLanguageModel: Whether the language model is frozen.
///   - freezeVisionModel: Whether the vision tower is frozen.
///   - freezeVisionProjection: Whether the projector is frozen.
/// - Returns: The recipe; all other settings can be changed.
public func ministral3_8bFinetuneConfig(
    name: String = "ministral3_8b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .lora,
    trainIters: Int = 1000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    Ministral3Recipes.recipe(
        Recipe.Choices(
            name: name,
            pretrainedCheckpoint: pretrainedCheckpoint,
            datasetType: datasetType,
            peft: peft,
            trainIters: trainIters,
            globalBatchSize: globalBatchSize,
            freezeLanguageModel: freezeLanguageModel,
            freezeVisionModel: freezeVisionModel,
            freezeVisionProjection: freezeVisionProjection
        ),
        hfPath: "mistralai/Ministral-3-8B-Instruct-2512",
        full: Recipe.Scale(tensorSize: 2, globalBatchSize: 32),
        adapters: Recipe.Scale(tensorSize: 1, globalBatchSize: 64)
    )
}

/// The recipe `ministral3_14b_finetune_config`: Ministral 3 14B on images and text.
///
/// - Parameters:
///   - name: The run's name.
///   - pretrainedCheckpoint: The weights to start from: a Megatron checkpoint or a Hugging Face directory.
///   - datasetType: The kind of data set; for the files or the maker set `dataset` of the result.
///   - peft: The adapters; `.none` trains the model itself.
///   - trainIters: The number of steps.
///   - globalBatchSize: The number of samples in a step; nil for 16 with `.none` and 32 with adapters.
///   - freezeLanguageModel: Whether the language model is frozen.
///   - freezeVisionModel: Whether the vision tower is frozen.
///   - freezeVisionProjection: Whether the projector is frozen.
/// - Returns: The recipe; all other settings can be changed.
public func ministral3_14bFinetuneConfig(
    name: String = "ministral3_14b_finetune_config",
    pretrainedCheckpoint: String = "",
    datasetType: Recipe.DatasetSection.Kind = .hf,
    peft: Recipe.PEFTSection.Scheme = .lora,
    trainIters: Int = 1000,
    globalBatchSize: Int? = nil,
    freezeLanguageModel: Bool = false,
    freezeVisionModel: Bool = false,
    freezeVisionProjection: Bool = false
) -> Recipe {
    Ministral3Recipes.recipe(
        Recipe.Choices(
            name: name,
            pretrainedCheckpoint: pretrainedCheckpoint,
            datasetType: datasetType,
            peft: peft,
            trainIters: trainIters,
            globalBatchSize: globalBatchSize,
            freezeLanguageModel: freezeLanguageModel,
            freezeVisionModel: freezeVisionModel,
            freezeVisionProjection: freezeVisionProjection
        ),
        hfPath: "mistralai/Ministral-3-14B-Instruct-2512",
        full: Recipe.Scale(tensorSize: 4, globalBatchSize: 16),
        adapters: Recipe.Scale(tensorSize: 2, globalBatchSize: 32)
    )
}
