import BridgeCore
import Foundation
import Synchronization
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Whole runs: checkpoints, resumption, adapters, guards.
@Suite struct RunTests {
    static let engine = TestEngine.cpu(threadCount: 2)

    /// Rows of tokens that follow from their place in the run.
    private struct Rows: BatchSource {
        var length = 9
        var words = 900
        /// Every sample from this one on teaches nothing.
        var silentFrom = Int.max
        /// The number of samples in a pass; nil for an endless stream.
        var sampleCount: Int?
        /// Called with the samples of each batch.
        var hasRead: @Sendable (Range<Int>) -> Void = { _ in }

        func batch(first: Int, count: Int) -> TrainingBatch {
            hasRead(first..<first + count)
            func token(_ sample: Int, _ location: Int) -> Int32 {
                Int32(20 + (sample * 37 + location * location * 11) % words)
            }
            let tokens: [Int32] = (0..<count * length).map { token(first + $0 / length, $0 % length) }
            let targets = tokens.indices.map { place -> Int32 in
                let isLast = (place + 1) % length == 0
                // Rows teach different numbers of tokens, so that two ways to take a mean differ.
                let row = first + place / length
                return isLast || place % length < row % 4 || row >= silentFrom ? -100 : tokens[place + 1]
            }
            return TrainingBatch(tokens: TokenBatch(tokens: tokens, batch: count), targets: targets)
        }
    }

