import BridgeCore

// Megatron Bridge has no recipe for this family. Rates, batch sizes and steps are those that it recommends for Ministral 3,
// models of the same maker with the same layers. The layout keeps a rank's part of the weights as small as there: full
// training of 8B is sharded across 2 ranks and of 14B across 4, at most 4 billion parameters each, so 7B has 2 ranks and 24B
// has 8; with adapters a rank holds up to 8 billion, so 7B has 1 and 24B has 4. Conversations come from a file or, with `hf`,
// from columns of the same names, because the makers of Megatron Bridge are all for images.

/// The recommended recipes of the family.
enum MistralRecipes {
    static let all = [
        finetune(
            "mistral_7b",
            hfPath: "mistralai/Mistral-7B-Instruct-v0.3",
            summary: "Mistral 7B on conversations",
            full: .init(tensorSize: 2, globalBatchSize: 32),
            adapters: .init(tensorSize: 1, globalBatchSize: 64)
        ),
        finetune(
            "mistral_small_24b",
            hfPath: "mistralai/Mistral-Small-24B-Instruct-2501",
            summary: "Mistral Small 24B on conversations",
            full: .init(tensorSize: 8, globalBatchSize: 16),
            adapters: .init(tensorSize: 4, globalBatchSize: 32)
        ),
    ]

    private static func finetune(
        _ stem: String,
        hfPath: String,
        summary: String,
        full: Recipe.Scale,
        adapters: Recipe.Scale
    ) -> RecipeTemplate {
        .finetune(
            stem: stem,
            hfPath: hfPath,
            summary: summary,
            // The family reads text only.
            abilities: RecipeTemplate.Abilities(readsImages: false),
            full: full,
            adapters: adapters
        ) { recipe in
            recipe.optimizer.minLR = 0
            recipe.scheduler.lrWarmupIters = 50
            recipe.checkpoint.saveInterval = 50
            recipe.dataset.datasetType = .preloaded
            recipe.dataset.makerName = "make_conversation_dataset"
        }
    }
}
