import BridgeCore
import Communication
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// A row that cannot be used in a run of several ranks, each a thread: no rank applies the step, and all save the ones before it.
@Suite struct DataFaultTests {
    /// Rows of tokens that follow from their position, of which one may be bad.
    private struct Rows: BatchSource {
        var length = 8
        var bad: Int?

        func batch(first: Int, count: Int) throws -> TrainingBatch {
            if let bad, (first..<first + count).contains(bad) {
                throw BridgeError(.corruptInput, "row \(bad) is bad")
            }
            let tokens = (0..<count * length).map { place -> Int32 in
                let (sample, location) = (first + place / length, place % length)
                return Int32(20 + (sample * 37 + location * location * 11) % 200)
            }
            let targets = tokens.indices.map { ($0 + 1) % length == 0 ? -100 : tokens[$0 + 1] }
            return TrainingBatch(tokens: TokenBatch(tokens: tokens, batch: count), targets: targets)
        }
    }

    private final class Log: TrainerCallback {
        var losses: [Double] = []
        func onStepEnd(_ step: StepRecord) { losses.append(step.loss) }
    }

    /// What a rank's run ended with.
    private struct Outcome: Sendable {
        var error: BridgeError?
        var losses: [Double]
    }

    static let layouts = [
        ParallelLayout(), ParallelLayout(data: 2), ParallelLayout(tensor: 2), ParallelLayout(pipeline: 2),
        ParallelLayout(context: 2), ParallelLayout(data: 2, pipeline: 2),
    ]

    /// Six steps of four samples on this rank.
    private static func run(
        _ layout: ParallelLayout,
        in world: any RankWorld,
        rows: Rows,
        validation: Rows? = nil,
        save: String
    ) throws -> Outcome {
        var recipe = Recipe(name: "test")
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (6, 4, 1)
        (recipe.train.evalInterval, recipe.train.evalIters) = (validation == nil ? 0 : 2, 1)
        (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.scheduler.lrWarmupIters) = (1e-3, 1e-4, 2)
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (save, 100)
        recipe.model.tensorModelParallelSize = layout.tensor
        (recipe.model.pipelineModelParallelSize, recipe.model.contextParallelSize) = (layout.pipeline, layout.context)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let groups = try ProcessGroupCollection(layout, in: world)
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let model = try bridge.toModel(
            elementType: .float32,
            on: TestEngine.cpu(threadCount: 1),
            parallelism: bridge.layoutCheck(recipe, ranks: layout.rankCount).parallelism(groups)
        )
        try model.freeze(by: recipe)
        let log = Log()
        let trainer = try Trainer(
            Trainer.Components(
                recipe: recipe,
                model: model,
                samples: rows,
                validation: validation.map { [("rows", $0)] } ?? [],
                callbacks: [log],
                checkpoints: save.isEmpty
                    ? nil
                    : RunCheckpoints(
                        bridge,
                        recipe,
                        directory: RunDirectory(recipe.checkpoint, ranks: groups.world),
                        configuration: [],
                        groups: groups,
                        logger: logger
                    ),
                metadata: RunMetadata(name: recipe.name, metadata: [])
            ),
            logger: logger
        )
        do { _ = try trainer.run() } catch let error as BridgeError {
            return Outcome(error: error, losses: log.losses)
        }
        return Outcome(losses: log.losses)
    }

    /// Sample 9 is in the third step, in the second micro-batch; with two copies of the model in the second one's.
    @Test(arguments: layouts) func theStepsBeforeABadRowAreSavedByAllRanks(_ layout: ParallelLayout) throws {
        let directory = try TemporaryDirectory()
        let save = directory.path("run")
        let whole = try ThreadWorld.run(layout.rankCount) { try Self.run(layout, in: $0, rows: Rows(), save: "") }
        let failed = try ThreadWorld.run(layout.rankCount) {
            try Self.run(layout, in: $0, rows: Rows(bad: 9), save: save)
        }
        let note =
            "row 9 is bad; the 2 steps before it are saved in \(save)/iter_0000002, from which the same command resumes"
        for (rank, outcome) in failed.enumerated() {
            let error = try #require(outcome.error)
            #expect(outcome.losses == Array(whole[rank].losses.prefix(2)))
            switch error.code {
            case .corruptInput: #expect(error.message == note)
            default: #expect(error.code == .reportedByOtherRank && error.message.hasSuffix(": \(note)"), "\(error)")
            }
        }
        // The ranks of one copy read the same rows.
        #expect(failed.count { $0.error?.code == .corruptInput } == layout.rankCount / layout.data)
        #expect(try NativeCheckpoint.iterations(in: save).map(\.iteration) == [2])
        let resumed = try ThreadWorld.run(layout.rankCount) { try Self.run(layout, in: $0, rows: Rows(), save: save) }
        for (rank, outcome) in resumed.enumerated() {
            #expect(outcome.error == nil && outcome.losses == Array(whole[rank].losses.dropFirst(2)))
        }
    }

    @Test(arguments: [ParallelLayout(), ParallelLayout(data: 2), ParallelLayout(pipeline: 2)])
    func aBadRowOfTheValidationLosesNoStep(_ layout: ParallelLayout) throws {
        let directory = try TemporaryDirectory()
        let save = directory.path("run")
        let found = try ThreadWorld.run(layout.rankCount) {
            try Self.run(layout, in: $0, rows: Rows(), validation: Rows(bad: 3), save: save)
        }
        for outcome in found {
            #expect(outcome.error?.message.contains("row 3 is bad; the 2 steps before it are saved") == true)
        }
        #expect(try NativeCheckpoint.iterations(in: save).map(\.iteration) == [2])
    }

    /// As from a disk that fails: the rank that waits for the other reports less than that one.
    @Test(arguments: [ParallelLayout(tensor: 2), ParallelLayout(pipeline: 2)])
    func aRowThatOneRankOfACopyCannotReadIsTheError(_ layout: ParallelLayout) throws {
        let directory = try TemporaryDirectory()
        let found = try ThreadWorld.run(2, timeout: RankTimeout(limit: .seconds(2))) { world in
            let rows = Rows(bad: world.rank == 1 ? 9 : nil)
            return try Self.run(layout, in: world, rows: rows, save: directory.path("run"))
        }
        #expect(found[0].error?.code == .rankFailed)
        #expect(found[1].error?.code == .corruptInput && found[1].error?.message == "row 9 is bad")
        for outcome in found { #expect(outcome.losses.count == 2) }
    }
}
