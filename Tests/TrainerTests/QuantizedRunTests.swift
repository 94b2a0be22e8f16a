import BridgeCore
import ModelSchema
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Adapters over weights of 8 and 4 bits.
@Suite struct QuantizedRunTests {
    private let bench: SmallRun
    private var scratch: TemporaryDirectory { bench.scratch }

    init() throws { bench = try SmallRun() }

    /// A model whose rows have whole groups, the same with weights of 4 bits, and with their values as float32.
    private func models() throws -> (original: String, packed: String, rounded: String) {
        let paths = ["toy", "packed", "megatron", "rounded"].map(scratch.path)
        for words in [
            ["toy", "--family", "mistral", "--hidden-size", "128", "--dtype", "float32", "--output", paths[0]],
            ["quantize", paths[0], paths[1], "--bits", "4", "--group-size", "32"],
            ["convert", "import", "--hf-model", paths[1], "--megatron-path", paths[2]],
            ["convert", "export", "--megatron-path", paths[2], "--hf-path", paths[3]],
        ] {
            let outcome = try BridgeProcess(words).wait()
            try #require(outcome.status == 0, "\(outcome.errors)")
        }
        return (paths[0], paths[1], paths[3])
    }

    private func recipe(
        _ model: String,
        _ scheme: Recipe.PEFTSection.Scheme = .lora,
        isQuantized: Bool = true,
        steps: Int = 4,
        save: String = ""
    ) -> Recipe {
        var recipe = bench.recipe(scheme, steps: steps, save: save)
        (recipe.model.loadIn4bit, recipe.model.quantizationGroupSize) = (isQuantized, isQuantized ? 32 : 64)
        (recipe.checkpoint.pretrainedCheckpoint, recipe.checkpoint.saveInterval) = (model, 2)
        return recipe
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func aRunOverPackedWeightsIsThatOverTheirValues(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let models = try models()
        let found = try SmallRun.run(recipe(models.packed, scheme, isQuantized: false))
        let expected = try SmallRun.run(recipe(models.rounded, scheme, isQuantized: false))
        try #require(found.count == 4 && expected.count == 4)
        for (loss, other) in zip(found, expected) { #expect(abs(loss - other) <= 1e-4 * other) }
        // The embedding gets 8 bits too.
        let quantized = try SmallRun.run(recipe(models.original, scheme))
        for (loss, other) in zip(quantized, expected) { #expect(abs(loss - other) <= 0.02 * other) }
        let exact = try SmallRun.run(recipe(models.original, scheme, isQuantized: false))
        #expect(abs(quantized[0] - exact[0]) > 1e-4 * exact[0])
    }

    @Test func aRunOverFewerBitsResumesToTheBit() throws {
        let models = try models()
        let whole = try SmallRun.run(recipe(models.original, save: scratch.path("whole")))
        var parts = try SmallRun.run(recipe(models.original, steps: 2, save: scratch.path("parts")))
        parts += try SmallRun.run(recipe(models.original, steps: 4, save: scratch.path("parts")))
        #expect(parts == whole)
    }

    @Test func theEstimateCountsFewerBits() throws {
        let models = try models()
        let bridge = try AutoBridge.fromHF(models.original)
        let engine = SmallRun.engine
        let weights = try [true, false].map {
            try RunEstimate(bridge, recipe(models.original, isQuantized: $0), ranks: 1, on: engine).rank(0).weights
        }
        let model = try bridge.toModel(elementType: .float32, on: engine)
        let choice = try #require(recipe(models.original).quantization)
        let saved = model.parameters.reduce(0) { sum, parameter in
            let (name, shape) = (parameter.name, parameter.tensor.shape)
            guard let format = choice.format(of: name, shape: shape) else { return sum }
            // Each group of 32 numbers of 4 or 8 bits has a factor of 2 bytes.
            return sum + shape[0] * shape[1] * 4 - shape[0] * (shape[1] * format.bits / 8 + shape[1] / 32 * 2)
        }
        #expect(saved > 0 && weights[1] - weights[0] == saved)
    }

    @Test func whatCannotBeIsRefused() throws {
        func problems(_ change: (inout Recipe) -> Void) -> String {
            var recipe = recipe(Fixtures.checkpoint("mistral"))
            change(&recipe)
            return RecipeCheck(recipe).problems.joined(separator: "\n")
        }
        #expect(problems { $0.peft.scheme = .none }.contains("weights of fewer bits cannot be trained"))
        #expect(problems { $0.model.loadIn8bit = true }.contains("are both true"))
        #expect(problems { $0.model.quantizationGroupSize = 48 }.contains("expected 32, 64 or 128"))
        #expect(problems { $0.checkpoint.randomInit = true }.contains("checkpoint.random_init reads no weights"))
        // No matrix of this model has whole groups.
        let error = #expect(throws: BridgeError.self) { _ = try SmallRun.run(recipe(Fixtures.checkpoint("mistral"))) }
        #expect(error?.message.contains("no matrix of the model was quantized") ?? false)
    }
}
