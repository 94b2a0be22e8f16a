import BridgeCore

// Learning rates, batch sizes and layouts are those of the table "Recommended Configurations" in Megatron Bridge's
// documentation of Gemma 3 VL (the smaller of two batch sizes); the rest are the arguments' defaults in its version 0.3.
// The separate recipes for full training and adapters are those of its main branch of 2026-08-22.

/// The recommended recipes of the family.
enum Gemma3VLRecipes {
    static let all = sizes.map(finetune) + sizes.flatMap(modes)

    /// Size, tensor- and pipeline-parallel and batch sizes of full training and of adapters.
    private typealias Size = (name: String, full: Recipe.Scale, adapters: Recipe.Scale)

    private static let sizes: [Size] = [
        ("4b", .init(tensorSize: 1, globalBatchSize: 32), .init(tensorSize: 1, globalBatchSize: 64)),
        ("12b", .init(tensorSize: 4, globalBatchSize: 32), .init(tensorSize: 1, globalBatchSize: 64)),
        (
            "27b", .init(tensorSize: 8, pipelineSize: 2, globalBatchSize: 16),
            .init(tensorSize: 4, globalBatchSize: 32)
        ),
    ]

    private static func stem(_ size: Size) -> String { "gemma3_vl_\(size.name)" }
    private static func hfPath(_ size: Size) -> String { "google/gemma-3-\(size.name)-it" }
    private static func summary(_ size: Size) -> String { "Gemma 3 \(size.name.uppercased()) on images and text" }

    private static func finetune(_ size: Size) -> RecipeTemplate {
        .finetune(
            stem: stem(size),
            hfPath: hfPath(size),
            summary: summary(size),
            full: size.full,
            adapters: size.adapters
        ) { recipe in
            recipe.train.trainIters = 300_000
            recipe.train.microBatchSize = 2
            (recipe.train.evalInterval, recipe.train.evalIters) = (500, 32)
            // Megatron Bridge's 3e-5, and a tenth of the learning rate if that is below 3e-5.
            recipe.optimizer.minLR = recipe.peft.scheme == .none ? 5e-7 : 3e-5
            recipe.scheduler.lrWarmupIters = 500
            recipe.checkpoint.saveInterval = 500
        }
    }

    private static func modes(_ size: Size) -> [RecipeTemplate] {
        RecipeTemplate.modes(
            stem: stem(size),
            hfPath: hfPath(size),
            summary: summary(size),
            sft: .init(
                tensorSize: size.full.tensorSize,
                pipelineSize: size.full.pipelineSize,
                lr: 5e-5,
                minLR: 5e-6
            ),
            peft: .init(tensorSize: size.adapters.tensorSize, lr: 2e-4, minLR: 2e-5)
        ) {
            $0.train.microBatchSize = 2
            $0.checkpoint.saveInterval = 500
        }
    }
}
