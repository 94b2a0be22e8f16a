import BridgeCore

/// Prints a recipe for reading receipts with LoRA, for `bridge train --recipe`.
///
///     swift run receipts-recipe /models/ministral3-3b > receipts.yaml
///
/// A script is useful when settings depend on each other; otherwise a file such as `receipts.yaml` is enough.
@main
enum ReceiptsRecipe {
    static func main() throws {
        var recipe = try PluginCatalog.standard().recipe(named: "ministral3_3b_finetune_config").recipe(peft: .lora)
        recipe.name = "receipts"
        recipe.checkpoint.pretrainedCheckpoint = CommandLine.arguments.dropFirst().first ?? "/models/ministral3-3b"
        recipe.train.trainIters = 200
        recipe.train.globalBatchSize = 16
        recipe.model.freezeVisionModel = true
        recipe.dataset.makerName = "make_cord_v2_dataset"
        recipe.optimizer.lr = 2e-4
        recipe.optimizer.minLR = recipe.optimizer.lr / 10
        recipe.scheduler.lrWarmupIters = recipe.train.trainIters / 20
        try RecipeCheck(recipe).validate()
        print(try recipe.yaml(), terminator: "")
    }
}
