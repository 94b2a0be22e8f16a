import BridgeCore
import Communication
import JSONTree
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Checkpoints of two ranks, of which only the newest is kept, and what their manifests tell.
@Suite struct RetentionTests {
    /// A rank's model and its checkpoints.
    private struct Run {
        let groups: ProcessGroupCollection
        let checkpoints: RunCheckpoints
        let state: TrainingState

        init(_ layout: ParallelLayout, _ recipe: Recipe, in world: any RankWorld) throws {
            groups = try ProcessGroupCollection(layout, in: world)
            let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3"))
            let model = try bridge.toModel(
                elementType: .float32,
                on: TestEngine.cpu(threadCount: 1),
                parallelism: bridge.layoutCheck(recipe, ranks: layout.rankCount).parallelism(groups)
            )
            state = TrainingState(
                parameters: model.parameters,
                moments: [],
                rankLayers: model.decoder.parallelism.rankLayers
            )
            checkpoints = RunCheckpoints(
                bridge,
                recipe,
                directory: try RunDirectory(recipe.checkpoint, ranks: groups.world),
                configuration: [],
                groups: groups,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
        }

        func save(_ iteration: Int) throws {
            var progress = RunProgress()
            progress.iteration = iteration
            try checkpoints.save(state, progress, isEnd: false)
        }
    }

    private func recipe(_ directory: TemporaryDirectory) -> Recipe {
        var recipe = Recipe(name: "test")
        (recipe.checkpoint.save, recipe.checkpoint.asyncSave) = (directory.path("run"), true)
        recipe.checkpoint.mostRecentK = 1
        return recipe
    }

    /// The iterations with a manifest, and whether all their files are as written.
    private static func complete(_ path: String) throws -> (iterations: [Int], isWhole: Bool) {
        let found = try NativeCheckpoint.iterations(in: path)
        let isWhole = try found.allSatisfy { try NativeCheckpoint.check($0.path).corruptFiles.isEmpty }
        return (found.map(\.iteration), isWhole)
    }

    /// With `most_recent_k=1` the second save is in flight on one rank, and the other has not begun it.
    @Test func theOnlyCompleteCheckpointStaysWhileTheNextIsInFlight() throws {
        let directory = try TemporaryDirectory()
        let (recipe, path) = (recipe(directory), directory.path("run"))
        let found = try ThreadWorld.run(2) { world in
            let run = try Run(ParallelLayout(data: 2), recipe, in: world)
            try run.save(1)
            try run.checkpoints.wait()
            if world.rank == 0 { try run.save(2) }
            // Rank 0 has begun and waits for the file of rank 1, which looks.
            try run.groups.world.barrier()
            let during = world.rank == 1 ? try Self.complete(path) : nil
            if world.rank == 1 { try run.save(2) }
            // The third waits for the second on each rank.
            try run.save(3)
            try run.checkpoints.wait()
            try run.groups.world.barrier()
            return (during: during, after: try Self.complete(path))
        }
        #expect(found[1].during?.iterations == [1] && found[1].during?.isWhole == true)
        for rank in found { #expect(rank.after.iterations == [3] && rank.after.isWhole) }
    }

    /// Those after the named one are of a run that was taken back; they neither go nor count.
    @Test func iterationsAfterTheNamedOneStay() throws {
        let directory = try TemporaryDirectory()
        var recipe = recipe(directory)
        recipe.checkpoint.mostRecentK = 10
        let run = try Run(ParallelLayout(), recipe, in: SingleRankWorld())
        let path = directory.path("run")
        for iteration in 1...5 {
            try run.save(iteration)
            try run.checkpoints.wait()
        }
        try Files.replace("\(path)/latest_checkpointed_iteration.txt", with: Array("3".utf8))
        #expect(try ResumePoint(in: path).iteration == 3)
        #expect(try NativeCheckpoint.prune(path, keeping: 2) == ["\(path)/iter_0000001"])
        #expect(try NativeCheckpoint.prune(path, keeping: 1, best: 3) == [])
        #expect(try Self.complete(path).iterations == [2, 3, 4, 5])
    }

    /// A directory without a manifest is not a checkpoint, whatever its number.
    @Test func anUnfinishedIterationDoesNotCountAsKept() throws {
        let directory = try TemporaryDirectory()
        let run = try Run(ParallelLayout(), recipe(directory), in: SingleRankWorld())
        try run.save(1)
        try run.checkpoints.wait()
        try Files.createDirectory(directory.path("run/iter_0000009"))
        #expect(try NativeCheckpoint.prune(directory.path("run"), keeping: 1).isEmpty)
        #expect(try Self.complete(directory.path("run")).iterations == [1])
    }

    /// The toy has seven layers; a rank of an interleaved pipeline has those of all its virtual stages.
    @Test(arguments: [("", [1, 6]), ("Et*2|t*5L", [2, 5]), ("Et|t*3|t|t*2L", [2, 5])])
    func theManifestHasTheStagesOfTheRun(_ text: String, _ expected: [Int]) throws {
        let directory = try TemporaryDirectory()
        let ranks = 2
        var recipe = recipe(directory)
        recipe.train.globalBatchSize = 4
        recipe.model.pipelineModelParallelSize = ranks
        recipe.model.pipelineModelParallelLayout = text
        if text.isEmpty { recipe.model.numLayersInFirstPipelineStage = 1 }
        let chosen = recipe
        _ = try ThreadWorld.run(ranks) { world in
            let run = try Run(ParallelLayout(pipeline: ranks), chosen, in: world)
            try run.save(7)
            try run.checkpoints.wait()
            try run.groups.world.barrier()
        }
        let manifest = try JSON(contentsOf: directory.path("run/iter_0000007/manifest.json"))
        #expect(manifest[path: "layout.layers_per_stage"]?.array?.compactMap(\.integer) == expected)
    }
}
