import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

@testable import CheckpointFormats
@testable import Conversion
@testable import TorchFiles

/// The state of an optimizer in Megatron-Core's container.
@Suite struct OptimizerStateTests {
    /// The recipe of a run with whole numbers of samples at every mark of its schedule.
    private static var recipe: Recipe {
        var recipe = Recipe(name: "test")
        (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.optimizer.weightDecay) = (3e-4, 3e-5, 0.2)
        (recipe.optimizer.adamBeta1, recipe.optimizer.adamBeta2, recipe.optimizer.adamEps) = (0.85, 0.97, 1e-7)
        (recipe.scheduler.lrWarmupIters, recipe.train.trainIters, recipe.train.globalBatchSize) = (3, 11, 6)
        recipe.scheduler.lrDecayStyle = .linear
        return recipe
    }

    private static let run = MegatronRunState(steps: 7, consumedSamples: 42, optimizerSteps: 5, recipe: recipe)

    private func value(_ name: String, in settings: [OptimizerGroups.Setting]) -> OptimizerGroups.Value? {
        settings.first { $0.name == name }?.value
    }

    @Test func groupsHaveTheMultipliersAndRatesOfTheRun() throws {
        let groups = Self.run.groups(hasMatrices: true, hasVectors: true)
        #expect(groups.groups.map { value("wd_mult", in: $0) } == [.single(.real(1)), .single(.real(0))])
        #expect(groups.groups.map { value("weight_decay", in: $0) } == [.single(.real(0.2)), .single(.real(0))])
        #expect(groups.steps == 5)
        let first = groups.groups[0]
        #expect(value("betas", in: first) == .tuple([.real(0.85), .real(0.97)]))
        #expect(value("eps", in: first) == .single(.real(1e-7)))
        #expect(
            value("max_lr", in: first) == .single(.real(3e-4)) && value("min_lr", in: first) == .single(.real(3e-5))
        )
        // Linear from step 3 to step 11: half of the way at step 7.
        var rate = Double.nan
        if case .single(.real(let found))? = value("lr", in: first) { rate = found }
        #expect(abs(rate - (3e-4 + 3e-5) / 2) < 1e-12)
        // The schedule counts samples: six in each step.
        #expect(value("lr_warmup_steps", in: groups.scheduler) == .single(.integer(18)))
        #expect(value("lr_decay_steps", in: groups.scheduler) == .single(.integer(66)))
        #expect(value("num_steps", in: groups.scheduler) == .single(.integer(42)))
        #expect(Self.run.groups(hasMatrices: false, hasVectors: true).groups.count == 1)
    }

    @Test func groupsAreReadAsTheyWereWritten() throws {
        let groups = Self.run.groups(hasMatrices: true, hasVectors: true)
        for isInList in [false, true] {
            let graph = CommonState(iteration: 7, hasOptimizer: true, groups: groups).graph(isInList: isInList)
            let read = try PickleReader.read(PickleWriter.pickle(graph), name: "common", globals: .listed([])).reference
            let state = isInList ? read.items?.first : read
            #expect(try OptimizerGroups(#require(state)) == groups)
            #expect(state?["content_metadata"]?["distrib_optim_sharding_type"]?.text == "fully_reshardable")
            #expect(state?["optimizer"]?["param_state_sharding_type"]?.text == "fully_reshardable")
        }
    }

    @Test func settingsThatAreNeitherNumbersNorTextsAreSkippedByName() throws {
        var graph = PickleGraph()
        let inner = graph.dictionary([("a", .integer(1))])
        let parameters = graph.add(.list([.integer(0)]))
        let group = graph.dictionary([
            ("lr", .real(0.5)), ("params", parameters), ("nested", inner),
            ("long", .text(String(repeating: "x", count: 300))),
        ])
        let list = graph.add(.list([group]))
        let groups = graph.dictionary([("param_groups", list)])
        graph.finish(graph.dictionary([("optimizer", graph.dictionary([("optimizer", groups)]))]))
        let found = try #require(OptimizerGroups(graph.reference))
        #expect(found.groups == [[.init("lr", .single(.real(0.5)))]])
        #expect(found.skipped == ["long", "nested"] && found.steps == nil)
        #expect(OptimizerGroups(PickleGraph().reference) == nil)
    }

    // MARK: Tensors

    private func entry(_ key: String, _ type: ElementType, at start: Int) -> DistributedMetadata.Entry {
        let item = DistributedMetadata.Item(file: "__0_0.distcp", range: start..<start + 700)
        return .init(
            key: key,
            elementType: type,
            shape: [4, 2],
            chunks: [.init(offsets: [0, 0], sizes: [4, 2], item: item)]
        )
    }

    /// Megatron-Core asks for a float32 copy of every trained parameter.
    @Test func aFloat32ParameterIsItsOwnCopy() throws {
        var metadata = DistributedMetadata(
            entries: [
                entry("a.weight", .float32, at: 0), entry("b.weight", .bfloat16, at: 700),
                entry("optimizer.state.exp_avg.a.weight", .float32, at: 1400),
                entry("optimizer.state.exp_avg.b.weight", .float32, at: 2100),
                entry("optimizer.state.param.b.weight", .float32, at: 2800),
                entry("frozen.weight", .float32, at: 3500),
            ],
            objects: []
        )
        metadata.addMainParameters()
        #expect(metadata.entries.count == 7)
        #expect(metadata.entries[6].key == "optimizer.state.param.a.weight")
        #expect(metadata.entries[6].chunks == metadata.entries[0].chunks)
        #expect(metadata.sharedMainParameters == ["optimizer.state.param.a.weight"])
    }

    @Test func ranksAreMergedByTheirKeys() throws {
        var one = DistributedMetadata(entries: [entry("a.weight", .float32, at: 0)], objects: [])
        one.entries[0].chunks[0].sizes = [2, 2]
        var two = one
        two.entries[0].chunks[0].offsets = [2, 0]
        #expect(throws: BridgeError.self) { try one.checkComplete(layerCount: 1) }
        try one.merge(two)
        try one.checkComplete(layerCount: 1)
        #expect(one.entries.count == 1 && one.entries[0].chunks.map(\.offsets) == [[0, 0], [2, 0]])
        two.entries[0].elementType = .bfloat16
        #expect(throws: BridgeError.self) { try one.merge(two) }
    }
}