    private final class Log: TrainerCallback {
        var steps: [StepRecord] = []
        var validations: [ValidationRecord] = []
        var finished = 0
        func onStepEnd(_ step: StepRecord) { steps.append(step) }
        func onEvaluate(_ validation: ValidationRecord) { validations.append(validation) }
        func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) { finished += 1 }
        var losses: [Double] { steps.map(\.loss) }
    }

    private func recipe(_ scheme: Recipe.PEFTSection.Scheme = .none, save: String = "") -> Recipe {
        var recipe = Recipe(name: "test")
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (6, 4, 2)
        recipe.train.evalInterval = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
        recipe.scheduler.lrWarmupIters = 2
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (save, 2)
        recipe.peft.scheme = scheme
        (recipe.peft.dim, recipe.peft.alpha, recipe.peft.dropout) = (3, 5, 0.2)
        return recipe
    }

    private struct Run {
        let bridge: AutoBridge
        let model: any CausalModel
        let adapters: AdapterSet?
        let trainer: Trainer
        let log = Log()

        init(
            _ recipe: Recipe,
            _ type: ElementType = .float32,
            samples: Rows = Rows(),
            validation: Rows? = nil,
            callbacks: [any TrainerCallback] = []
        ) throws {
            bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
            model = try bridge.toModel(elementType: type, on: RunTests.engine)
            try model.freeze(by: recipe)
            adapters =
                recipe.peft.scheme == .none ? nil : try AdapterSet(recipe.peft, on: model, seed: recipe.rng.seed)
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            trainer = try Trainer(
                Trainer.Components(
                    recipe: recipe,
                    model: model,
                    adapters: adapters,
                    samples: samples,
                    validation: validation.map { [("rows", $0)] } ?? [],
                    callbacks: callbacks + [log],
                    checkpoints: RunCheckpoints(
                        bridge,
                        recipe,
                        directory: RunDirectory(recipe.checkpoint),
                        configuration: [],
                        logger: logger
                    ),
                    metadata: RunMetadata(name: recipe.name, metadata: [])
                ),
                logger: logger
            )
        }

        var numbers: [[Float]] { (model.parameters + (adapters?.parameters ?? [])).map { $0.tensor.floats() } }
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.none, .lora, .dora], [ElementType.float32, .bfloat16])
    func aResumedRunHasTheBitsOfAnUninterruptedOne(_ scheme: Recipe.PEFTSection.Scheme, _ type: ElementType) throws {
        let whole = try Run(recipe(scheme), type)
        #expect(try whole.trainer.run().end == .done)
        #expect(whole.log.steps.map(\.iteration) == [1, 2, 3, 4, 5, 6])
        #expect(Set(whole.log.losses).count == 6)

        let directory = try TemporaryDirectory()
        let recipe = recipe(scheme, save: directory.path("run"))
        let first = try Run(recipe, type)
        var steps = 0
        let outcome = try first.trainer.run {
            steps += 1
            return steps == 3
        }
        #expect(outcome.end == .interrupted && outcome.iteration == 3)
        let second = try Run(recipe, type)
        #expect(try second.trainer.run().iteration == 6)
        #expect(first.log.losses + second.log.losses == whole.log.losses)
        #expect(second.numbers == whole.numbers)
        #expect(second.log.steps.last?.consumedSamples == 24)
        #expect(first.log.finished == 1)
        let kept = try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration)
        #expect(kept == [2, 3, 4, 6])
    }

    @Test func onlyTheLastCheckpointsAreKept() throws {
        let directory = try TemporaryDirectory()
        var recipe = recipe(save: directory.path("run"))
        (recipe.checkpoint.saveInterval, recipe.checkpoint.mostRecentK) = (1, 2)
        _ = try Run(recipe).trainer.run()
        #expect(try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration) == [5, 6])
        let health = try NativeCheckpoint.check(directory.path("run"))
        #expect(health.corruptFiles.isEmpty)
    }

    @Test(arguments: ["mistral", "gemma3"]) func theCheckpointOfARunConvertsLikeAnyOther(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let model = try bridge.toModel(on: Self.engine)
        for parameter in model.parameters {
            parameter.makeWritable()
            Self.engine.affine(parameter.tensor, scale: 1.25, shift: 0, into: parameter.tensor)
        }
        let state = TrainingState(parameters: model.parameters, moments: [])
        try bridge.save(state, to: directory.path("run"), iteration: 7, files: [("note.txt", Array("hello".utf8))])
        let saved = try AutoBridge.fromMegatron(directory.path("run"))
        try saved.exportCheckpoint(from: directory.path("run"), to: directory.path("hf"))
        let exported = try AutoBridge.fromHF(directory.path("hf")).toModel(on: Self.engine)
        let live = try saved.toModel(weights: directory.path("run"), on: Self.engine)
        let batch = TokenBatch(tokens: [20, 33, 47, 91])
        let expected = try model.forward(batch).logits.floats()
        #expect(try exported.forward(batch).logits.floats() == expected)
        #expect(try live.forward(batch).logits.floats() == expected)
        // A quarter is exact in every type, so nothing but the numbers may have changed.
        #expect(FileManager.default.fileExists(atPath: directory.path("run/iter_0000007/note.txt")))
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora], [false, true])
    func adaptersGoOutAndComeBack(_ scheme: Recipe.PEFTSection.Scheme, _ isCanonical: Bool) throws {
        let directory = try TemporaryDirectory()
        var recipe = recipe(scheme, save: directory.path("run"))
        recipe.peft.canonical = isCanonical
        if isCanonical { recipe.peft.targetModules = ["linear_q", "linear_v", "linear_fc1", "linear_fc2"] }
        let run = try Run(recipe)
        let batch = Rows().batch(first: 100, count: 2).tokens
        let untouched = try run.model.forward(batch).logits.floats()
        _ = try run.trainer.run()
        let expected = try run.model.forward(batch).logits.floats()
        #expect(expected != untouched)

        let adapters = try #require(run.adapters)
        try run.bridge.exportAdapter(adapters, on: run.model, to: directory.path("peft"), baseModel: "toys/mistral")
        for path in ["peft", "run"] {
            let model = try run.bridge.toModel(elementType: .float32, on: Self.engine)
            let loaded = try run.bridge.loadAdapters(from: directory.path(path), on: model)
            #expect(try model.forward(batch).logits.floats() == expected, "\(path)")
            // What is merged computes the same without adapters.
            let merged = TrainingState(parameters: loaded.merged(into: model), moments: [])
            try run.bridge.save(merged, to: directory.path("merged-\(path)"), iteration: 0, files: [])
            let plain = try run.bridge.toModel(
                weights: directory.path("merged-\(path)"),
                elementType: .float32,
                on: Self.engine
            )
            let (difference, scale) = gap(try plain.forward(batch).logits.floats(), expected)
            #expect(difference <= 1e-5 * scale, "\(path)")
        }
        // A checkpoint of adapters is exported like any other: with the model that it belongs to.
        #expect(AutoBridge.holdsAdapter(directory.path("run")))
        try run.bridge.exportMerged(from: directory.path("run"), to: directory.path("hf"), on: Self.engine)
        let exported = try AutoBridge.fromHF(directory.path("hf")).toModel(elementType: .float32, on: Self.engine)
        let (apart, size) = gap(try exported.forward(batch).logits.floats(), expected)
        // The model's own type is bfloat16, to which merged weights are rounded.
        #expect(apart <= 0.05 * size)
        // The run's checkpoint holds the adapters alone.
        let files = try FileManager.default.subpathsOfDirectory(atPath: directory.path("run/iter_0000006"))
        let weights = try #require(files.first { $0.hasPrefix("weights_") })
        let names = try SafetensorsFile(path: directory.path("run/iter_0000006/\(weights)")).tensors.map(\.name)
        #expect(!names.isEmpty && names.allSatisfy { $0.contains(".adapter.") })
    }

    @Test func theMeanIsOverTokensUnlessAskedOtherwise() throws {
        func loss(_ meanOfMeans: Bool) throws -> (Double, Double) {
            var recipe = recipe()
            (recipe.train.trainIters, recipe.model.calculatePerTokenLoss) = (1, !meanOfMeans)
            let run = try Run(recipe)
            let parts = try [0, 2].map { first -> (sum: Double, count: Double) in
                let batch = Rows().batch(first: first, count: 2)
                return (
                    Double(try run.model.loss(batch.tokens, targets: batch.targets).item), Double(batch.supervisedCount)
                )
            }
            _ = try run.trainer.run()
            let expected =
                meanOfMeans
                ? parts.reduce(0) { $0 + $1.sum / $1.count } / 2
                : parts.reduce(0) { $0 + $1.sum } / parts.reduce(0) { $0 + $1.count }
            return (run.log.losses[0], expected)
        }
        let (global, means) = (try loss(false), try loss(true))
        #expect(abs(global.0 - global.1) < 1e-6)
        #expect(abs(means.0 - means.1) < 1e-6)
        #expect(abs(global.0 - means.0) > 1e-4)
    }

    @Test func aModelOfNaNsEndsTheRun() throws {
        var recipe = recipe()
        recipe.train.maxSkippedIters = 3
        let run = try Run(recipe)
        let norm = run.model.decoder.finalNorm.weight.tensor
        Self.engine.fill(norm, with: .nan)
        #expect {
            try run.trainer.run()
        } throws: {
            ($0 as? BridgeError)?.code == .trainingDiverged
        }
        #expect(run.log.steps.map(\.nanIterations) == [1, 2])
    }

    /// A run too short for the limit of skipped steps has done nothing either.
    @Test func aRunWithoutAnyFiniteStepIsAnError() throws {
        var recipe = recipe()
        recipe.train.trainIters = 2
        let run = try Run(recipe)
        Self.engine.fill(run.model.decoder.finalNorm.weight.tensor, with: .nan)
        let error = #expect(throws: BridgeError.self) { try run.trainer.run() }
        #expect(error?.code == .trainingDiverged)
        #expect(error?.message.hasPrefix("none of the 2 steps had a finite loss and gradient norm") == true)
    }

    /// With a rate of 0 no validation is better than the first.
    @Test func aRunWithoutASmallerLossEndsAndKeepsTheBest() throws {
        let directory = try TemporaryDirectory()
        var recipe = recipe(save: directory.path("run"))
        (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.scheduler.lrWarmupIters) = (1e-30, 0, 0)
        (recipe.train.trainIters, recipe.train.evalInterval, recipe.train.evalIters) = (20, 2, 1)
        (recipe.train.patience, recipe.checkpoint.keepBest, recipe.checkpoint.mostRecentK) = (3, true, 1)
        (recipe.checkpoint.saveInterval, recipe.checkpoint.saveFirstStep) = (4, true)
        let outcome = try Run(recipe, validation: Rows(length: 7)).trainer.run()
        #expect(outcome.end == .patience && outcome.iteration == 8)
        #expect(outcome.best?.iteration == 2)
        #expect(try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration) == [2, 8])
        // The same run again has nothing left to do.
        let again = try Run(recipe, validation: Rows(length: 7)).trainer.run()
        #expect(again.end == .patience && again.stepsDone == 0 && again.iteration == 8 && again.best == outcome.best)
        // The count of validations is in the checkpoint.
        recipe.train.patience = 5
        let later = try Run(recipe, validation: Rows(length: 7)).trainer.run()
        #expect(later.end == .patience && later.iteration == 12 && later.best == outcome.best)
    }

    /// A run that learns its own validation samples has its best validation last.
    @Test func theFirstStepAndTheBestValidationsAreSaved() throws {
        let directory = try TemporaryDirectory()
        var recipe = recipe(save: directory.path("run"))
        (recipe.train.trainIters, recipe.train.evalInterval, recipe.train.evalIters) = (5, 2, 2)
        (recipe.checkpoint.keepBest, recipe.checkpoint.saveFirstStep, recipe.checkpoint.saveInterval) = (
            true, true, 100
        )
        let run = try Run(recipe, validation: Rows())
        let outcome = try run.trainer.run()
        #expect(run.log.validations.map(\.loss) == run.log.validations.map(\.loss).sorted(by: >))
        #expect(outcome.best?.value == run.log.validations.last?.loss && outcome.best?.iteration == 5)
        #expect(try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration) == [1, 2, 4, 5])
    }

    /// The largest token accuracy, not the smallest loss, and the same after a resume.
    @Test func theBestValidationIsThatOfTheMetric() throws {
        let directory = try TemporaryDirectory()
        func made(_ save: String) -> Recipe {
            var recipe = recipe(save: save)
            (recipe.optimizer.lr, recipe.optimizer.minLR) = (2e-2, 2e-2)
            (recipe.train.trainIters, recipe.train.evalInterval, recipe.train.evalIters) = (12, 1, 2)
            (recipe.train.metricForBestModel, recipe.checkpoint.keepBest) = (.tokenAccuracy, true)
            (recipe.checkpoint.saveInterval, recipe.checkpoint.mostRecentK) = (6, 1)
            return recipe
        }
        let run = try Run(made(directory.path("run")), samples: Rows(words: 5), validation: Rows(length: 7, words: 5))
        let outcome = try run.trainer.run()
        let values = try run.log.validations.map { try #require($0.tokenAccuracy) }
        let highest = try #require(values.max())
        let first = try #require(values.firstIndex(of: highest))
        #expect(highest > values[0])
        #expect(outcome.best == RunProgress.Best(iteration: first + 1, value: highest, metric: .tokenAccuracy))
        let kept = try NativeCheckpoint.iterations(in: directory.path("run")).map(\.iteration)
        #expect(kept.contains(first + 1) && kept.contains(12))
        var half = made(directory.path("parts"))
        half.train.exitInterval = 6
        _ = try Run(half, samples: Rows(words: 5), validation: Rows(length: 7, words: 5)).trainer.run()
        let rest = try Run(
            made(directory.path("parts")),
            samples: Rows(words: 5),
            validation: Rows(length: 7, words: 5)
        ).trainer.run()
        #expect(rest.best == outcome.best)
        // By another metric none was the best so far.
        var other = made(directory.path("parts"))
        (other.train.metricForBestModel, other.train.trainIters) = (.loss, 13)
        let last = try Run(other, samples: Rows(words: 5), validation: Rows(length: 7, words: 5)).trainer.run()
        #expect(last.best?.iteration == 13 && last.best?.metric == .loss)
    }

    /// A validation with more batches than there are samples takes each sample once, also in an incomplete last batch.
    @Test func aValidationIsAtMostOnePass() throws {
        func loss(samples: Int?, iterations: Int, batch: (Int, Int)) throws -> (loss: Double, read: [Int]) {
            var recipe = recipe()
            (recipe.train.trainIters, recipe.train.evalInterval, recipe.train.evalIters) = (1, 1, iterations)
            (recipe.train.globalBatchSize, recipe.train.microBatchSize) = batch
            // The parameters of all runs are those of the model.
            (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.optimizer.weightDecay) = (1e-30, 1e-30, 0)
            let read = Mutex<[Int]>([])
            let rows = Rows(sampleCount: samples) { range in read.withLock { $0 += Array(range) } }
            let run = try Run(recipe, validation: rows)
            _ = try run.trainer.run()
            return (try #require(run.log.validations.first).loss, read.withLock(\.self))
        }
        let whole = try loss(samples: nil, iterations: 1, batch: (5, 5))
        let capped = try loss(samples: 5, iterations: 9, batch: (4, 2))
        #expect(whole.read == [0, 1, 2, 3, 4] && capped.read == whole.read)
        #expect(abs(capped.loss - whole.loss) < 1e-6 * whole.loss, "\(capped.loss), \(whole.loss)")
        #expect(try loss(samples: 5, iterations: 1, batch: (4, 2)).read == [0, 1, 2, 3])
    }

    @Test func aValidationChangesNoParameter() throws {
        var recipe = recipe()
        (recipe.train.evalInterval, recipe.train.evalIters) = (3, 2)
        let run = try Run(recipe, validation: Rows(length: 7))
        let outcome = try run.trainer.run()
        let without = try Run(self.recipe())
        _ = try without.trainer.run()
        #expect(run.log.losses == without.log.losses)
        #expect(run.log.validations.map(\.iteration) == [3, 6])
        var (sum, count) = (0.0, 0.0)
        for first in stride(from: 0, to: 8, by: 2) {
            let batch = Rows(length: 7).batch(first: first, count: 2)
            sum += Double(try run.model.loss(batch.tokens, targets: batch.targets).item)
            count += Double(batch.supervisedCount)
        }
        let last = try #require(outcome.validation)
        #expect(abs(last.loss - sum / count) < 1e-6)
        let perplexity = try #require(last.perplexity)
        #expect(abs(perplexity - exp(sum / count)) < 1e-3 * perplexity)
    }

    /// Cannot be written any more from some step on.
    private final class FullDisk: TrainerCallback {
        var steps = 0
        func onStepEnd(_ step: StepRecord) throws {
            steps += 1
            if steps == 2 { throw BridgeError(.fileSystem, "cannot write: no space left") }
        }
    }

    @Test func aLogThatCannotBeWrittenEndsNoRun() throws {
        let (disk, directory) = (FullDisk(), try TemporaryDirectory())
        let run = try Run(recipe(save: directory.path("run")), callbacks: [disk])
        #expect(try run.trainer.run().iteration == 6)
        #expect(disk.steps == 2 && run.log.steps.count == 6 && run.log.finished == 1)
        #expect(try NativeCheckpoint.iterations(in: directory.path("run")).last?.iteration == 6)
    }

    /// Notes each event in a word.
    private final class Events: TrainerCallback {
        var words: [String] = []
        func onTrainStart(_ run: RunMetadata, after iteration: Int) { words.append("\(run.name) after \(iteration)") }
        func onStepEnd(_ step: StepRecord) { words.append("step \(step.iteration)") }
        func onEvaluate(_ validation: ValidationRecord) { words.append("validation \(validation.iteration)") }
        func onSave(_ checkpoint: SavedCheckpoint) {
            words.append(
                "save \(Files.name(of: checkpoint.path))\(Files.exists(checkpoint.path) ? "" : " which is missing")"
            )
        }
        func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) {
            switch result {
            case .success(let outcome): words.append("\(outcome.end) \(outcome.iteration)")
            case .failure(let error): words.append("\((error as? BridgeError)?.code.description ?? "?")")
            }
        }
    }

    @Test func theEventsOfARunAreInOrder() throws {
        let (events, directory) = (Events(), try TemporaryDirectory())
        var recipe = recipe(save: directory.path("run"))
        (recipe.train.trainIters, recipe.train.evalInterval, recipe.train.evalIters) = (4, 2, 1)
        recipe.checkpoint.asyncSave = false
        _ = try Run(recipe, validation: Rows(), callbacks: [events]).trainer.run()
        let steps = ["step 1", "step 2", "validation 2", "save iter_0000002", "step 3", "step 4", "validation 4"]
        #expect(events.words == ["test after 0"] + steps + ["save iter_0000004", "done 4"])
        // In the background a checkpoint is complete during a later step, or at the end.
        recipe.checkpoint.asyncSave = true
        (recipe.train.trainIters, recipe.checkpoint.saveInterval) = (6, 1)
        let later = Events()
        _ = try Run(recipe, validation: Rows(), callbacks: [later]).trainer.run()
        #expect(later.words.first == "test after 4" && later.words.last == "done 6")
        #expect(later.words.filter { $0.hasPrefix("save") } == ["save iter_0000005", "save iter_0000006"])
    }

    @Test func aCallbackThatCannotStartEndsTheRunBeforeItsFirstStep() throws {
        final class Absent: TrainerCallback {
            func onTrainStart(_ run: RunMetadata, after iteration: Int) throws {
                throw BridgeError(.network, "no server")
            }
        }
        let (before, after) = (Events(), Events())
        let run = try Run(recipe(), callbacks: [before, Absent(), after])
        #expect(throws: BridgeError.self) { try run.trainer.run() }
        #expect(before.words == ["test after 0", "network"])
        #expect(after.words.isEmpty && run.log.steps.isEmpty)
    }

    @Test func aRunThatFailsTellsItsCallbacks() throws {
        let events = Events()
        let run = try Run(recipe(), samples: Rows(silentFrom: 0), callbacks: [events])
        #expect(throws: BridgeError.self) { try run.trainer.run() }
        #expect(events.words.first == "test after 0" && events.words.last == "bad_argument")
    }

    @Test func samplesWithoutSupervisedTokensChangeNoParameter() throws {
        let run = try Run(recipe(), samples: Rows(silentFrom: 8))
        _ = try run.trainer.run()
        #expect(run.log.steps.map(\.trainedTokens).suffix(4) == [0, 0, 0, 0])
        #expect(run.log.steps.allSatisfy { $0.loss.isFinite && $0.gradientNorm.isFinite })
        // They move nothing, also not by what the optimizer remembers or lets decay.
        #expect(run.log.steps.map(\.skippedIterations) == [0, 0, 1, 2, 3, 4])
        var short = recipe()
        short.train.trainIters = 2
        (short.scheduler.lrDecayIters, short.scheduler.lrWarmupIters) = (6, 2)
        let first = try Run(short, samples: Rows(silentFrom: 8))
        _ = try first.trainer.run()
        #expect(first.log.losses == Array(run.log.losses.prefix(2)) && first.numbers == run.numbers)
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"]) func aModelFromItsConfigurationKnowsNothing(_ name: String)
        throws
    {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let model = try bridge.initializedModel(seed: 5, elementType: .float32, on: Self.engine)
        let batch = Rows(words: 600).batch(first: 0, count: 4)
        // With small weights all words are about as likely, which is the logarithm of their number.
        let vocabulary = Double(model.decoder.embedding.tensor.shape[0])
        let loss = Double(try model.loss(batch.tokens, targets: batch.targets).item) / Double(batch.supervisedCount)
        #expect(abs(loss - log(vocabulary)) < 0.2)
        let again = try bridge.initializedModel(seed: 5, elementType: .float32, on: Self.engine)
        let other = try bridge.initializedModel(seed: 6, elementType: .float32, on: Self.engine)
        let weights = [model, again, other].map { $0.decoder.layers[0].down.weight.tensor.floats() }
        #expect(weights[0] == weights[1] && weights[0] != weights[2])
        let deviation = (weights[0].reduce(0) { $0 + Double($1) * Double($1) } / Double(weights[0].count)).squareRoot()
        #expect(abs(deviation - 0.02) < 0.002)
        // Every parameter of the table has its place.
        #expect(Set(model.parameters.map(\.name)) == Set(try bridge.toModel(on: Self.engine).parameters.map(\.name)))
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"]) func anOutlineHasTheShapesOfTheModel(_ name: String) throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        func shapes(_ model: any CausalModel) -> [String: [Int]] {
            Dictionary(model.parameters.map { ($0.name, $0.tensor.shape) }) { first, _ in first }
        }
        let outline = try bridge.shapeOnlyModel(elementType: .bfloat16, on: Self.engine)
        #expect(shapes(outline) == shapes(try bridge.toModel(elementType: .bfloat16, on: Self.engine)))
        #expect(outline.parameters.allSatisfy { $0.tensor.elementType == .bfloat16 })
    }

    @Test func nothingToTrainIsAnError() throws {
        var recipe = recipe()
        recipe.model.freezeLanguageModel = true
        #expect { try Run(recipe) } throws: {
            ($0 as? BridgeError)?.message.contains("no parameter is trainable") == true
        }
    }
}
