import BridgeCore
import Foundation
import TensorRuntime
import Trainer

/// Trains a toy with LoRA on synthetic images and its projector in full, and prints the decrease of the loss.
///
///     swift run -c release train-toy
///
/// Only `checkpoint.save` is kept, here a temporary directory.
@main
enum TrainToy {
    static func main() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "train-toy-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let catalog = try PluginCatalog.standard()
        try ToyModel(family: "ministral3", options: .init(layers: 2), catalog: catalog).write(to: "\(directory)/toy")

        var recipe = try catalog.recipe(named: "ministral3_3b_finetune_config").recipe(peft: .lora)
        recipe.name = "train-toy"
        recipe.checkpoint.pretrainedCheckpoint = "\(directory)/toy"
        recipe.dataset.datasetType = .mock
        recipe.train.trainIters = 12
        recipe.train.globalBatchSize = 4
        recipe.peft.modulesToSave = ["multi_modal_projector"]
        recipe.optimizer.lr = 1e-2
        recipe.scheduler.lrWarmupIters = 2
        recipe.train.evalInterval = 0
        recipe.mixedPrecision = .fp32
        recipe.model.seqLength = 400
        recipe.dataset.seqLength = 400
        recipe.checkpoint.save = "\(directory)/run"
        try RecipeCheck(recipe).validate()

        let run = try TrainingRun(
            recipe,
            in: TrainingRun.Environment(
                catalog: catalog,
                engine: CPUEngine(threadCount: 2),
                logger: Logger(label: "train-toy"),
                today: "2026-01-01"
            )
        )
        for part in run.parts { print("\(part.name): \(part.trained) of \(part.count) parameters are trained") }
        let losses = Losses()
        let outcome = try run.trainer(callbacks: [losses]).run()
        let first = losses.values.first ?? 0
        let last = losses.values.last ?? 0
        print("\(outcome.end.rawValue) after \(outcome.iteration) steps: the loss went from \(first) to \(last)")
        guard last < first else { exit(1) }
    }
}

/// Stores the losses of a run: any class can receive its events.
final class Losses: TrainerCallback {
    private(set) var values: [Double] = []

    func onStepEnd(_ step: StepRecord) { values.append(step.loss) }
}
