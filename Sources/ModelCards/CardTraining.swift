import BridgeCore
import Communication
import Foundation
import TensorRuntime
import Trainer

/// A few steps of training on synthetic rows, under a layout.
struct CardTraining: Sendable {
    typealias Curve = LayoutSelftest.Curve

    let source: String
    let catalog: PluginCatalog
    let bridge: AutoBridge
    /// The directory of the rows.
    let rows: String
    let layout: CardLayout
    let isLoRA: Bool
    let steps: Int
    let threads: Int
    let context: RunContext

    /// The recipe of a run that saves its checkpoints in a directory.
    func recipe(savingTo directory: String) -> Recipe {
        var recipe = Recipe(name: "card")
        // Results of two layouts are comparable in float32 only.
        recipe.mixedPrecision = .fp32
        recipe.model.tensorModelParallelSize = layout.tensor
        recipe.model.pipelineModelParallelSize = layout.pipeline
        let decoder = bridge.toProvider().decoder
        let length = max(1, min(512, decoder.seqLength) / 64) * 64
        (recipe.model.seqLength, recipe.dataset.seqLength) = (length, length)
        (recipe.train.microBatchSize, recipe.train.globalBatchSize) = (2, CardRows.count)
        (recipe.train.trainIters, recipe.train.evalInterval) = (steps, 0)
        // A step of Adam changes activations in proportion to the width.
        let rate = (isLoRA ? 1e-2 : 1e-3) * 64 / Double(max(64, decoder.hiddenSize))
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (rate, rate)
        recipe.scheduler.lrWarmupIters = 0
        (recipe.dataset.datasetType, recipe.dataset.trainDataPath) = (.preloaded, CardRows.path(in: rows))
        recipe.dataset.numWorkers = 0
        recipe.dataset.date = "2026-01-01"
        recipe.checkpoint.pretrainedCheckpoint = source
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (directory, 0)
        if isLoRA {
            recipe.peft.scheme = .lora
            (recipe.peft.dim, recipe.peft.alpha) = (8, 16)
        }
        return recipe
    }

    /// Trains, or resumes the run in a directory.
    ///
    /// - Parameters:
    ///   - directory: The directory of the checkpoints.
    ///   - stop: The number of steps after which the run ends early; nil to train to the end.
    /// - Returns: The losses and norms of the steps that were done.
    /// - Throws: `BridgeError` when a rank fails.
    func run(_ directory: String, stoppingAfter stop: Int? = nil) throws -> Curve {
        var recipe = recipe(savingTo: directory)
        recipe.train.exitInterval = stop
        let (whole, catalog, threads, cancellation) = (recipe, catalog, threads, context.cancellation)
        let curves = try ThreadWorld.run(layout.rankCount) { world in
            var environment = TrainingRun.Environment(
                catalog: catalog,
                engine: CPUEngine(threadCount: threads),
                // The row has everything that matters, and an error is thrown.
                logger: RunContext().logger,
                today: whole.dataset.date
            )
            environment.world = world
            let sink = CurveRecorder()
            let run = try TrainingRun(whole, in: environment)
            _ = try run.trainer(callbacks: [sink]).run { cancellation.isCancelled }
            return sink.curve
        }
        return curves.first ?? Curve()
    }

    /// The files with the state of a run: everything else has paths or times.
    ///
    /// - Throws: `BridgeError` when the run has no checkpoint of that step.
    func state(_ directory: String) throws -> [String] {
        let iteration = Self.iteration(directory, steps)
        let names = try CardMeasurement.files(of: iteration).filter { name in
            name.hasSuffix(".safetensors") || name == RunProgress.fileName
        }
        return names.map { Files.join(iteration, $0) }
    }

    /// The directory of a checkpoint after some steps.
    static func iteration(_ directory: String, _ steps: Int) -> String {
        Files.join(directory, "iter_" + String(format: "%07d", steps))
    }
}
