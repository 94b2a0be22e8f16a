import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Training against torch, transformers and peft: see `Tests/Fixtures/make_training_fixtures.py`.
@Suite struct TrainingParityTests {
    static let names = ["mistral", "ministral3", "gemma3"]
    static let engine = TestEngine.cpu(threadCount: 2)

    private struct Run {
        let reference: Reference
        let bridge: AutoBridge
        let model: any CausalModel
        let batches: [TrainingBatch]

        init(_ name: String, _ type: ElementType = .float32) throws {
            reference = try Reference(name, in: "training")
            bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
            model = try bridge.toModel(elementType: type, on: TrainingParityTests.engine)
            batches = try ["text.", "image."].map { [reference] prefix in
                let tokens = try TokenBatch(inputs: reference.path, prefix: prefix, on: TrainingParityTests.engine)
                let labels = try reference.integers("\(prefix)labels").map(Int32.init)
                let targets = labels.indices.map { place -> Int32 in
                    (place + 1) % tokens.length == 0 ? -100 : labels[place + 1]
                }
                return TrainingBatch(tokens: tokens, targets: targets)
            }
        }

        var adapter: String { "\(Fixtures.root)/training/\(reference.name)" }

        /// Twenty steps with the numbers of the fixture's script.
        func losses(
            _ optimizer: Optimizer,
            recomputation: Recipe.Recomputation = .none,
            steps: Int = 20
        ) throws -> (losses: [Double], norms: [Double]) {
            var (losses, norms): ([Double], [Double]) = ([], [])
            for step in 0..<steps {
                optimizer.clearGradients()
                let batch = batches[step % 2]
                let loss = try model.loss(
                    batch.tokens,
                    targets: batch.targets,
                    weight: 1 / Float(batch.supervisedCount),
                    recomputation: recomputation
                )
                loss.backward()
                let norm = try optimizer.gradientNorm()
                try optimizer.step(rate: 2e-3, weightDecay: 0.1, gradientScale: min(1, 1 / (norm + 1e-6)))
                losses.append(Double(loss.item))
                norms.append(norm)
            }
            return (losses, norms)
        }

        func expect(_ found: (losses: [Double], norms: [Double]), _ scheme: String) throws {
            let losses = try reference.floats("\(scheme).losses").map(Double.init)
            let norms = try reference.floats("\(scheme).norms").map(Double.init)
            for step in found.losses.indices {
                let (loss, norm) = (found.losses[step], found.norms[step])
                #expect(abs(loss - losses[step]) <= 1e-4 * losses[step], "\(scheme) loss of step \(step)")
                #expect(abs(norm - norms[step]) <= 2e-3 * norms[step], "\(scheme) norm of step \(step)")
            }
        }
    }

    private static var section: Recipe.OptimizerSection {
        var section = Recipe.OptimizerSection()
        (section.adamBeta1, section.adamBeta2, section.adamEps) = (0.9, 0.95, 1e-5)
        return section
    }

    @Test(arguments: names) func allStepsOfFullTrainingHaveTheLossOfTorch(_ name: String) throws {
        let run = try Run(name)
        run.model.freeze(languageModel: false, visionModel: false, visionProjection: false)
        let optimizer = try Optimizer(Self.section, run.model.parameters, on: Self.engine)
        try run.expect(run.losses(optimizer), "sft")
    }

    @Test(arguments: names, ["lora", "dora"]) func allStepsWithAdaptersHaveTheLossOfPEFT(
        _ name: String,
        _ scheme: String
    )
        throws
    {
        let run = try Run(name)
        let adapters = try run.bridge.importAdapter(from: "\(run.adapter)-\(scheme)", on: run.model)
        let logits = try run.model.forward(run.batches[1].tokens).logits.floats()
        let (difference, scale) = gap(logits, try run.reference.floats("\(scheme).logits"))
        #expect(difference <= 1e-4 * scale)
        let optimizer = try Optimizer(Self.section, run.model.parameters + adapters.parameters, on: Self.engine)
        #expect(optimizer.parameterCount == adapters.parameters.reduce(0) { $0 + $1.tensor.count })
        try run.expect(run.losses(optimizer), scheme)
    }

    @Test(arguments: names, [0, 1]) func theGradientOfEveryParameterIsThatOfTorch(_ name: String, _ which: Int) throws {
        let run = try Run(name)
        run.model.freeze(languageModel: false, visionModel: false, visionProjection: false)
        let (batch, prefix) = (run.batches[which], ["text", "image"][which])
        let loss = try run.model.loss(batch.tokens, targets: batch.targets, weight: 1 / Float(batch.supervisedCount))
        let gradients = Gradients(of: loss)
        let names = try run.bridge.huggingFaceNames()
        var compared = 0
        for parameter in run.model.parameters {
            let gradient = gradients[parameter.tensor]
            guard let key = names[parameter.name].map({ "\(prefix).gradient.\($0)" }), run.reference.holds(key) else {
                // The towers have no part in a batch of text.
                #expect(gradient == nil, "\(parameter.name) has a gradient and torch has none")
                continue
            }
            var values = try #require(gradient, "\(parameter.name)")
            if names[parameter.name]?.hasSuffix("mm_input_projection_weight") == true { values = values.transposed() }
            let expected = try run.reference.floats(key).map(Double.init)
            let found = GradientWaves.of(values.floats().map(Double.init))
            for (one, other) in zip(found, expected) {
                #expect(abs(one - other) <= 1e-4 * expected[0] + 1e-9, "\(parameter.name)")
            }
            compared += 1
        }
        #expect(compared == run.reference.keys.count { $0.hasPrefix("\(prefix).gradient.") })
    }

    @Test(arguments: names, [Recipe.Recomputation.selective, .full])
    func computingAgainChangesNoBit(_ name: String, _ recomputation: Recipe.Recomputation) throws {
        let found = try [Recipe.Recomputation.none, recomputation].map { recomputation in
            let run = try Run(name)
            run.model.freeze(languageModel: false, visionModel: false, visionProjection: false)
            let optimizer = try Optimizer(Self.section, run.model.parameters, on: Self.engine)
            return try run.losses(optimizer, recomputation: recomputation, steps: 4)
        }
        #expect(found[0].losses == found[1].losses)
        #expect(found[0].norms == found[1].norms)
    }

    /// As far as the losses are of order 1: where they are near zero, rounding decides.
    ///
    /// Each step enlarges the rounding of those before it, so the bound of a step is twice the distance of torch's own runs
    /// in bfloat16, whose weights begin one rounding apart.
    @Test(arguments: names) func bfloat16FollowsTheLossesOfTorch(_ name: String) throws {
        let run = try Run(name, .bfloat16)
        run.model.freeze(languageModel: false, visionModel: false, visionProjection: false)
        let optimizer = try Optimizer(Self.section, run.model.parameters, on: Self.engine)
        let expected = try run.reference.floats("sft.losses").map(Double.init)
        let spread = try run.reference.floats("sft.bfloat16_spread").map(Double.init)
        let steps = expected.prefix { $0 >= 1 }.count
        #expect(steps >= 8)
        let found = try run.losses(optimizer, steps: steps).losses
        for (step, (one, other)) in zip(found, expected).enumerated() {
            let bound = 2 * spread[step] + 0.001
            #expect(abs(one - other) <= bound * other, "step \(step): \(one), torch has \(other), bound \(bound)")
        }
    }
}
