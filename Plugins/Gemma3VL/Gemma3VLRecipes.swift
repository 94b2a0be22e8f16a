public import BridgeCore

// Learning rates, batch sizes and layouts are those of the table "Recommended Configurations" in Megatron Bridge's
// documentation of Gemma 3 VL (the smaller of two batch sizes); the rest are the arguments' defaults in its version 0.3.
// The separate recipes for full training and adapters are those of its main branch of 2026-08-22.

/// The recommended recipes of the family.
enum Gemma3VLRecipes {
    static let all =
        [
            RecipeTemplate(
                name: "gemma3_vl_4b_finetune_config",
                summary: "Gemma 3 4B on images and text",
                abilities: abilities
            ) {
                gemma3_vl_4bFinetuneConfig(peft: $0)
            },
            RecipeTemplate(
                name: "gemma3_vl_12b_finetune_config",
                summary: "Gemma 3 12B on images and text",
                abilities: abilities
            ) {
                gemma3_vl_12bFinetuneConfig(peft: $0)
            },
            RecipeTemplate(
                name: "gemma3_vl_27b_finetune_config",
                summary: "Gemma 3 27B on images and text",
                abilities: abilities
            ) {
                gemma3_vl_27bFinetuneConfig(peft: $0)
            },
        ] + modes.flatMap(\.self)

    /// Size, tensor- and pipeline-parallel sizes of full training, tensor-parallel size of adapters.
    private static let modes = [("4b", 1, 1, 1), ("12b", 4, 1, 1), ("27b", 8, 2, 4)].map {
        size,
        tensor,
        pipeline,
        adapters in
        RecipeTemplate.modes(
            stem: "gemma3_vl_\(size)",
            hfPath: "google/gemma-3-\(size)-it",
            summary: "Gemma 3 \(size.uppercased()) on images and text",
            abilities: abilities,
            sft: .init(tensorSize: tensor, pipelineSize: pipeline, lr: 5e-5, minLR: 5e-6),
            peft: .init(tensorSize: adapters, lr: 2e-4, minLR: 2e-5)
        ) {
            $0.train.microBatchSize = 2
            $0.checkpoint.saveInterval = 500
        }
    }

    /// Attention between the tokens of one image is bidirectional, which the mask of packed rows does not support.
    private static let abilities = RecipeTemplate.Abilities(packsSequences: false)

    static func recipe(
        _ choices: Recipe.Choices,
        hfPath: String,
        full: Recipe.Scale,
        adapters: Recipe.Scale
    ) -> Recipe {
        var recipe = Recipe(choices, hfPath: hfPath, full: full, adapters: adapters)
        recipe.train.microBatchSize = 2
        recipe.train.evalInterval = 500
        recipe.train.evalIters = 32
        // Megatron Bridge's 3e-5, and a tenth of the learning rate if that is below 3e-5.
        recipe.optimizer.minLR = choices.peft == .none ? 5e-7 : 3e-5
        recipe.scheduler.lrWarmupIters = 500
        recipe.checkpoint.saveInterval = 500
        return recipe
    }
}

/// The recipe `gemma3_vl_4b_finetune_config`: Gemma 3 4B on images and text.
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
    Gemma3VLRecipes.recipe(
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
        hfPath: "google/gemma-3-4b-it",
        full: Recipe.Scale(tensorSize: 1, globalBatchSize: 32),
        adapters: Recipe.Scale(tensorSize: 1, globalBatchSize: 64)
    )
}

/// The recipe `gemma3_vl_12b_finetune_config`: Gemma 3 12B on images and text.
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
    Gemma3VLRecipes.recipe(
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
        hfPath: "google/gemma-3-12b-it",
        full: Recipe.Scale(tensorSize: 4, globalBatchSize: 32),
        adapters: Recipe.Scale(tensorSize: 1, globalBatchSize: 64)
    )
}

/// The recipe `gemma3_vl_27b_finetune_config`: Gemma 3 27B on images and text.
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
    Gemma3VLRecipes.recipe(
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
        hfPath: "google/gemma-3-27b-it",
        full: Recipe.Scale(tensorSize: 8, pipelineSize: 2, globalBatchSize: 16),
        adapters: Recipe.Scale(tensorSize: 4, globalBatchSize: 32)
    )
}
