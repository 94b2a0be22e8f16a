import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// The models against what transformers computes for the same weights and inputs.
@Suite struct ParityTests {
    static var names: [String] { get throws { try Fixtures.all.filter { $0 != "mistral-peer" } } }
    static let engine = TestEngine.cpu(threadCount: 2)

    @Test(arguments: try names)
    func float32LogitsAreThoseOfTransformers(_ name: String) throws {
        let reference = try Reference(name)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: Self.engine)
        for prefix in reference.cases {
            let logits = try last(of: model, reference, prefix)
            let (difference, scale) = gap(logits, try reference.floats("\(prefix)logits"))
            #expect(difference <= 1e-4 * scale, "\(prefix)logits")
        }
    }

    /// Padding is not seen, and what it computes itself counts where it has labels, as in transformers.
    ///
    /// See `Tests/Fixtures/make_padding_fixtures.py`.
    @Test(arguments: ["mistral", "mistral-window", "ministral3", "gemma3"], ["right", "left"])
    func paddedRowsHaveTheLogitsAndLossesOfTransformers(_ name: String, _ side: String) throws {
        let reference = try Reference("padding")
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: Self.engine)
        let prefix = "\(name).\(side)."
        let batch = try TokenBatch(inputs: reference.path, prefix: prefix, on: Self.engine)
        #expect(batch.isPresent?.contains(false) ?? false)
        // The first and the last token of the second row, of which one is padding.
        let row = try model.forward(batch).logits.at(1)
        let (first, last) = (row.at(0).floats(), row.at(batch.length - 1).floats())
        let (difference, scale) = gap(first + last, try reference.floats("\(prefix)logits"))
        #expect(difference <= 1e-4 * scale)
        for labels in ["", "whole."] {
            let targets = try #require(try batch.targets(inputs: reference.path, prefix: "\(prefix)\(labels)"))
            let loss = try model.loss(batch, targets: targets, weight: 1 / Float(targets.count { $0 >= 0 })).item
            let expected = try reference.floats("\(prefix)\(labels)loss")[0]
            #expect(abs(loss - expected) <= 1e-5 * expected, "\(labels)labels")
        }
    }

    @Test(arguments: try names)
    func bfloat16LogitsAreAsCloseAsThoseOfTransformers(_ name: String) throws {
        let reference = try Reference(name)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .bfloat16, on: Self.engine)
        let error = try reference.floats("bfloat16_error")[0]
        let (difference, _) = gap(try last(of: model, reference, ""), try reference.floats("logits"))
        #expect(difference <= 1.25 * error)
    }

    @Test(arguments: ["mistral-window", "ministral3-shortctx", "gemma3-452-names"])
    func everyLayerGivesWhatTransformersGives(_ name: String) throws {
        let reference = try Reference(name)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: Self.engine)
        let prefix = reference.holds("text.hidden_states.0") ? "text." : "one_image."
        let batch = try TokenBatch(inputs: reference.path, prefix: prefix, on: Self.engine)
        let states = try model.forward(batch, keepsHiddenStates: true).hiddenStates
        #expect(states.count == model.decoder.layers.count + 1)
        for (index, state) in states.enumerated() {
            let expected = try reference.floats("\(prefix)hidden_states.\(index)")
            let (difference, scale) = gap(state.floats(), expected)
            #expect(difference <= 1e-4 * scale, "hidden_states.\(index)")
        }
    }

    @Test(arguments: try names)
    func greedyTokensAreThoseOfTransformers(_ name: String) throws {
        let reference = try Reference(name)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: Self.engine)
        for prefix in reference.cases where reference.holds("\(prefix)greedy_ids") {
            let expected = try reference.integers("\(prefix)greedy_ids")
            let batch = try TokenBatch(inputs: reference.path, prefix: prefix, on: Self.engine)
            let cache = model.makeCache(capacity: 4)
            var logits = try model.forward(batch, cache: cache, last: 1).logits.floats()
            var tokens: [Int] = []
            var steps: [[Float]] = []
            while tokens.count < expected.count {
                let token = Self.argmax(logits)
                tokens.append(token)
                steps.append(logits)
                let next = TokenBatch(tokens: [Int32(token)], start: cache.length)
                logits = try model.forward(next, cache: cache).logits.floats()
            }
            // Both sides add up in another order.
            let margin = Margin(steps, expected)
            #expect(margin.isCertain, "\(prefix)greedy_ids have \(margin)")
            #expect(tokens == expected, "\(prefix)greedy_ids")
            // The logits of the last steps, which are those of cached decoding.
            let kept = try reference.shape("\(prefix)greedy_logits")[0]
            let (difference, scale) = gap(
                steps.suffix(kept).flatMap { $0 },
                try reference.floats("\(prefix)greedy_logits")
            )
            #expect(difference <= 1e-4 * scale, "\(prefix)greedy_logits")
        }
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func aMegatronCheckpointOfAnyLayoutGivesTheSameLogits(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let layout = RankLayout(tensorSize: 2, pipelineSize: 2)
        try bridge.importCheckpoint(to: directory.path("megatron"), options: ConversionOptions(layout: layout))
        let reference = try Reference(name)
        let direct = try bridge.toModel(on: Self.engine)
        let converted = try AutoBridge.fromMegatron(directory.path("megatron")).toModel(
            weights: directory.path("megatron"),
            on: Self.engine
        )
        let (one, other) = (try last(of: direct, reference, ""), try last(of: converted, reference, ""))
        #expect(one == other)
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func matricesThatLieAsTheyAreNeededStayInTheFile(_ name: String) throws {
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(on: Self.engine)
        let layer = model.decoder.layers[0]
        for parameter in (layer.projections + layer.gateAndUp + [layer.down, layer.attentionOutput]).map(\.weight) {
            #expect(parameter.tensor.storage.isReadOnly, "\(parameter.name)")
        }
    }

    @Test func freezingDecidesWhatIsTrained() throws {
        let model = try AutoBridge.fromHF(Fixtures.checkpoint("ministral3")).toModel(on: Self.engine)
        model.freeze(languageModel: true, visionModel: false, visionProjection: true)
        #expect(model.decoder.parameters.allSatisfy { !$0.isTrainable })
        let vision = try #require(model.vision)
        #expect(vision.towerParameters.allSatisfy { $0.isTrainable })
        #expect(vision.projectorParameters.allSatisfy { !$0.isTrainable })
    }

    /// The logits of the positions that the reference has: the last ones, or those that `last` names.
    private func last(of model: any CausalModel, _ reference: Reference, _ prefix: String) throws -> [Float] {
        var batch = try TokenBatch(inputs: reference.path, prefix: prefix, on: Self.engine)
        // The padded rows show the image of `one_image`.
        if prefix.hasPrefix("padded"), reference.holds("one_image.pixel_values") {
            batch.images = try TokenBatch(inputs: reference.path, prefix: "one_image.", on: Self.engine).images
        }
        guard reference.holds("\(prefix)last") else {
            let count = try reference.shape("\(prefix)logits")[1]
            return try model.forward(batch, last: count).logits.floats()
        }
        let places = try reference.integers("\(prefix)last")
        let logits = try model.forward(batch).logits
        return places.enumerated().flatMap { row, place in logits.at(row).at(place).floats() }
    }

    private static func argmax(_ values: [Float]) -> Int {
        values.indices.max { values[$0] < values[$1] } ?? 0
    }
}
