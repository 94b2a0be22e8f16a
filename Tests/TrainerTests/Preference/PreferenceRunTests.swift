import BridgeCore
import Communication
import Foundation
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Whole runs on pairs of answers: their first gradient, resumption and layouts.
@Suite struct PreferenceRunTests {
    typealias LossType = Recipe.PreferenceSection.LossType

    private final class Log: TrainerCallback {
        var steps: [StepRecord] = []
        var validations: [ValidationRecord] = []
        func onStepEnd(_ step: StepRecord) { steps.append(step) }
        func onEvaluate(_ validation: ValidationRecord) { validations.append(validation) }
        var losses: [Double] { steps.map(\.loss) }
    }

    /// Pairs of conversations, some with an image.
    private static func rows(_ directory: TemporaryDirectory, images: Bool) throws -> String {
        let rows = (0..<7).map { number in
            let shown = images && number % 2 == 0
            let content = "\(shown ? "<image>" : "")Question number \(number)?"
            let media = shown ? #", "images": ["rgb.png"]"# : ""
            return """
                {"prompt": "\(content)", "chosen": "Answer \(number) is right.", "rejected": "\(String(repeating: "No. ", count: 1 + number % 3))"\(media)}
                """
        }
        return try directory.write(Array(rows.joined(separator: "\n").utf8), to: "pairs.jsonl")
    }

    private static func recipe(
        _ model: String,
        _ data: String,
        _ loss: LossType,
        _ scheme: Recipe.PEFTSection.Scheme = .none
    ) -> Recipe {
        var recipe = Recipe(name: "test")
        recipe.mixedPrecision = .fp32
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (4, 4, 2)
        recipe.train.evalInterval = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
        recipe.scheduler.lrWarmupIters = 0
        (recipe.peft.scheme, recipe.peft.dim, recipe.peft.dropout) = (scheme, 4, 0.2)
        (recipe.preference.lossType, recipe.preference.beta) = (loss, 0.2)
        (recipe.model.seqLength, recipe.dataset.seqLength) = (128, 128)
        recipe.dataset.datasetType = .preloaded
        (recipe.dataset.trainDataPath, recipe.dataset.imageFolder) = (data, "\(Fixtures.root)/images")
        recipe.dataset.numWorkers = 0
        recipe.checkpoint.pretrainedCheckpoint = Fixtures.checkpoint(model)
        return recipe
    }

