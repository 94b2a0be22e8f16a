import BridgeCore

// Learning rates, batch sizes and layouts are those of the table "Recommended Configurations" in Megatron Bridge's
// documentation of Ministral 3 (the smaller of two batch sizes); the rest are the arguments' defaults in its version 0.3.
// The separate recipes for full training and adapters are those of its main branch of 2026-08-22.

/// The recommended recipes of the family.
enum Ministral3Recipes {
    static let all = sizes.map(finetune) + sizes.flatMap(modes)

    /// Size, tensor-parallel and batch sizes of full training and of adapters.
    private typealias Size = (name: String, full: Recipe.Scale, adapters: Recipe.Scale)

    private static let sizes: [Size] = [
        ("3B", .init(tensorSize: 1, globalBatchSize: 32), .init(tensorSize: 1, globalBatchSize: 64)),
        ("8B", .init(tensorSize: 2, globalBatchSize: 32), .init(tensorSize: 1, globalBatchSize: 64)),
        ("14B", .init(tensorSize: 4, globalBatchSize: 16), .init(tensorSize: 2, globalBatchSize: 32)),
    ]

    private static func stem(_ size: Size) -> String { "ministral3_\(size.name.lowercased())" }
    private static func hfPath(_ size: Size) -> String { "mistralai/Ministral-3-\(size.name)-Instruct-2512" }
    private static func summary(_ size: Size) -> String { "Ministral 3 \(size.name) on images and text" }

    private static func finetune(_ size: Size) -> RecipeTemplate {
        .finetune(
            stem: stem(size),
            hfPath: hfPath(size),
            summary: summary(size),
            full: size.full,
            adapters: size.adapters
        ) { recipe in
            (recipe.train.evalInterval, recipe.train.evalIters) = (30, 32)
            recipe.optimizer.minLR = 0
            recipe.scheduler.lrWarmupIters = 50
            recipe.checkpoint.saveInterval = 50
        }
    }

    private static func modes(_ size: Size) -> [RecipeTemplate] {
        RecipeTemplate.modes(
            stem: stem(size),
            hfPath: hfPath(size),
            summary: summary(size),
            sft: .init(tensorSize: size.full.tensorSize, lr: 5e-6, minLR: 5e-7),
            peft: .init(tensorSize: size.adapters.tensorSize, lr: 2e-4, minLR: 2e-5)
        ) { _ in }
    }
}
