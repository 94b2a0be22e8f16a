import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing

/// Models that are divided over ranks, each rank a thread, against one rank.
@Suite struct MegatronProviderTests {
    private static func bridge(_ name: String) throws -> AutoBridge { try .fromHF(Fixtures.checkpoint(name)) }

    private static let engine = TestEngine.cpu(threadCount: 1)

    /// Tokens with an image where the model sees.
    private static func batch(_ name: String) throws -> TokenBatch {
        let reference = try Reference(name)
        return try TokenBatch(inputs: reference.path, prefix: try #require(reference.cases.first), on: engine)
    }

    /// This rank's part of a model; the ranks that do not share a matrix are stages.
    private static func model(
        _ name: String,
        tensorSize: Int = 1,
        in world: any RankWorld
    ) throws -> any CausalModel {
        var provider = try bridge(name).toMegatronProvider()
        provider.tensorModelParallelSize = tensorSize
        provider.pipelineModelParallelSize = world.size / tensorSize
        let model = try provider.provideDistributedModel(in: world, elementType: .float32, on: engine)
        try provider.bridge.loadWeights(into: model)
        return model
    }

    private struct Pass: Sendable {
        var logits: [Float]
        var states: [[Float]]

        init(_ model: any CausalModel, _ batch: TokenBatch) throws {
            let output = try model.forward(batch, keepsHiddenStates: true)
            logits = output.logits.floats()
            states = output.hiddenStates.map { $0.floats() }
        }
    }

    private static func expectClose(
        _ found: [Float],
        _ expected: [Float],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let (difference, scale) = gap(found, expected)
        #expect(found.count == expected.count && difference <= 1e-5 * scale, sourceLocation: sourceLocation)
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"], [(2, 1), (1, 2), (2, 2)])
    func everyRankHasTheLogitsAndStatesOfOneRank(_ name: String, _ sizes: (Int, Int)) throws {
        let bridge = try Self.bridge(name)
        let expected = try Pass(bridge.toModel(elementType: .float32, on: Self.engine), Self.batch(name))
        let ranks = try ThreadWorld.run(sizes.0 * sizes.1) { world in
            try Pass(Self.model(name, tensorSize: sizes.0, in: world), Self.batch(name))
        }
        for rank in ranks {
            Self.expectClose(rank.logits, expected.logits)
            #expect(rank.states.count == bridge.layerCount + 1)
            for (one, other) in zip(rank.states, expected.states) { Self.expectClose(one, other) }
        }
    }

    /// The tokens go beyond the windows, which differ between the layers of the two stages.
    @Test(arguments: ["gemma3", "mistral-window"])
    func stagesGenerateWhatOneRankDoes(_ name: String) throws {
        @Sendable func steps(_ world: any RankWorld) throws -> [[Float]] {
            let model = try Self.model(name, in: world)
            var steps: [[Float]] = []
            let prompt = (0..<11).map { Int32(20 + $0 * $0 % 379) }
            _ = try Generator(model).run(prompt, options: Generator.Options(maxNewTokens: 9)) { step in
                steps.append(step.logits)
                return true
            }
            return steps
        }
        let expected = try steps(SingleRankWorld())
        #expect(expected.count == 9)
        for rank in try ThreadWorld.run(2, { try steps($0) }) { #expect(rank == expected) }
    }

    /// More tokens than one pass takes.
    @Test func aLongPromptGoesThroughTheStagesInParts() throws {
        @Sendable func logits(_ world: any RankWorld) throws -> [Float] {
            let model = try Self.model("mistral-window", in: world)
            let batch = TokenBatch(tokens: (0..<2053).map { Int32(20 + $0 * $0 % 379) })
            return try model.forward(batch, cache: model.makeCache(capacity: 16), last: 5).logits.floats()
        }
        let expected = try logits(SingleRankWorld())
        for rank in try ThreadWorld.run(2, { try logits($0) }) { #expect(rank == expected) }
    }

    @Test func oneRankThatStopsStopsAll() throws {
        let counts = try ThreadWorld.run(2) { world in
            let model = try Self.model("mistral", tensorSize: 2, in: world)
            var count = 0
            _ = try Generator(model).run([5, 9], options: Generator.Options(maxNewTokens: 20)) { _ in
                count += 1
                return world.rank == 0 || count < 3
            }
            return count
        }
        #expect(counts == [3, 3])
    }

    @Test func withoutPreProcessOnlyTheLanguageModelIsThereAndTakesAnInputTensor() throws {
        let bridge = try Self.bridge("ministral3-untied")
        let batch = try Self.batch("ministral3-untied")
        let whole = try bridge.toModel(elementType: .float32, on: Self.engine)
        let expected = try whole.forward(batch, keepsHiddenStates: true)
        let provider = bridge.toMegatronProvider()
        let late = try provider.provide(preProcess: false, elementType: .float32, on: Self.engine)
        try bridge.loadWeights(into: late)
        #expect(late.vision == nil)
        #expect(!late.parameters.contains { $0.name.contains("word_embeddings") || $0.name.hasPrefix("vision") })
        late.setInputTensor(expected.hiddenStates[0])
        #expect(try late.forward(batch).logits.floats() == expected.logits.floats())
        // The tensor is the input of one pass.
        let error = #expect(throws: BridgeError.self) { try late.forward(batch) }
        #expect(error?.message.contains("call setInputTensor") == true)

        let early = try provider.provide(postProcess: false, elementType: .float32, on: Self.engine)
        try bridge.loadWeights(into: early)
        let stream = try early.stage(batch, input: nil)
        #expect(whole.decoder.finalNorm(stream).floats() == expected.hiddenStates.last?.floats())
        let other = #expect(throws: BridgeError.self) { try early.forward(batch) }
        #expect(other?.message.contains("has no output layer") == true)
    }

    @Test func layoutsThatAreNotSupportedAreRefused() throws {
        let bridge = try Self.bridge("mistral")
        var provider = bridge.toMegatronProvider()
        provider.virtualPipelineModelParallelSize = 2
        var error = #expect(throws: BridgeError.self) { try provider.provide(on: Self.engine) }
        #expect(error?.code == .badLayout)
        #expect(error?.names.contains { $0.contains("needs model.pipeline_model_parallel_size above 1") } == true)
        provider.virtualPipelineModelParallelSize = 1
        error = #expect(throws: BridgeError.self) { try provider.provide(vpStage: 1, on: Self.engine) }
        #expect(error?.code == .badLayout && error?.message.contains("vpStage is 1") == true)
        provider.tensorModelParallelSize = 2
        error = #expect(throws: BridgeError.self) {
            try provider.provideDistributedModel(in: SingleRankWorld(), on: Self.engine)
        }
        #expect(error?.code == .badLayout)
        #expect(error?.names.contains { $0.contains("1 rank cannot be divided by TP x PP x CP") } == true)
    }

    @Test func weightsOfAnotherModelAreRefused() throws {
        let model = try Self.bridge("mistral").toMegatronProvider().provide(on: Self.engine)
        let error = #expect(throws: BridgeError.self) { try Self.bridge("mistral-odd-vocab").loadWeights(into: model) }
        #expect(error?.message.contains("load weights with the bridge that the model was made with") == true)
    }
}
