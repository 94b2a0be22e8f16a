import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing

@testable import Trainer

/// Parts of a model with learning rates of their own: AdamW's first step of each parameter is its rate times a value that does
/// not depend on the rate.
@Suite struct LearningRateFactorTests {
    /// The change of every parameter in one step.
    private func changes(_ checkpoint: String, _ settings: [String]) throws -> [String: [Float]] {
        var recipe = Recipe(name: "a")
        try recipe.apply(["optimizer.lr=0.001", "peft.dim=2"] + settings)
        let engine = TestEngine.cpu(threadCount: 1)
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(checkpoint)).toModel(elementType: .float32, on: engine)
        try model.freeze(by: recipe)
        let adapters = try AdapterSet.added(by: recipe, to: model)
        let parameters = (model.parameters + (adapters?.parameters ?? [])).filter(\.isTrainable)
        let optimizer = try Optimizer(
            recipe.optimizer,
            parameters,
            rates: LearningRateFactors(recipe, model, adapters),
            on: engine,
            groups: .single,
            ddp: recipe.ddp,
            trace: nil
        )
        let before = parameters.map { $0.tensor.floats() }
        optimizer.clearGradients()
        // The sums are in use from here on.
        _ = try optimizer.gradientNorm()
        for (_, sum) in optimizer.gradients {
            engine.copy(Tensor((0..<sum.count).map { Float($0 % 7) - 3 }, shape: sum.shape, on: engine), into: sum)
        }
        try optimizer.step(rate: recipe.optimizer.lr, weightDecay: 0, gradientScale: 1)
        var changes: [String: [Float]] = [:]
        for (parameter, old) in zip(parameters, before) {
            changes[parameter.name] = zip(parameter.tensor.floats(), old).map { $0 - $1 }
        }
        return changes
    }

    /// Checks that the changes of the named parameters are a multiple of those without the settings, and all others the same.
    private func check(
        _ checkpoint: String,
        _ base: [String],
        _ settings: [String],
        factor: Float,
        where isNamed: (String) -> Bool
    ) throws {
        let (plain, other) = (try changes(checkpoint, base), try changes(checkpoint, base + settings))
        #expect(plain.keys.contains(where: isNamed) && !plain.keys.allSatisfy(isNamed))
        #expect(plain.values.allSatisfy { $0.contains { abs($0) > 1e-4 } })
        for (name, change) in plain {
            let expected = change.map { isNamed(name) ? factor * $0 : $0 }
            let found = try #require(other[name])
            // Differences of float32 weights of about 1.
            for (one, two) in zip(found, expected) { #expect(abs(one - two) < 2e-6, "\(name)") }
        }
    }

    /// All but A, as `create_loraplus_optimizer` of peft has it for adapters without biases.
    @Test(arguments: ["lora", "dora"], [false, true])
    func loraPlusRaisesTheRateOfBAndOfMagnitudes(_ scheme: String, _ canonical: Bool) throws {
        let settings = ["peft.scheme=\(scheme)", "peft.canonical=\(canonical)"]
        try check("mistral", settings, ["peft.loraplus_lr_ratio=8"], factor: 8) {
            !$0.hasSuffix(".linear_in.weight")
        }
    }

    /// Every module of every layer has a B whose norm changes by the ratio in a step of SGD.
    @Test(arguments: [false, true]) func everyMatrixBHasTheRateOfLoRAPlus(_ canonical: Bool) throws {
        let base = ["peft.scheme=lora", "peft.canonical=\(canonical)", "optimizer.optimizer=sgd"]
        func norms(_ settings: [String]) throws -> [String: Float] {
            try changes("mistral", base + settings).mapValues { change in
                change.reduce(0) { $0 + $1 * $1 }.squareRoot()
            }
        }
        let (plain, other) = (try norms([]), try norms(["peft.loraplus_lr_ratio=16"]))
        let modules =
            canonical
            ? ["adapter_q.", "adapter_k.", "adapter_v.", "adapter_gate.", "adapter_up."]
            : ["linear_qkv.", "linear_fc1."]
        for module in modules + ["linear_proj.", "linear_fc2."] {
            #expect(plain.keys.contains { $0.contains(module) && $0.contains(".linear_out.") }, "\(module)")
        }
        for (name, norm) in plain {
            let ratio = try #require(other[name]) / norm
            #expect(abs(ratio - (name.contains(".linear_in.") ? 1 : 16)) < 0.01, "\(name): \(ratio)")
        }
    }

    @Test func everyPartHasARateOfItsOwn() throws {
        try check("gemma3", [], ["optimizer.vision_model_lr=0.004"], factor: 4) {
            $0.hasPrefix("vision_tower.")
        }
        try check("gemma3", [], ["optimizer.vision_projection_lr=0.0005"], factor: 0.5) {
            $0.hasPrefix("multi_modal_projector.")
        }
        try check("mistral", [], ["optimizer.embedding_lr=0.002"], factor: 2) {
            $0.contains("word_embeddings") || $0.contains("output_layer")
        }
        let mixed = ["peft.scheme=lora", "peft.modules_to_save=[word_embeddings]"]
        try check("mistral", mixed, ["optimizer.adapter_lr=0.003"], factor: 3) { $0.contains(".adapter.") }
    }

    @Test(arguments: [
        (["optimizer.adapter_lr=1"], "optimizer.adapter_lr"),
        (["peft.finetune_mlp_modules=false"], "peft.finetune_mlp_modules"),
        (["peft.scheme=lora", "optimizer.embedding_lr=1"], "optimizer.embedding_lr"),
        (["model.freeze_vision_model=true", "optimizer.vision_model_lr=1"], "optimizer.vision_model_lr"),
    ]) func aRateOfWhatIsNotTrainedHasNoEffect(_ settings: [String], _ key: String) throws {
        var recipe = Recipe(name: "a")
        try recipe.apply(settings)
        let keys = Set(settings.compactMap { Recipe.Change($0)?.key })
        #expect(recipe.settingsWithoutEffect(among: keys).map(\.key).contains(key))
    }

    @Test func aStepWithALargeGradientIsSkipped() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply(["optimizer.grad_norm_skip_threshold=2"])
        var monitor = LossMonitor(recipe.train, recipe.optimizer)
        #expect(try monitor.check(loss: 1, gradientNorm: 2, iteration: 1, trained: 1) == .good)
        #expect(try monitor.check(loss: 1, gradientNorm: 2.1, iteration: 2, trained: 1) == .largeGradient)
        #expect(try monitor.check(loss: 1, gradientNorm: .nan, iteration: 3, trained: 1) == .notFinite)
    }
}