    private static func run(
        _ recipe: Recipe,
        in world: any RankWorld = SingleRankWorld(),
        logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) throws -> (run: TrainingRun, trainer: Trainer, log: Log) {
        var environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: TestEngine.cpu(threadCount: 1),
            logger: logger,
            today: "2026-01-01"
        )
        environment.world = world
        let (run, log) = (try TrainingRun(recipe, in: environment), Log())
        return (run, try run.trainer(callbacks: [log]), log)
    }

    /// Before the first step a model is its own reference, so every pair has the loss log 2 and the slopes -β/2 and β/2.
    @Test(arguments: ["mistral", "gemma3"])
    func theFirstGradientIsHalfTheDifferenceOfTwoCrossEntropies(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let data = try Self.rows(directory, images: name == "gemma3")
        var recipe = Self.recipe(name, data, .dpo)
        recipe.train.trainIters = 1
        recipe.optimizer.clipGrad = 0
        let (run, trainer, log) = try Self.run(recipe)
        let engine = TestEngine.cpu(threadCount: 1)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: engine)
        let encoder = try DataSupport.encoder(DataSupport.processor(name))
        var opener = DatasetOpener(section: run.recipe.dataset, encoder: encoder, seed: recipe.rng.seed)
        opener.readsPairs = true
        let source = try opener.training()
        let rows = try opener.preparer(source).order.rows(from: 0, count: 4)
        let parameters = model.parameters
        for parameter in parameters { parameter.isTrainable = true }
        let optimizer = try Optimizer(recipe.optimizer, parameters, on: engine)
        optimizer.clearGradients()
        for row in rows {
            for (sample, sign) in zip(try source.samples(at: row), [Float(1), -1]) {
                let batch = TrainingBatch(try CollatedBatch([sample]), on: engine)
                let loss = try model.loss(batch.tokens, targets: batch.targets, weight: sign * 0.2 / 2 / 4)
                loss.backward()
            }
        }
        let norm = try optimizer.gradientNorm()
        _ = try trainer.run()
        #expect(abs(log.losses[0] - log_2) < 1e-6)
        #expect(abs(log.steps[0].gradientNorm - norm) <= 1e-4 * norm)
        #expect(log.steps[0].preference?.margin.magnitude ?? 1 < 1e-5)
    }

    private let log_2 = log(2.0)

    static let kinds: [(LossType, Recipe.PEFTSection.Scheme)] = [
        (.dpo, .none), (.dpo, .lora), (.ipo, .dora), (.orpo, .none),
    ]

    @Test(arguments: kinds)
    func aResumedRunHasTheBitsOfAnUninterruptedOne(_ loss: LossType, _ scheme: Recipe.PEFTSection.Scheme) throws {
        let directory = try TemporaryDirectory()
        var recipe = Self.recipe("mistral", try Self.rows(directory, images: false), loss, scheme)
        recipe.checkpoint.save = directory.path("whole")
        let whole = try Self.run(recipe)
        #expect(try whole.trainer.run().end == .done)
        let file = directory.path("whole/iter_0000004/reference_log_probabilities.json")
        #expect(FileManager.default.fileExists(atPath: file) == (loss != .orpo && scheme == .none))

        recipe.checkpoint.save = directory.path("parts")
        let first = try Self.run(recipe)
        #expect(try first.trainer.run { first.log.steps.count == 3 }.iteration == 3)
        let second = try Self.run(recipe)
        #expect(try second.trainer.run().iteration == 4)
        #expect(first.log.losses + second.log.losses == whole.log.losses)
        func numbers(_ run: TrainingRun) -> [[Float]] {
            (run.model.parameters + (run.adapters?.parameters ?? [])).map { $0.tensor.floats() }
        }
        #expect(numbers(second.run) == numbers(whole.run))
    }

    /// The notices of a logger.
    private final class Notices: LogHandler, @unchecked Sendable {
        var lines: [String] = []
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.notice
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { nil }
            set {}
        }
        func log(event: LogEvent) { lines.append("\(event.message)") }
    }

    /// A resumed run takes the reference from its checkpoint, and computes it when the data is another.
    @Test func theReferenceOfACheckpointIsUsedForTheSameData() throws {
        let directory = try TemporaryDirectory()
        let data = try Self.rows(directory, images: false)
        var recipe = Self.recipe("mistral", data, .dpo)
        recipe.checkpoint.save = directory.path("run")
        let notices = Notices()
        func computes(steps: Int) throws -> Bool {
            notices.lines = []
            let found = try Self.run(recipe, logger: Logger(label: "test") { _ in notices })
            _ = try found.trainer.run { found.log.steps.count == steps }
            return notices.lines.contains { $0.contains("reference log-probabilities of 7 pairs") }
        }
        #expect(try computes(steps: 1))
        #expect(try !computes(steps: 1))
        let text = try String(contentsOfFile: data, encoding: .utf8).replacing("number 3", with: "number three")
        try text.write(toFile: data, atomically: true, encoding: .utf8)
        #expect(try computes(steps: 1))
    }

    /// As in trl 1.16, whose `DPOTrainer` copies the adapter of a PEFT model to one named `ref`: every pair has the loss log 2.
    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func theReferenceHasTheAdapterThatTheRunContinues(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let directory = try TemporaryDirectory()
        var recipe = Self.recipe("mistral", try Self.rows(directory, images: false), .dpo, scheme)
        (recipe.peft.dropout, recipe.optimizer.lr, recipe.optimizer.minLR) = (0, 1e-2, 1e-2)
        recipe.checkpoint.save = directory.path("first")
        let first = try Self.run(recipe)
        _ = try first.trainer.run()
        #expect(first.log.losses.contains { abs($0 - log_2) > 1e-3 })
        recipe.peft.adapterNameOrPath = directory.path("first")
        recipe.checkpoint.save = directory.path("whole")
        let notices = Notices()
        let whole = try Self.run(recipe, logger: Logger(label: "test") { _ in notices })
        _ = try whole.trainer.run()
        #expect(abs(whole.log.losses[0] - log_2) < 1e-6, "\(whole.log.losses)")
        #expect(whole.log.steps[0].preference?.margin.magnitude ?? 1 < 1e-5)
        #expect(abs(whole.log.losses[3] - log_2) > 1e-3)
        let note = "the reference is the model with the adapter \(directory.path("first"))"
        #expect(notices.lines.contains { $0.hasPrefix(note) }, "\(notices.lines)")
        recipe.checkpoint.save = directory.path("parts")
        let half = try Self.run(recipe)
        _ = try half.trainer.run { half.log.steps.count == 2 }
        let rest = try Self.run(recipe)
        _ = try rest.trainer.run()
        #expect(half.log.losses + rest.log.losses == whole.log.losses)
    }

    struct Layout: Sendable, CustomTestStringConvertible {
        var tp = 1
        var cp = 1
        var pp = 1
        var dp = 1
        var vp = 1
        var sequenceParallel = false
        var loss = LossType.dpo
        var scheme = Recipe.PEFTSection.Scheme.none
        var testDescription: String { "TP \(tp) CP \(cp) PP \(pp) DP \(dp) VP \(vp) \(loss) \(scheme)" }
    }

    static let layouts: [(String, Layout)] = [
        ("mistral", Layout(tp: 2, sequenceParallel: true)), ("mistral", Layout(dp: 2, scheme: .lora)),
        ("gemma3", Layout(cp: 2, dp: 2)), ("gemma3", Layout(tp: 2, pp: 2, scheme: .lora)),
        ("gemma3", Layout(pp: 2, vp: 2, scheme: .dora)), ("mistral", Layout(cp: 2, pp: 2, loss: .orpo)),
        ("ministral3", Layout(tp: 2, cp: 2, loss: .ipo, scheme: .lora)),
    ]

    @Test(arguments: layouts)
    func everyLayoutTrainsAsOneRank(_ name: String, _ layout: Layout) throws {
        let directory = try TemporaryDirectory()
        let data = try Self.rows(directory, images: name != "mistral")
        var recipe = Self.recipe(name, data, layout.loss, layout.scheme)
        (recipe.dataset.validDataPath, recipe.train.evalInterval, recipe.train.evalIters) = (data, 2, 2)
        recipe.dataset.padToMultipleOf = 8
        let single = try Self.run(recipe)
        _ = try single.trainer.run()
        recipe.model.tensorModelParallelSize = layout.tp
        recipe.model.contextParallelSize = layout.cp
        recipe.model.pipelineModelParallelSize = layout.pp
        recipe.model.virtualPipelineModelParallelSize = layout.vp > 1 ? layout.vp : nil
        recipe.model.sequenceParallel = layout.sequenceParallel
        recipe.train.microBatchSize = 1
        // One rank has the same micro-batches, so that the mean of means is the same.
        var alone = recipe
        alone.model = Recipe(name: "").model
        (alone.model.seqLength, alone.train.microBatchSize) = (128, 1)
        let expected = try Self.run(alone)
        _ = try expected.trainer.run()
        let chosen = recipe
        let found = try ThreadWorld.run(layout.tp * layout.cp * layout.pp * layout.dp) { world in
            let (_, trainer, log) = try Self.run(chosen, in: world)
            _ = try trainer.run()
            return (log.steps, log.validations)
        }
        for (steps, validations) in found {
            for (step, one) in zip(steps, expected.log.steps) {
                #expect(abs(step.loss - one.loss) <= 1e-5 * one.loss, "loss of step \(one.iteration)")
                #expect(abs(step.gradientNorm - one.gradientNorm) <= 1e-5 * one.gradientNorm)
                let (own, other) = (step.preference?.values ?? [], one.preference?.values ?? [])
                #expect(own.count == 6)
                for (value, wanted) in zip(own, other) {
                    #expect(abs(value.value - wanted.value) <= 1e-5 * max(1, abs(wanted.value)), "\(value.name)")
                }
            }
            #expect(steps.count == 4 && validations.count == 2)
            for (validation, one) in zip(validations, expected.log.validations) {
                #expect(abs(validation.loss - one.loss) <= 1e-5 * one.loss)
            }
        }
        // The mean over pairs does not depend on the micro-batches; ORPO's mean over tokens and the dropout of adapters do.
        guard layout.loss != .orpo, layout.scheme == .none else { return }
        for (step, one) in zip(single.log.steps, expected.log.steps) {
            #expect(abs(step.loss - one.loss) <= 1e-4 * one.loss)
        }
    }
}
