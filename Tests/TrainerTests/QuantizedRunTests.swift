import BridgeCore
import Foundation
import Logging
import ModelSchema
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Adapters over weights of 8 and 4 bits.
@Suite struct QuantizedRunTests {
    private final class Log: TrainerCallback {
        var losses: [Double] = []
        func onStepEnd(_ step: StepRecord) { losses.append(step.loss) }
    }

    private let scratch: TemporaryDirectory
    private let data: String

    init() throws {
        scratch = try TemporaryDirectory()
        let rows = (0..<8).map { number in
            let ids = (0..<9 + number).map { "\(30 + ($0 * $0 + number) % 190)" }.joined(separator: ",")
            return #"{"input_ids": [\#(ids)], "labels": [\#(ids)]}"#
        }
        data = try scratch.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
    }

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
        var recipe = Recipe(name: "test")
        recipe.mixedPrecision = .fp32
        (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (steps, 2, 2)
        recipe.train.evalInterval = 0
        (recipe.optimizer.lr, recipe.optimizer.minLR, recipe.scheduler.lrWarmupIters) = (2e-2, 2e-2, 0)
        recipe.scheduler.lrDecayStyle = .constant
        (recipe.peft.scheme, recipe.peft.dim, recipe.peft.alpha) = (scheme, 3, 9)
        (recipe.model.seqLength, recipe.dataset.seqLength) = (32, 32)
        (recipe.model.loadIn4bit, recipe.model.quantizationGroupSize) = (isQuantized, isQuantized ? 32 : 64)
        (recipe.dataset.datasetType, recipe.dataset.trainDataPath) = (.tokenized, data)
        (recipe.dataset.numWorkers, recipe.dataset.shuffle) = (0, false)
        recipe.checkpoint.pretrainedCheckpoint = model
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (save, 2)
        return recipe
    }

    private func losses(_ recipe: Recipe) throws -> [Double] {
        let environment = TrainingRun.Environment(
            catalog: try PluginCatalog.standard(),
            engine: TestEngine.cpu(threadCount: 1),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            today: "2026-01-01"
        )
        let log = Log()
        _ = try TrainingRun(recipe, in: environment).trainer(callbacks: [log]).run()
        return log.losses
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora])
    func aRunOverPackedWeightsIsThatOverTheirValues(_ scheme: Recipe.PEFTSection.Scheme) throws {
        let models = try models()
        let found = try losses(recipe(models.packed, scheme, isQuantized: false))
        let expected = try losses(recipe(models.rounded, scheme, isQuantized: false))
        try #require(found.count == 4 && expected.count == 4)
        for (loss, other) in zip(found, expected) { #expect(abs(loss - other) <= 1e-4 * other) }
        // The embedding gets 8 bits too.
        let quantized = try losses(recipe(models.original, scheme))
        for (loss, other) in zip(quantized, expected) { #expect(abs(loss - other) <= 0.02 * other) }
        let exact = try losses(recipe(models.original, scheme, isQuantized: false))
        #expect(abs(quantized[0] - exact[0]) > 1e-4 * exact[0])
    }

    @Test func aRunOverFewerBitsResumesToTheBit() throws {
        let models = try models()
        let whole = try losses(recipe(models.original, save: scratch.path("whole")))
        var parts = try losses(recipe(models.original, steps: 2, save: scratch.path("parts")))
        parts += try losses(recipe(models.original, steps: 4, save: scratch.path("parts")))
        #expect(parts == whole)
    }

    @Test func theEstimateCountsFewerBits() throws {
        let models = try models()
        let bridge = try AutoBridge.fromHF(models.original)
        let engine = TestEngine.cpu(threadCount: 1)
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
        let error = #expect(throws: BridgeError.self) { _ = try losses(recipe(Fixtures.checkpoint("mistral"))) }
        #expect(error?.message.contains("no matrix of the model was quantized") ?? false)
    }
}
