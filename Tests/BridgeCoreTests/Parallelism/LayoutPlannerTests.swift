import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing

/// The planner, against all layouts one by one, and the time of a step against its formula.
@Suite struct LayoutPlannerTests {
    private static func bridge(_ family: String, _ size: String) throws -> AutoBridge {
        try AutoBridge.fromHFConfig(ToyModel(family: family, options: .init(realSize: size)).configuration)
    }

    private static let engine = TestEngine.cpu(threadCount: 1)

    @Test(arguments: [("mistral", "24b", 8), ("ministral3", "8b", 4), ("gemma3", "4b", 8)])
    func theBestLayoutIsTheFastestOfThoseThatFit(_ family: String, _ size: String, _ ranks: Int) throws {
        let bridge = try Self.bridge(family, size)
        let recipe = Recipe(name: "r")
        var planner = LayoutPlanner(bridge, recipe, ranks: ranks, on: .h100, engine: Self.engine)
        let best = try #require(try planner.best())
        #expect(best.fits && best.bytes <= Hardware.h100.usableMemory)
        var fastest = Double.infinity
        for layout in planner.check.fitting {
            var other = recipe
            other.model.recomputeGranularity = best.recomputation
            other.model.tensorModelParallelSize = layout.tensor
            other.model.contextParallelSize = layout.context
            other.model.pipelineModelParallelSize = layout.pipeline
            let estimate = try RunEstimate(bridge, other, ranks: ranks, on: Self.engine)
            let heaviest = (0..<ranks).map { estimate.rank($0).byteCount }.max() ?? 0
            guard heaviest <= Hardware.h100.usableMemory else { continue }
            fastest = min(fastest, StepTime(estimate, on: .h100).seconds)
        }
        #expect(abs(best.time.seconds - fastest) <= 1e-9 * fastest)
    }

    /// The planner of Megatron Bridge takes the mean of the stages, which is too little for the heaviest one.
    @Test func theMemoryIsThatOfTheHeaviestRank() throws {
        var recipe = Recipe(name: "r")
        recipe.model.pipelineModelParallelSize = 4
        let estimate = try RunEstimate(Self.bridge("ministral3", "3b"), recipe, ranks: 4, on: Self.engine)
        let bytes = (0..<4).map { estimate.rank($0).byteCount }
        #expect(estimate.heaviest().byteCount == bytes.max())
        #expect(estimate.heaviest().byteCount > bytes.reduce(0, +) / 4)
    }

    /// One rank: operations over the operations per second that training reaches; no bubble, no exchange.
    @Test func theTimeOfOneRankIsThatOfItsOperations() throws {
        let estimate = try RunEstimate(Self.bridge("mistral", "7b"), Recipe(name: "r"), ranks: 1, on: Self.engine)
        let time = StepTime(estimate, on: .h200)
        #expect(time.seconds == estimate.rank(0).operations / (989e12 * 0.37))
        #expect(time.bubble + time.exchange + time.reduction == 0)
    }

    /// A bubble is (stages - 1) / micro-batches of the time of the passes (Narayanan et al., arXiv 2104.04473, 2.2).
    @Test func theBubbleIsTheShareOfTheStages() throws {
        var recipe = Recipe(name: "r")
        recipe.model.pipelineModelParallelSize = 4
        recipe.train.globalBatchSize = 16
        let time = StepTime(
            try RunEstimate(Self.bridge("mistral", "7b"), recipe, ranks: 4, on: Self.engine),
            on: .h100
        )
        #expect(abs(time.bubble - (time.compute + time.exchange) * 3 / 16) < 1e-12)
    }
}
