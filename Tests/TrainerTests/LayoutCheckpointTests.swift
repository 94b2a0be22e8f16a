import BridgeCore
import Communication
import Foundation
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Checkpoints that ranks of one layout write together and ranks of another load, each rank a thread.
@Suite struct LayoutCheckpointTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var written: ParallelLayout
        var read: ParallelLayout
        var scheme = Recipe.PEFTSection.Scheme.none
        var container = Recipe.CheckpointSection.Container.native

        var testDescription: String { "\(name) \(scheme) \(container): \(written) -> \(read)" }
    }

    static let cases = [
        Case(
            name: "mistral",
            written: ParallelLayout(tensor: 2, data: 2),
            read: ParallelLayout(tensor: 4, pipeline: 2)
        ),
        Case(name: "ministral3", written: ParallelLayout(tensor: 8), read: ParallelLayout(data: 3)),
        Case(name: "gemma3", written: ParallelLayout(context: 2, pipeline: 3), read: ParallelLayout()),
        Case(name: "gemma3", written: ParallelLayout(), read: ParallelLayout(tensor: 2, data: 2, pipeline: 2)),
        Case(
            name: "ministral3",
            written: ParallelLayout(tensor: 2, pipeline: 2),
            read: ParallelLayout(tensor: 4),
            scheme: .dora
        ),
        Case(
            name: "gemma3",
            written: ParallelLayout(tensor: 2, data: 2),
            read: ParallelLayout(pipeline: 2),
            scheme: .lora
        ),
        Case(
            name: "mistral",
            written: ParallelLayout(tensor: 2, data: 2),
            read: ParallelLayout(tensor: 4, pipeline: 2),
            container: .torchDist
        ),
        Case(
            name: "ministral3",
            written: ParallelLayout(tensor: 8),
            read: ParallelLayout(data: 3),
            container: .torchDist
        ),
        Case(
            name: "gemma3",
            written: ParallelLayout(context: 2, pipeline: 3),
            read: ParallelLayout(),
            container: .torchDist
        ),
        Case(
            name: "gemma3",
            written: ParallelLayout(),
            read: ParallelLayout(tensor: 2, data: 2, pipeline: 2),
            container: .torchDist
        ),
        Case(
            name: "ministral3",
            written: ParallelLayout(tensor: 2, pipeline: 2),
            read: ParallelLayout(tensor: 4),
            scheme: .dora,
            container: .torchDist
        ),
        Case(
            name: "gemma3",
            written: ParallelLayout(tensor: 2, data: 2),
            read: ParallelLayout(pipeline: 2),
            scheme: .lora,
            container: .torchDist
        ),
    ]

    /// A model with its optimizer, on one rank.
    private struct Run {
        let bridge: AutoBridge
        let groups: ProcessGroupCollection
        let model: any CausalModel
        let adapters: AdapterSet?
        let optimizer: Optimizer
        let container: RunContainer

        init(_ test: Case, _ layout: ParallelLayout, in world: any RankWorld) throws {
            let engine = TestEngine.cpu(threadCount: 1)
            var recipe = Recipe(name: "test")
            recipe.peft.scheme = test.scheme
            (recipe.model.tensorModelParallelSize, recipe.model.pipelineModelParallelSize) = (
                layout.tensor, layout.pipeline
            )
            (recipe.model.contextParallelSize, recipe.train.globalBatchSize) = (layout.context, layout.rankCount)
            container =
                test.container == .native
                ? .native
                : .torchDist(MegatronRunState(steps: 5, consumedSamples: 40, optimizerSteps: 4, recipe: recipe))
            groups = try ProcessGroupCollection(layout, in: world)
            bridge = try AutoBridge.fromHF(Fixtures.checkpoint(test.name))
            model = try bridge.toModel(
                elementType: .bfloat16,
                on: engine,
                parallelism: bridge.layoutCheck(recipe, ranks: layout.rankCount).parallelism(groups)
            )
            try model.freeze(by: recipe)
            adapters = test.scheme == .none ? nil : try AdapterSet(recipe.peft, on: model, seed: 3)
            optimizer = try Optimizer(
                recipe.optimizer,
                model.parameters + (adapters?.parameters ?? []),
                on: engine,
                groups: groups
            )
        }

        var state: TrainingState {
            TrainingState(
                parameters: adapters?.parameters ?? model.parameters,
                adapters: adapters,
                moments: optimizer.moments,
                isDistributed: optimizer.isDistributed
            )
        }

        /// Fills every value with a number that depends on its name and its position in the whole matrix.
        func fill() {
            func fill(_ tensor: Tensor, _ name: String, _ shard: ParameterShard?) {
                let shape = shard?.shape ?? tensor.shape
                let (height, width) = (shape.first ?? 1, shape.dropFirst().reduce(1, *))
                let (rows, columns) = (shard?.rows ?? 0..<height, shard?.columns ?? 0..<width)
                let seed = name.utf8.reduce(7) { ($0 * 31 + Int($1)) % 251 }
                let values = rows.flatMap { row in columns.map { Float((seed + row * width + $0) % 251) } }
                guard !values.isEmpty else { return }
                tensor.engine.copy(Tensor(values, shape: tensor.shape, on: tensor.engine), into: tensor)
            }
            for parameter in state.parameters { fill(parameter.tensor.detached, parameter.name, parameter.shard) }
            for moment in state.moments { fill(moment.tensor, moment.kind + moment.parameter, moment.shard) }
        }

        /// The number of tensors whose values differ from those of ``fill()``.
        func differences() -> Int {
            let found = state.parameters.map { $0.tensor.floats() } + state.moments.map { $0.tensor.floats() }
            fill()
            let expected = state.parameters.map { $0.tensor.floats() } + state.moments.map { $0.tensor.floats() }
            return zip(found, expected).count { $0.0 != $0.1 }
        }
    }

    @Test(arguments: cases)
    func aLayoutLoadsWhatAnotherHasWritten(_ test: Case) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("run")
        func run(_ layout: ParallelLayout, _ body: @escaping @Sendable (Run) throws -> Int) throws -> [Int] {
            guard layout.rankCount > 1 else { return [try body(Run(test, layout, in: SingleRankWorld()))] }
            return try ThreadWorld.run(layout.rankCount) { try body(Run(test, layout, in: $0)) }
        }
        _ = try run(test.written) { run in
            run.fill()
            try run.bridge.save(
                run.state,
                to: path,
                iteration: 5,
                files: [],
                container: run.container,
                groups: run.groups
            )
            return 0
        }
        #expect(try NativeCheckpoint.check(path).corruptFiles.isEmpty)
        let progress = try AutoBridge.megatronProgress("\(path)/iter_0000005")
        #expect(progress?.steps == (test.container == .native ? nil : 5))
        #expect(progress?.consumedSamples == (test.container == .native ? nil : 40))
        #expect(progress?.optimizerSteps == (test.container == .native ? nil : 4))
        let differences = try run(test.read) { run in
            try run.bridge.restore(run.state, from: "\(path)/iter_0000005", groups: run.groups)
            return run.differences()
        }
        #expect(differences == [Int](repeating: 0, count: test.read.rankCount))
    }

    /// The other ranks learn of the error, and nothing is left of the checkpoint.
    @Test(arguments: [Recipe.CheckpointSection.Container.native, .torchDist])
    func aRankThatCannotWriteEndsTheSave(_ container: Recipe.CheckpointSection.Container) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("run")
        let test = Case(
            name: "mistral",
            written: ParallelLayout(tensor: 2),
            read: ParallelLayout(),
            container: container
        )
        let errors = try ThreadWorld.run(2) { world -> String in
            let run = try Run(test, test.written, in: world)
            var state = run.state
            // A parameter that the family's table does not have.
            if world.rank == 1 { state.parameters.append(Parameter("unknown.weight", run.model.parameters[0].tensor)) }
            do {
                try run.bridge.save(
                    state,
                    to: path,
                    iteration: 5,
                    files: [],
                    container: run.container,
                    groups: run.groups
                )
                return "saved"
            } catch let error as BridgeError { return error.message }
        }
        #expect(errors[1].contains("unknown.weight"))
        #expect(errors[0].hasPrefix("rank 1: ") && errors[0].contains("unknown.weight"))
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
