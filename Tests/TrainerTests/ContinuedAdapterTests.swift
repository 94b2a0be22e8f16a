import BridgeCore
import Communication
import Foundation
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Runs that begin with an adapter; that they do what PEFT does is in `compare_training.py`.
@Suite struct ContinuedAdapterTests {
    private final class Log: TrainerCallback {
        var losses: [Double] = []
        func onStepEnd(_ step: StepRecord) { losses.append(step.loss) }
    }

    private let scratch: TemporaryDirectory
    private let data: String

    init() throws {
        scratch = try TemporaryDirectory()
        let rows = (0..<8).map { number in
            let ids = (0..<9 + number).map { "\(30 + ($0 * $0 + number) % 190)" }.joined(separator: ",")
            return #"{"input_ids": [\#(ids)], "labels": [\#(ids)]}"#
        }
        data = try scratch.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
    }

    private func recipe(_ scheme: Recipe.PEFTSection.Scheme = .lora, steps: Int = 4, save: String = "") -> Recipe {
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

    private static func run(
        _ recipe: Recipe,
        in world: any RankWorld = SingleRankWorld(),
        body: (TrainingRun) throws -> Void = { _ in }
    ) throws -> [Double] {
        var environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: TestEngine.cpu(threadCount: 1),
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

    /// The adapter of a first run as its checkpoint and in PEFT's format, with the loss at its end.
    private func adapter(_ scheme: Recipe.PEFTSection.Scheme = .lora) throws -> (checkpoint: String, peft: String) {
        let (checkpoint, peft) = (scratch.path("first"), scratch.path("peft"))
        _ = try Self.run(recipe(scheme, save: checkpoint)) { run in
            let adapters = try #require(run.adapters)
            try run.bridge.exportAdapter(adapters, on: run.model, to: peft, baseModel: nil)
        }
        return (checkpoint, peft)
    }

    private func continued(
        _ start: String,
        _ scheme: Recipe.PEFTSection.Scheme = .lora,
        steps: Int = 4,
        save: String = ""
    ) -> Recipe {
        var recipe = recipe(scheme, steps: steps, save: save)
        recipe.peft.adapterNameOrPath = start
        // Those of the adapter hold.
        (recipe.peft.dim, recipe.peft.alpha, recipe.peft.targetModules) = (7, 1, ["linear_fc2"])
        return recipe
    }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was thrown"
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func theFirstLossIsThatOfTheAdapter(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let (checkpoint, peft) = try adapter(scheme)
        // The fifth step of a run of the same rate sees the same samples as the first one, with the adapter of the fourth.
        let longer = try Self.run(recipe(scheme, steps: 5))
        for start in [checkpoint, "\(checkpoint)/iter_0000004", peft] {
            let losses = try Self.run(continued(start, scheme)) { run in
                #expect(run.recipe.peft.dim == 3 && run.recipe.peft.alpha == 9)
                #expect(run.recipe.peft.canonical == (start == peft))
            }
            #expect(losses.count == 4 && losses[0] == longer[4] && losses[0] < longer[0] - 0.1, "\(start)")
        }
    }

    @Test func aResumedRunIsTheUninterruptedOne() throws {
        let (_, peft) = try adapter()
        let whole = try Self.run(continued(peft, steps: 5))
        let save = scratch.path("second")
        var first = continued(peft, steps: 5, save: save)
        first.train.exitInterval = 2
        let parts = try Self.run(first) + Self.run(continued(peft, steps: 5, save: save))
        #expect(parts == whole)
        // The base of what was trained may not change.
        let weights = "\(peft)/adapter_model.safetensors"
        var bytes = try Data(contentsOf: URL(filePath: weights))
        bytes[bytes.count - 1] ^= 1
        try bytes.write(to: URL(filePath: weights))
        #expect(
            message { _ = try Self.run(continued(peft, steps: 6, save: save)) }
                .contains("was trained on other weights: those of \(peft) have changed since")
        )
    }

    @Test func aCheckpointIsContinuedUnderAnyLayout() throws {
        let (checkpoint, peft) = try adapter()
        let expected = try Self.run(continued(checkpoint))
        for (tensor, pipeline) in [(2, 1), (1, 2)] {
            func divided(_ start: String) -> Recipe {
                var recipe = continued(start)
                recipe.model.tensorModelParallelSize = tensor
                recipe.model.pipelineModelParallelSize = pipeline
                return recipe
            }
            let (fromCheckpoint, fromPEFT) = (divided(checkpoint), divided(peft))
            for losses in try ThreadWorld.run(2, { try Self.run(fromCheckpoint, in: $0) }) {
                for (loss, other) in zip(losses, expected) { #expect(abs(loss - other) <= 1e-5 * other) }
            }
            #expect(
                message { _ = try ThreadWorld.run(2) { try Self.run(fromPEFT, in: $0) } }
                    .contains("convert it with 'bridge adapter import'")
            )
        }
    }

    @Test func whatCannotBeContinuedIsRefused() throws {
        let (checkpoint, _) = try adapter()
        #expect(
            message { _ = try Self.run(continued(checkpoint, .dora)) }
                == "peft.scheme is dora, but the adapter \(checkpoint) is lora; set peft.scheme=lora"
        )
        #expect(
            message { _ = try Self.run(continued(scratch.path)) }.contains(
                "an adapter: a directory with adapter_config.json"
            )
        )
        var whole = recipe(save: scratch.path("whole"))
        whole.peft.modulesToSave = ["word_embeddings"]
        _ = try Self.run(whole)
        #expect(
            message { _ = try Self.run(continued(scratch.path("whole"))) }
                .contains("has modules that were trained in full, which no new run continues")
        )
        let keys: Set = ["peft.dim", "peft.target_modules", "peft.dropout"]
        let refused = continued(checkpoint).settingsWithoutEffect(among: keys)
        #expect(refused.map(\.key).sorted() == ["peft.dim", "peft.target_modules"])
        #expect(refused.first?.problem.contains("the adapter of peft.adapter_name_or_path has its own") == true)
    }
}
