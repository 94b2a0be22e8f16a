import BridgeCore
import Foundation
import Logging
import TestSupport
import Testing

@testable import Trainer

/// What a run logs, where it ends and what it resumes from, against uninterrupted runs.
@Suite struct RunEndTests {
    private let bench: SmallRun
    private var scratch: TemporaryDirectory { bench.scratch }

    init() throws { bench = try SmallRun() }

    private final class Log: TrainerCallback {
        var steps: [StepRecord] = []
        var validations: [ValidationRecord] = []
        func onStepEnd(_ step: StepRecord) { steps.append(step) }
        func onEvaluate(_ validation: ValidationRecord) { validations.append(validation) }
    }

    private struct Result {
        var steps: [StepRecord]
        var validations: [ValidationRecord]
        var resumedFrom: String?
        var losses: [Double] { steps.map(\.loss) }
    }

    private func run(_ recipe: Recipe) throws -> Result {
        let environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: SmallRun.engine,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            today: "2026-01-01"
        )
        let (run, log) = (try TrainingRun(recipe, in: environment), Log())
        _ = try run.trainer(callbacks: [log]).run()
        return Result(steps: log.steps, validations: log.validations, resumedFrom: run.resumedFrom)
    }

    // MARK: Validations

    /// A run whose interval is longer than itself is validated at its end, with the losses of a run without validations.
    @Test func theLastStepIsValidated() throws {
        var recipe = bench.recipe(steps: 5)
        recipe.dataset.valSetSize = 2
        let plain = try run(recipe)
        #expect(plain.validations.isEmpty)
        for (interval, expected) in [(30, [5]), (2, [2, 4, 5]), (5, [5])] {
            (recipe.train.evalInterval, recipe.train.evalIters) = (interval, 1)
            let found = try run(recipe)
            #expect(found.validations.map(\.iteration) == expected)
            #expect(found.losses == plain.losses)
        }
        // In two parts it is the same run.
        (recipe.train.evalInterval, recipe.checkpoint.save) = (2, scratch.path("parts"))
        let whole = try run(recipe)
        recipe.checkpoint.save = scratch.path("again")
        recipe.train.exitInterval = 3
        let first = try run(recipe)
        recipe.train.exitInterval = nil
        let second = try run(recipe)
        #expect(first.losses + second.losses == whole.losses)
        #expect((first.validations + second.validations).map(\.loss) == whole.validations.map(\.loss))
        #expect(first.validations.map(\.iteration) == [2] && second.validations.map(\.iteration) == [4, 5])
    }

    /// Six samples in batches of four: an epoch is one and a half steps, so that four of them end in steps 1.5, 3, 4.5 and 6.
    @Test func partsOfEpochsAreValidated() throws {
        var recipe = bench.recipe()
        (recipe.dataset.valSetSize, recipe.train.globalBatchSize, recipe.train.evalIters) = (2, 4, 1)
        (recipe.train.numEpochs, recipe.train.evalsPerEpoch, recipe.checkpoint.savesPerEpoch) = (4, 1, 1)
        recipe.checkpoint.save = scratch.path("epochs")
        let found = try run(recipe)
        #expect(found.steps.count == 6 && found.validations.map(\.iteration) == [2, 3, 5, 6])
        let saved = try NativeCheckpoint.iterations(in: scratch.path("epochs")).map(\.iteration)
        #expect(saved == [2, 3, 5, 6])
    }

    // MARK: Rates

    @Test func theLoggedRateIsOneInUse() throws {
        var recipe = bench.recipe(steps: 1)
        func rates() throws -> (Double, [String: Double]) {
            let step = try #require(try run(recipe).steps.first)
            return (step.learningRate, step.learningRates)
        }
        #expect(try rates() == (2e-2, [:]))
        recipe.optimizer.adapterLR = 5e-3
        #expect(try rates() == (5e-3, ["adapter": 5e-3]))
        recipe.peft.loraPlusLRRatio = 8
        #expect(try rates() == (5e-3, ["adapter": 5e-3, "adapter_b": 4e-2]))
        // The embedding has the rate of the run.
        recipe.peft.modulesToSave = ["word_embeddings"]
        #expect(try rates() == (2e-2, ["adapter": 5e-3, "adapter_b": 4e-2]))
        recipe.optimizer.embeddingLR = 1e-2
        #expect(try rates() == (1e-2, ["embedding": 1e-2, "adapter": 5e-3, "adapter_b": 4e-2]))
    }

    // MARK: Checkpoints

    static let parts = ["optimizer_", "weights_", "train_state.json", "run_config.yaml", "sources.json"]

    @Test(arguments: parts, ["native", "torch_dist"])
    func anIncompleteIterationIsSkipped(_ part: String, _ container: String) throws {
        var recipe = bench.recipe(steps: 6, save: scratch.path("run"))
        recipe.checkpoint.saveInterval = 2
        recipe.checkpoint.ckptFormat = container == "native" ? .native : .torchDist
        let whole = try run(recipe)
        let newest = scratch.path("run/iter_0000006")
        // Megatron-Core's container has the weights and the optimizer in files of one kind, and another run_config.yaml.
        let names = try FileManager.default.contentsOfDirectory(atPath: newest).sorted()
        let own = names.first { $0.hasPrefix(part) } ?? names.first { $0.hasSuffix(".distcp") }
        let name = try #require(own)
        try FileManager.default.removeItem(atPath: "\(newest)/\(name)")
        let again = try run(recipe)
        #expect(again.resumedFrom?.hasSuffix("iter_0000004") == true)
        #expect(again.losses == Array(whole.losses[4...]))
        // It is complete again, and where it is named it is an error that names the file.
        #expect(NativeCheckpoint.missingFiles(of: newest).isEmpty)
        try FileManager.default.removeItem(atPath: "\(newest)/\(name)")
        var other = recipe
        (other.checkpoint.save, other.checkpoint.load, other.train.trainIters) = (scratch.path("other"), newest, 7)
        let message = SmallRun.message { _ = try run(other) }
        #expect(message.contains(name) && !message.contains("converted"), "\(message)")
    }

    @Test func withoutACompleteIterationTheRunIsRefused() throws {
        let recipe = bench.recipe(steps: 2, save: scratch.path("run"))
        _ = try run(recipe)
        try FileManager.default.removeItem(atPath: scratch.path("run/iter_0000002/train_state.json"))
        let message = SmallRun.message { _ = try run(recipe) }
        #expect(
            message.contains("iter_0000002 lacks train_state.json, and no iteration before it is complete"),
            "\(message)"
        )
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.none, .lora])
    func aCheckpointWithoutAnOptimizerNamesTheSetting(_ scheme: Recipe.PEFTSection.Scheme) throws {
        var recipe = bench.recipe(scheme, steps: 2, save: scratch.path("run"))
        recipe.checkpoint.saveOptim = false
        _ = try run(recipe)
        recipe.train.trainIters = 4
        recipe.checkpoint.saveOptim = true
        let message = SmallRun.message { _ = try run(recipe) }
        #expect(message.contains("was saved with checkpoint.save_optim=false"), "\(message)")
        #expect(message.contains("resume with checkpoint.save_optim=false"), "\(message)")
        recipe.checkpoint.saveOptim = false
        #expect(try run(recipe).steps.map(\.iteration) == [3, 4])
    }

    @Test func partsThatTheModelLacksAreNamed() throws {
        var recipe = bench.recipe()
        recipe.peft.modulesToSave = ["vision_tower", "word_embeddings", "multi_modal_projector"]
        let message = SmallRun.message { _ = try run(recipe) }
        #expect(
            message.hasPrefix("peft.modules_to_save names vision_tower and multi_modal_projector, which ")
                && message.hasSuffix("does not have; it has language_model, word_embeddings, output_layer"),
            "\(message)"
        )
    }
}
