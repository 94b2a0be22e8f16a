import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Adapters of the kinds that PEFT's configuration has, against peft: see `Tests/Fixtures/make_adapter_fixtures.py`.
@Suite struct AdapterParityTests {
    static let names = Result { try Fixtures.names("adapters").filter { !$0.contains(".") } }
    private static let engine = TestEngine.cpu(threadCount: 2)

    private let reference: Reference

    init() throws { reference = try Reference("adapters", in: "adapters") }

    private func base(_ name: String) -> String { name.hasPrefix("mistral-tied") ? "mistral-tied" : "mistral" }

    private func tokens(_ name: String) throws -> TokenBatch {
        try TokenBatch(inputs: reference.path, prefix: "\(base(name)).", on: Self.engine)
    }

    private func model(_ bridge: AutoBridge) throws -> any CausalModel {
        try bridge.toModel(elementType: .float32, on: Self.engine)
    }

    private func expect(_ logits: Tensor, _ name: String, _ what: Comment) throws {
        let (difference, scale) = gap(logits.floats(), try reference.floats("\(name).logits"))
        #expect(difference <= 1e-4 * scale, what)
    }

    @Test func everyKindIsThere() throws { #expect(try Self.names.get().count == 12) }

    @Test(arguments: try names.get()) func logitsAreThoseOfPEFTWhateverTheAdapterIsStoredAs(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(base(name)))
        let adapted = try model(bridge)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/\(name)", on: adapted)
        try expect(adapted.forward(tokens(name)).logits, name, "as PEFT stores it")
        let state = TrainingState(
            parameters: adapters.parameters + adapters.wholeParameters,
            adapters: adapters,
            moments: []
        )
        try bridge.save(state, to: directory.path("native"), iteration: 0, files: [])
        try bridge.exportAdapter(adapters, on: adapted, to: directory.path("peft"), baseModel: nil)
        for place in ["native", "peft"] {
            let other = try model(bridge)
            _ = try bridge.loadAdapters(from: directory.path(place), on: other)
            try expect(other.forward(tokens(name)).logits, name, "\(place)")
        }
        try bridge.exportMerged(adapters, on: adapted, to: directory.path("merged"))
        try expect(model(.fromHF(directory.path("merged"))).forward(tokens(name)).logits, name, "merged")
        try bridge.saveMerged(adapters, on: adapted, to: directory.path("whole"))
        let whole = try AutoBridge.fromMegatron(directory.path("whole"))
        let loaded = try whole.toModel(weights: directory.path("whole"), elementType: .float32, on: Self.engine)
        try expect(loaded.forward(tokens(name)).logits, name, "merged into a checkpoint")
    }

