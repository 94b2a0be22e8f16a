import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing

/// The estimate of each rank, against the parameters of the models that ranks would have, and formulas.
@Suite struct RunEstimateTests {
    struct Layout: Sendable, CustomTestStringConvertible {
        var tp = 1
        var pp = 1
        var dp = 1
        var cp = 1
        var testDescription: String { "TP \(tp) PP \(pp) DP \(dp) CP \(cp)" }
        var ranks: Int { tp * pp * dp * cp }
    }

    private static func recipe(_ layout: Layout, _ scheme: Recipe.PEFTSection.Scheme = .none) -> Recipe {
        var recipe = Recipe(name: "r")
        (recipe.model.tensorModelParallelSize, recipe.model.pipelineModelParallelSize) = (layout.tp, layout.pp)
        recipe.model.contextParallelSize = layout.cp
        recipe.model.seqLength = 64
        (recipe.peft.scheme, recipe.peft.dim) = (scheme, 4)
        return recipe
    }

    static let cases = ["mistral", "ministral3", "gemma3"].flatMap { family in
        [Layout(), Layout(tp: 2, dp: 2), Layout(tp: 2, pp: 2), Layout(pp: 4, cp: 2), Layout(tp: 4, pp: 2)].flatMap {
            layout in [Recipe.PEFTSection.Scheme.none, .lora, .dora].map { (family, layout, $0) }
        }
    }

    @Test(arguments: cases)
    func parametersAreThoseOfTheModelOfEachRank(
        _ family: String,
        _ layout: Layout,
        _ scheme: Recipe.PEFTSection.Scheme
    ) throws {
        let engine = TestEngine.cpu(threadCount: 1)
        let toy = try ToyModel(family: family, options: .init(layers: 5))
        let bridge = try AutoBridge.fromHFConfig(toy.configuration)
        let recipe = Self.recipe(layout, scheme)
        let check = bridge.layoutCheck(recipe, ranks: layout.ranks)
        let estimate = try RunEstimate(bridge, recipe, ranks: layout.ranks, on: engine)
        var (owned, states) = (0, 0)
        for rank in 0..<layout.ranks {
            let groups = try ProcessGroupCollection(
                check.validated(),
                in: PlannedWorld(rank: rank, size: layout.ranks)
            )
            let model = try bridge.shapeOnlyModel(
                elementType: .bfloat16,
                on: engine,
                parallelism: check.parallelism(groups)
            )
            try model.freeze(by: recipe)
            let adapters = scheme == .none ? nil : try AdapterSet(recipe.peft, on: model, seed: 1)
            let all = model.parts.flatMap(\.parameters) + (adapters?.parameters ?? [])
            let trained = all.filter(\.isTrainable)
            let found = estimate.rank(rank)
            #expect(found.parameters == all.reduce(0) { $0 + $1.tensor.count })
            #expect(found.trained == trained.reduce(0) { $0 + $1.tensor.count })
            #expect(found.gradients == 4 * found.trained)
            #expect(found.weights == all.reduce(0) { $0 + $1.tensor.count * $1.tensor.elementType.byteCount })
            if groups.dpCp.rank == 0 { owned += all.filter(\.isOwner).reduce(0) { $0 + $1.tensor.count } }
            states += found.optimizer
        }
        #expect(estimate.totals().parameters == owned)
        // ZeRO-1: over the copies of a part there is one state, of two moments and of master weights for bfloat16.
        let bytes = (0..<layout.ranks).filter { rank in
            let layout = estimate.layout
            return layout.position(of: rank, along: .data) + layout.position(of: rank, along: .context) == 0
        }.reduce(0) { $0 + (scheme == .none ? 12 : 8) * estimate.rank($1).trained }
        #expect(scheme != .none || states == bytes)
        #expect(states >= bytes)
    }

    /// Ministral 3 3B in full on one rank: 3,849,090,048 parameters (see ToyTests) of 2, 4 and 12 bytes.
    @Test func theStateOfAPublishedSizeIsEighteenBytesAParameter() throws {
        let toy = try ToyModel(family: "ministral3", options: .init(realSize: "3b"))
        let bridge = try AutoBridge.fromHFConfig(toy.configuration)
        var recipe = Self.recipe(Layout())
        let engine = TestEngine.cpu(threadCount: 1)
        let rank = try RunEstimate(bridge, recipe, ranks: 1, on: engine).rank(0)
        #expect(rank.parameters == 3_849_090_048)
        #expect(rank.weights + rank.gradients + rank.optimizer == 18 * 3_849_090_048)
        #expect(rank.sent.isEmpty)
        recipe.optimizer.optimizer = .sgd
        let velocity = try RunEstimate(bridge, recipe, ranks: 1, on: engine).rank(0)
        #expect(velocity.optimizer == 8 * 3_849_090_048)
    }

    /// A ring sends (n - 1) / n of the data for each half of an all-reduce.
    @Test func bytesToSendAreThoseOfRings() throws {
        let toy = try ToyModel(family: "mistral", options: .init(realSize: "7b"))
        let bridge = try AutoBridge.fromHFConfig(toy.configuration)
        let engine = TestEngine.cpu(threadCount: 1)
        var recipe = Self.recipe(Layout(dp: 4))
        recipe.model.seqLength = 4096
        let parameters = 7_248_023_552
        let zero = try RunEstimate(bridge, recipe, ranks: 4, on: engine, tensorRanks: 0..<1).rank(0)
        #expect(zero.sent == [.data: (4 + 2) * parameters * 3 / 4])
        recipe.optimizer.useDistributedOptimizer = false
        let plain = try RunEstimate(bridge, recipe, ranks: 4, on: engine, tensorRanks: 0..<1).rank(0)
        #expect(plain.sent == [.data: 2 * 4 * parameters * 3 / 4])
        recipe.model.pipelineModelParallelSize = 2
        let stage = try RunEstimate(bridge, recipe, ranks: 2, on: engine, tensorRanks: 0..<1).rank(0)
        // 32 micro-batches of a float32 residual stream.
        #expect(stage.sent == [.pipeline: 32 * 4 * 4096 * 4096])
    }

    /// Kaplan et al.: 6 operations for each weight and token; attention adds 12 x layers x length x width, halved by the mask.
    @Test func operationsAreSixTimesWeightsAndTokens() throws {
        let toy = try ToyModel(family: "mistral", options: .init(realSize: "7b"))
        let bridge = try AutoBridge.fromHFConfig(toy.configuration)
        var recipe = Self.recipe(Layout())
        recipe.model.seqLength = 4096
        let engine = TestEngine.cpu(threadCount: 1)
        let found = try RunEstimate(bridge, recipe, ranks: 1, on: engine).rank(0).operations
        let matrices = Double(7_248_023_552 - 32768 * 4096 - 65 * 4096)
        let tokens = 32.0 * 4096
        let expected = tokens * (6 * matrices + 12 * 32 * 4096 * 4096 / 2)
        #expect(abs(found - expected) < 1e-6 * expected)
    }
}
