import BridgeCore
import Communication
import Foundation
import Logging
import TensorRuntime
import TestSupport
import Trainer

/// Short runs with adapters on eight tokenized rows, and what they leave behind.
struct SmallRun {
    private final class Log: TrainerCallback {
        var losses: [Double] = []
        func onStepEnd(_ step: StepRecord) { losses.append(step.loss) }
    }

    /// What all runs compute with.
    static let engine = TestEngine.cpu(threadCount: 1)

    /// A directory for checkpoints.
    let scratch: TemporaryDirectory
    private let data: String

    init() throws {
        scratch = try TemporaryDirectory()
        let rows = (0..<8).map { number in
            let ids = (0..<9 + number).map { "\(30 + ($0 * $0 + number) % 190)" }.joined(separator: ",")
            return #"{"input_ids": [\#(ids)], "labels": [\#(ids)]}"#
        }
        data = try scratch.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
    }

    /// A run on the model `mistral` in float32, in the order of the rows and with one rate.
    func recipe(_ scheme: Recipe.PEFTSection.Scheme = .lora, steps: Int = 4, save: String = "") -> Recipe {
        var recipe = Recipe(name: "test")
        recipe.mixedPrecision = .fp32
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (steps, 2, 2)
        recipe.train.evalInterval = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.scheduler.lrWarmupIters) = (2e-2, 2e-2, 0)
        recipe.scheduler.lrDecayStyle = .constant
        (recipe.peft.scheme, recipe.peft.dim, recipe.peft.alpha) = (scheme, 3, 9)
        (recipe.model.seqLength, recipe.dataset.seqLength) = (32, 32)
        (recipe.dataset.datasetType, recipe.dataset.trainDataPath) = (.tokenized, data)
        (recipe.dataset.numWorkers, recipe.dataset.shuffle) = (0, false)
        recipe.checkpoint.pretrainedCheckpoint = Fixtures.checkpoint("mistral")
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (save, 100)
        return recipe
    }

    /// Runs a recipe on this rank of a world.
    ///
    /// - Returns: The losses of its steps.
    static func run(
        _ recipe: Recipe,
        in world: any RankWorld = SingleRankWorld(),
        body: (TrainingRun) throws -> Void = { _ in }
    ) throws -> [Double] {
        var environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: engine,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            today: "2026-01-01"
        )
        environment.world = world
        let run = try TrainingRun(recipe, in: environment)
        let log = Log()
        _ = try run.trainer(callbacks: [log]).run()
        try body(run)
        return log.losses
    }

    /// The message of what is thrown, with the names that belong to it.
    static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was thrown"
        } catch let error as BridgeError {
            return ([error.message] + error.names).joined(separator: "; ")
        } catch { return "\(error)" }
    }
}