    @Test(arguments: ["mistral-head", "mistral-head-dora", "mistral-tied-head"])
    func adaptersOfTheHeadHaveTheLossesOfPEFT(_ name: String) throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(base(name)))
        let model = try model(bridge)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/\(name)", on: model)
        var section = Recipe.OptimizerSection()
        (section.adamBeta1, section.adamBeta2, section.adamEps) = (0.9, 0.95, 1e-5)
        let optimizer = try Optimizer(section, adapters.parameters, on: Self.engine)
        let ids = try reference.integers("\(base(name)).input_ids").map(Int32.init)
        let targets = ids.indices.map { $0 + 1 < ids.count && $0 > 0 ? ids[$0 + 1] : -100 }
        let (losses, norms) = (try reference.floats("\(name).losses"), try reference.floats("\(name).norms"))
        for step in losses.indices {
            optimizer.clearGradients()
            let loss = try model.loss(tokens(name), targets: targets, weight: 1 / Float(ids.count - 2))
            loss.backward()
            let norm = try optimizer.gradientNorm()
            try optimizer.step(rate: 2e-3, weightDecay: 0.1, gradientScale: min(1, 1 / (norm + 1e-6)))
            #expect(abs(loss.item - losses[step]) <= 1e-4 * losses[step], "loss of step \(step)")
            #expect(abs(norm - Double(norms[step])) <= 2e-3 * Double(norms[step]), "norm of step \(step)")
        }
    }

    /// A copy of an adapter with another setting.
    private func edited(_ name: String, _ key: String, _ value: JSON, in directory: TemporaryDirectory) throws -> String
    {
        let copy = directory.path("edited")
        try FileManager.default.copyItem(atPath: "\(Fixtures.root)/adapters/\(name)", toPath: copy)
        var json = try JSON(contentsOf: "\(copy)/adapter_config.json")
        json.set(value, at: key)
        try Data(json.text()).write(to: URL(filePath: "\(copy)/adapter_config.json"))
        return copy
    }

    @Test func iterationsOfPiSSAAreReadWhereTheyHaveOneResult() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let few = try edited("mistral-pissa", "init_lora_weights", "pissa_niter_2", in: directory)
        let error = #expect(throws: BridgeError.self) { _ = try bridge.loadAdapters(from: few, on: model(bridge)) }
        #expect(error?.message.contains("init_lora_weights is pissa_niter_2") ?? false, "\(error?.message ?? "")")
        let folder2 = try TemporaryDirectory()
        let many = try edited("mistral-pissa", "init_lora_weights", "pissa_niter_100000", in: folder2)
        let adapted = try model(bridge)
        _ = try bridge.loadAdapters(from: many, on: adapted)
        try expect(adapted.forward(tokens("mistral-pissa")).logits, "mistral-pissa", "many iterations")
    }

    @Test func modulesOutsideTheTargetsAreUnchangedAsInPEFT() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let path = try edited("mistral-patterns", "target_modules", ["v_proj"], in: directory)
        let adapters = try bridge.loadAdapters(from: path, on: model(bridge))
        let adapted = adapters.modules.flatMap(\.layers).filter { $0.adapter != nil }.map(\.weight.name)
        #expect(!adapted.isEmpty && adapted.allSatisfy { $0.hasSuffix("linear_qkv.weight[2]") })
        #expect(adapters.notes.contains { $0.contains("target_modules") && $0.contains("q_proj") })
    }

    @Test func aCheckpointWithMoreThanARunTrainsIsNotResumed() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let adapted = try model(bridge)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/mistral-full", on: adapted)
        let state = TrainingState(
            parameters: adapters.parameters + adapters.wholeParameters,
            adapters: adapters,
            moments: []
        )
        try bridge.save(state, to: directory.path("m"), iteration: 0, files: [])
        let less = TrainingState(parameters: adapters.parameters, adapters: adapters, moments: [])
        let error = #expect(throws: BridgeError.self) { try bridge.restore(less, from: directory.path("m")) }
        #expect(error?.message.contains("does not train") ?? false)
    }

    @Test func theTieIsRemovedWhenTheEmbeddingAloneIsReplaced() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral-tied"))
        let adapted = try model(bridge)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/mistral-tied-words", on: adapted)
        try bridge.exportMerged(adapters, on: adapted, to: directory.path("merged"))
        let merged = try HuggingFaceDirectory(path: directory.path("merged"))
        #expect(merged.configuration["tie_word_embeddings"] == false)
        #expect(merged.tensors["lm_head.weight"] != nil)
    }

    @Test func aResizedVocabularyIsInTheMergedConfiguration() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral-tied"))
        let adapted = try model(bridge)
        let adapters = try bridge.loadAdapters(from: "\(Fixtures.root)/adapters/mistral-tied-resized", on: adapted)
        let words = bridge.toProvider().decoder.vocabSize
        #expect(adapters.notes.contains { $0.contains("\(words + 5) tokens") && $0.contains("\(words)") })
        try bridge.exportMerged(adapters, on: adapted, to: directory.path("merged"))
        let merged = try HuggingFaceDirectory(path: directory.path("merged"))
        #expect(merged.configuration["vocab_size"]?.integer == words + 5)
    }

    @Test func rsLoRADividesAlphaByTheRoot() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply(["peft.scheme=lora", "peft.dim=4", "peft.alpha=6", "peft.use_rslora=true"])
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let model = try model(bridge)
        let adapters = try AdapterSet(recipe.peft, on: model, seed: 1)
        #expect(adapters.modules[0].layers[0].adapter?.scale == 6 / 4.0.squareRoot())
        let directory = try TemporaryDirectory()
        try bridge.exportAdapter(adapters, on: model, to: directory.path("peft"), baseModel: nil)
        let json = try JSON(contentsOf: directory.path("peft/adapter_config.json"))
        #expect(json["use_rslora"] == true && json["lora_alpha"] == 6 && json["r"] == 4)
    }

    @Test func theOutputLayerOfATiedModelCanHaveAdaptersOfItsOwn() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply(["peft.scheme=lora", "peft.dim=4", "peft.target_modules=[output_layer]"])
        let model = try model(.fromHF(Fixtures.checkpoint("mistral-tied")))
        let adapters = try AdapterSet(recipe.peft, on: model, seed: 1)
        #expect(adapters.parameters.map(\.name).contains("output_layer.adapter.linear_in.weight"))
        try recipe.apply(["peft.modules_to_save=[word_embeddings]"])
        let other = try self.model(.fromHF(Fixtures.checkpoint("mistral-tied")))
        let error = #expect(throws: BridgeError.self) { _ = try AdapterSet(recipe.peft, on: other, seed: 1) }
        #expect(error?.message.contains("tied") ?? false)
    }

    /// PEFT wraps an adapted layer, whose own parameters are then `base_layer.weight` and `base_layer.bias`
    /// (peft/tuners/lora/layer.py, 0.21).
    @Test func theBiasOfAnAdaptedModuleIsPartOfItsBaseLayer() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply([
            "peft.scheme=lora", "peft.dim=2", "peft.vision_lora=true", "peft.modules_to_save=[vision_tower]",
        ])
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3"))
        let model = try model(bridge)
        let adapters = try AdapterSet(recipe.peft, on: model, seed: 3)
        for (index, parameter) in adapters.wholeParameters.enumerated() {
            let shape = parameter.tensor.shape
            let values = (0..<shape.reduce(1, *)).map { Float(($0 * 7 + index) % 13) / 64 - 0.1 }
            parameter.replace(with: Tensor(values, shape: shape, on: Self.engine))
        }
        let directory = try TemporaryDirectory()
        try bridge.exportAdapter(adapters, on: model, to: directory.path("peft"), baseModel: nil)
        let names = Set(try SafetensorsFile(path: directory.path("peft/adapter_model.safetensors")).tensors.map(\.name))
        let tower = "base_model.model.model.vision_tower."
        let adapted = names.filter { $0.hasPrefix(tower) && $0.hasSuffix(".lora_A.weight") }
            .map { String($0.dropLast(".lora_A.weight".count)) }
        #expect(adapted.count > 4, "\(adapted)")
        for module in adapted {
            #expect(names.contains("\(module).base_layer.weight"), "\(module)")
            #expect(names.contains("\(module).base_layer.bias"), "\(module)")
            #expect(!names.contains("\(module).bias") && !names.contains("\(module).weight"), "\(module)")
        }
        let other = try self.model(bridge)
        _ = try bridge.loadAdapters(from: directory.path("peft"), on: other)
        let found = Dictionary(uniqueKeysWithValues: other.parameters.map { ($0.name, $0) })
        for parameter in adapters.wholeParameters {
            #expect(found[parameter.name]?.tensor.floats() == parameter.tensor.floats(), "\(parameter.name)")
        }
    }

    /// PEFT would train the rows of the embedding and an adapter of the same matrix beside each other.
    @Test func trainedTokensBesideAnAdapterOfATiedOutputLayerAreRefused() throws {
        let directory = try TemporaryDirectory()
        let copy = try edited("mistral-tied-tokens", "target_modules", ["q_proj", "lm_head"], in: directory)
        let file = "\(copy)/adapter_model.safetensors"
        let head = try StoredNumbers.all(
            inFile: "\(Fixtures.root)/adapters/mistral-tied-head/adapter_model.safetensors"
        )
        let both = try StoredNumbers.all(inFile: file).merging(head.filter { $0.key.contains("lm_head") }) { $1 }
        try SafetensorsFile.write(
            both.sorted { $0.key < $1.key }.map {
                ($0.key, Tensor($0.value.values, shape: $0.value.shape, on: Self.engine))
            },
            to: file
        )
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral-tied"))
        let error = #expect(throws: BridgeError.self) { _ = try bridge.loadAdapters(from: copy, on: model(bridge)) }
        for word in ["trainable_token_indices", "output layer", "tied", "supported"] {
            #expect(error?.message.contains(word) ?? false, "\(error?.message ?? "")")
        }
    }

    /// Adapters that were saved under transformers 4.50 have the names of its modules: the language model's layers below
    /// `language_model.model.`, SigLIP's below `vision_tower.vision_model.` (modeling_gemma3.py and
    /// modeling_mistral3.py, 4.50).
    ///
    /// The same numbers under transformers 5's names are the reference.
    @Test(arguments: ["gemma3", "ministral3"], [false, true])
    func theNamesOfTransformers450AreThoseOfTheSameModules(_ family: String, _ usesExpression: Bool) throws {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(family))
        let adapted = try model(bridge)
        var recipe = Recipe(name: "a")
        try recipe.apply(["peft.scheme=lora", "peft.dim=2", "peft.alpha=6", "peft.vision_lora=true"])
        let adapters = try AdapterSet(recipe.peft, on: adapted, seed: 3)
        for (index, parameter) in adapters.parameters.enumerated() {
            let shape = parameter.tensor.shape
            let values = (0..<shape.reduce(1, *)).map { Float(($0 * 5 + index) % 11) / 32 - 0.15 }
            parameter.replace(with: Tensor(values, shape: shape, on: Self.engine))
        }
        let directory = try TemporaryDirectory()
        try bridge.exportAdapter(adapters, on: adapted, to: directory.path("new"), baseModel: nil)
        let tower = family == "gemma3" ? "vision_tower.vision_model." : "vision_tower."
        func old(_ name: String) -> String {
            name.replacingOccurrences(of: "model.model.language_model.", with: "model.language_model.model.")
                .replacingOccurrences(of: "model.model.vision_tower.", with: "model.\(tower)")
        }
        try FileManager.default.copyItem(atPath: directory.path("new"), toPath: directory.path("old"))
        let file = directory.path("old/adapter_model.safetensors")
        let tensors = try StoredNumbers.all(inFile: file)
        #expect(tensors.keys.contains { $0.contains("vision_tower") && old($0) != $0 })
        // A pattern of that time gives one module another alpha: 9 in the place of 6.
        let pattern = "language_model.model.layers.1.self_attn.q_proj"
        try SafetensorsFile.write(
            tensors.map { (old($0.key), $0.value) }.sorted { $0.0 < $1.0 }.map { name, stored in
                let scale: Float = name.contains("\(pattern).lora_B") ? 6 / 9 : 1
                return (name, Tensor(stored.values.map { $0 * scale }, shape: stored.shape, on: Self.engine))
            },
            to: file
        )
        var json = try JSON(contentsOf: directory.path("old/adapter_config.json"))
        json.set(["\(pattern)": 9], at: "alpha_pattern")
        if usesExpression {
            json.set(
                .string(
                    "(?:language_model\\.model\\.layers\\..*_proj|\(tower.replacingOccurrences(of: ".", with: "\\."))"
                        + ".*(?:_proj|fc1|fc2))"
                ),
                at: "target_modules"
            )
        }
        try directory.write(json.text(), to: "old/adapter_config.json")
        let other = try model(bridge)
        let read = try bridge.loadAdapters(from: directory.path("old"), on: other)
        #expect(!read.notes.contains { $0.contains("target_modules") }, "\(read.notes)")
        let found = Dictionary(
            uniqueKeysWithValues: read.modules.flatMap(\.layers).compactMap { layer in
                layer.adapter.map { (layer.weight.name, $0) }
            }
        )
        for layer in adapters.modules.flatMap(\.layers) {
            guard let expected = layer.adapter else { continue }
            let adapter = try #require(found[layer.weight.name], "\(layer.weight.name)")
            let (mine, theirs) = (adapter.output.tensor.floats(), expected.output.tensor.floats())
            #expect(adapter.input.weight.tensor.floats() == expected.input.weight.tensor.floats())
            // The product of factor and matrix is what counts; 6 / 9 is rounded once.
            let differences = zip(mine, theirs).map { abs($0 * Float(adapter.scale) - $1 * Float(expected.scale)) }
            #expect((differences.max() ?? 1) < 1e-6, "\(layer.weight.name)")
        }
    }
}
