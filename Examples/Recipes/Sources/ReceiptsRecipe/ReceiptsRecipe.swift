import BridgeCore
import Ministral3

/// Prints a recipe for reading receipts with LoRA, for `bridge train --recipe`.
///
///     swift run receipts-recipe /models/ministral3-3b > receipts.yaml
///
/// A script is useful when settings depend on each other; otherwise a file such as `receipts.yaml` is enough.
@main
enum ReceiptsRecipe {
    static func main() throws {
        var recipe = ministral3_3bFinetuneConfig(
            name: "receipts",
            pretrainedCheckpoint: CommandLine.arguments.dropFirst().first ?? "/models/ministral3-3b",
            datasetType: .hf,
            peft: .lora,
            trainIters: 200,
            globalBatchSize: 16,
            freezeVisionModel: true
        )
        recipe.dataset.makerName = "make_cord_v2_dataset"
        recipe.optimizer.lr = 2e-4
        recipe.optimizer.minLR = recipe.optimizer.lr / 10
        recipe.scheduler.lrWarmupIters = recipe.train.trainIters / 20
        try RecipeCheck(recipe).validate()
        print(try recipe.yaml(), terminator: "")
    }
}
