import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Adapters that start as parts of the weights (PiSSA, OLoRA); that they train as PEFT's do is in `compare_training.py`.
@Suite struct AdapterInitializationTests {
    private typealias Section = Recipe.PEFTSection

    private let bench: SmallRun
    private var scratch: TemporaryDirectory { bench.scratch }
    private static let engine = SmallRun.engine

    init() throws { bench = try SmallRun() }

    private func recipe(
        _ start: Recipe.PEFTSection.Initialization = .pissa,
        _ scheme: Recipe.PEFTSection.Scheme = .lora,
        isCanonical: Bool = true,
        steps: Int = 4,
        save: String = ""
    ) -> Recipe {
        var recipe = bench.recipe(scheme, steps: steps, save: save)
        (recipe.peft.initLoRAWeights, recipe.peft.canonical) = (start, isCanonical)
        return recipe
    }

    private func adapted(_ recipe: Recipe) throws -> (model: any CausalModel, adapters: AdapterSet) {
        let model = try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).toModel(
            elementType: .float32,
            on: Self.engine
        )
        return (model, try AdapterSet(recipe.peft, on: model, seed: 5))
    }

    /// A row times a matrix, in double precision.
    private static func product(_ row: [Double], _ matrix: [[Double]]) -> [Double] {
        matrix[0].indices.map { column in row.indices.reduce(0) { $0 + row[$1] * matrix[$1][column] } }
    }

    private static func rows(_ tensor: Tensor) -> [[Double]] {
        let (values, width) = (tensor.detached.floats(), tensor.shape[1])
        return stride(from: 0, to: values.count, by: width).map { values[$0..<$0 + width].map(Double.init) }
    }

    private static func transposed(_ matrix: [[Double]]) -> [[Double]] {
        matrix[0].indices.map { column in matrix.map { $0[column] } }
    }

    /// Of singular values and vectors: `W v = s u`, `W' u = s v`, with u and v in A and B, each with the root of s over the
    /// scale; and no other vector is longer after W than the last of them (power iteration on what remains of W).
    @Test(arguments: [true, false]) func aAndBAreTheLargestSingularValues(_ isCanonical: Bool) throws {
        let (_, adapters) = try adapted(recipe(isCanonical: isCanonical))
        for module in adapters.modules {
            let groups =
                isCanonical ? module.layers.map { [$0] } : [module.layers]
            for layers in groups {
                let weight = layers.flatMap { Self.rows($0.weight.tensor) }
                let adapter = try #require(layers[0].adapter)
                let down = Self.rows(adapter.input.weight.tensor)
                let up = Self.transposed(layers.flatMap { Self.rows($0.adapter?.output.tensor ?? $0.weight.tensor) })
                #expect(down.count == 3 && up.count == 3)
                let scale = adapter.scale
                var rest = weight
                var last = Double.infinity
                for (a, b) in zip(down, up) {
                    let (lengthA, lengthB) = (a.reduce(0) { $0 + $1 * $1 }, b.reduce(0) { $0 + $1 * $1 })
                    #expect(abs(lengthA - lengthB) < 1e-5 * lengthA)
                    let value = scale * lengthA
                    #expect(value <= last * (1 + 1e-6))
                    last = value
                    let image = weight.map { zip($0, a).reduce(0) { $0 + $1.0 * $1.1 } }
                    #expect(zip(image, b).allSatisfy { abs($0 - value * $1) < 1e-5 * value }, "\(module.name)")
                    let back = Self.product(b, weight)
                    #expect(zip(back, a).allSatisfy { abs($0 - value * $1) < 1e-5 * value }, "\(module.name)")
                    for row in rest.indices {
                        for column in a.indices { rest[row][column] -= scale * b[row] * a[column] }
                    }
                }
                var vector = (0..<rest[0].count).map { sin(Double($0) + 1) }
                for _ in 0..<60 {
                    let image = rest.map { zip($0, vector).reduce(0) { $0 + $1.0 * $1.1 } }
                    vector = Self.product(image, rest)
                    let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
                    vector = vector.map { $0 / length }
                }
                let image = rest.map { zip($0, vector).reduce(0) { $0 + $1.0 * $1.1 } }
                #expect(image.reduce(0) { $0 + $1 * $1 }.squareRoot() <= last * (1 + 1e-4), "\(module.name)")
            }
        }
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora], [true, false])
    func trainingStartsWithTheModelAndResumesToTheBit(_ scheme: Recipe.PEFTSection.Scheme, _ isCanonical: Bool) throws {
        for start in [Recipe.PEFTSection.Initialization.pissa, .olora] {
            func recipe(_ start: Recipe.PEFTSection.Initialization, save: String = "") -> Recipe {
                self.recipe(start, scheme, isCanonical: isCanonical, steps: 5, save: save)
            }
            let (plain, whole) = (try SmallRun.run(recipe(.standard)), try SmallRun.run(recipe(start)))
            #expect(abs(whole[0] - plain[0]) < 2e-6 * plain[0])
            #expect(whole[4] < whole[0] - 0.1 && abs(whole[4] - plain[4]) > 1e-3)
            let save = scratch.path("\(start)")
            var first = recipe(start, save: save)
            first.train.exitInterval = 2
            #expect(try SmallRun.run(first) + SmallRun.run(recipe(start, save: save)) == whole)
            #expect(
                SmallRun.message { _ = try SmallRun.run(recipe(.standard, save: save)) }.contains(
                    "was saved with other settings"
                )
            )
        }
    }

    @Test func aLayoutDoesNotChangeTheLosses() throws {
        let expected = try SmallRun.run(recipe())
        var (pipelined, copied) = (recipe(), recipe())
        pipelined.model.pipelineModelParallelSize = 2
        copied.train.microBatchSize = 1
        for recipe in [pipelined, copied] {
            for losses in try ThreadWorld.run(2, { try SmallRun.run(recipe, in: $0) }) {
                for (loss, other) in zip(losses, expected) { #expect(abs(loss - other) <= 1e-5 * other) }
            }
        }
        let divided = {
            var recipe = recipe()
            recipe.model.tensorModelParallelSize = 2
            return recipe
        }()
        let text = SmallRun.message { _ = try ThreadWorld.run(2) { try SmallRun.run(divided, in: $0) } }
        #expect(text.contains("peft.init_lora_weights is pissa, which decomposes whole weights"), "\(text)")
        var stored = divided
        stored.checkpoint.ckptFormat = .torchDist
        let problems = RecipeCheck(stored, abilities: .init(readsImages: true)).problems
        for words in ["which decomposes whole weights", "checkpoint.ckpt_format is torch_dist"] {
            #expect(problems.contains { $0.contains(words) }, "\(problems)")
        }
    }

    @Test(arguments: [Recipe.PEFTSection.Scheme.lora, .dora], [true, false])
    func whatWasTrainedIsAnAdapterOfTheModelAsItIs(_ scheme: Recipe.PEFTSection.Scheme, _ isCanonical: Bool) throws {
        let (save, peft, merged) = (scratch.path("saved"), scratch.path("peft"), scratch.path("merged"))
        let ids = (0..<12).map { Int32(30 + $0 * 7 % 190) }
        let batch = TokenBatch(tokens: ids)
        var expected: [Float] = []
        _ = try SmallRun.run(recipe(scheme: scheme, isCanonical: isCanonical, save: save)) { run in
            expected = try withoutGradients { try run.model.forward(batch).logits.floats() }
            let adapters = try #require(run.adapters)
            try run.bridge.exportMerged(adapters, on: run.model, to: merged)
        }
        // Megatron Bridge has no such start.
        let checkpoint = try AutoBridge.fromMegatron(save)
        var options = ConversionOptions()
        #expect(try checkpoint.reshardPlan(options).byteCount > 0)
        options.container = .torchDist
        #expect(
            SmallRun.message { _ = try checkpoint.reshardPlan(options) }.contains(
                "adapters that start as parts of the weights"
            )
        )
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        // PEFT's format needs no weight of the model: what was taken from it is in the checkpoint.
        let shapes = try bridge.shapeOnlyModel(elementType: .float32, on: Self.engine)
        let loaded = try bridge.loadAdapters(from: save, on: shapes)
        try bridge.exportAdapter(loaded, on: shapes, to: peft, baseModel: nil)
        let json = try JSON(contentsOf: "\(peft)/adapter_config.json")
        #expect(json["r"] == 6 && json["lora_alpha"] == 18 && json["init_lora_weights"] == true)
        #expect(loaded.ranks == [6])
        let plain = try bridge.toModel(elementType: .float32, on: Self.engine)
        let base = try plain.forward(batch).logits.floats()
        for directory in [save, peft] {
            let model = try bridge.toModel(elementType: .float32, on: Self.engine)
            _ = try bridge.loadAdapters(from: directory, on: model)
            let found = try model.forward(batch).logits.floats()
            let (difference, scale) = gap(found, expected)
            #expect(difference <= 1e-5 * scale, "\(directory)")
            #expect(gap(found, base).difference > 1e-2 * scale)
            #expect(try withoutAdapters { try model.forward(batch).logits.floats() } == base)
        }
        let whole = try AutoBridge.fromHF(merged).toModel(elementType: .float32, on: Self.engine)
        let (difference, scale) = gap(try whole.forward(batch).logits.floats(), expected)
        #expect(difference <= 1e-5 * scale)
    }

    /// The start of an adapter that is continued stays what it is.
    @Test func aContinuedAdapterKeepsItsStart() throws {
        let save = scratch.path("first")
        _ = try SmallRun.run(recipe(save: save))
        let longer = try SmallRun.run(recipe(steps: 5))
        var next = recipe(.standard)
        next.peft.adapterNameOrPath = save
        let losses = try SmallRun.run(next) { run in
            let adapters = try #require(run.adapters)
            #expect(adapters.trainedParameters.count * 2 == adapters.parameters.count)
            #expect(adapters.parameters.filter { !$0.isTrainable }.allSatisfy { $0.name.contains(".start.linear_") })
        }
        #expect(losses[0] == longer[4])
        for (tensor, pipeline) in [(2, 1), (1, 2)] {
            let divided = { [next] in
                var recipe = next
                recipe.model.tensorModelParallelSize = tensor
                recipe.model.pipelineModelParallelSize = pipeline
                return recipe
            }()
            for found in try ThreadWorld.run(2, { try SmallRun.run(divided, in: $0) }) {
                for (loss, other) in zip(found, losses) { #expect(abs(loss - other) <= 1e-5 * other) }
            }
        }
    }

    private func recipe(scheme: Recipe.PEFTSection.Scheme, isCanonical: Bool, save: String) -> Recipe {
        recipe(.pissa, scheme, isCanonical: isCanonical, save: save)
    }

}
