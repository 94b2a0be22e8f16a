import BridgeCore
import Foundation
import TestSupport
import Testing
import Trainer

@testable import TensorRuntime

/// Models on an engine whose memory the host cannot touch, beside the same on the processor, bit by bit.
@Suite struct GuardedEngineTests {
    private static let names = ["mistral-window", "ministral3", "gemma3"]

    /// The same work on the processor and on a guarded engine around it.
    private func onBoth<Result>(_ body: (any TensorEngine) throws -> Result) rethrows -> (Result, Result) {
        let processor = TestEngine.cpu(threadCount: 2)
        return (try body(processor), try body(GuardedEngine(processor)))
    }

    private static func batch(_ name: String, on engine: any TensorEngine) throws -> TokenBatch {
        let reference = try Reference(name)
        let prefix = reference.cases.first { $0.contains("image") } ?? reference.cases[0]
        return try TokenBatch(inputs: reference.path, prefix: prefix, on: engine)
    }

    @Test func memoryCannotBeReadOutsideOfTheEngine() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            let tensor = Tensor([1, 2], shape: [2], on: GuardedEngine(TestEngine.cpu(threadCount: 1)))
            guard tensor.floats() == [1, 2] else { return }
            _ = tensor.pointer.load(as: Float.self)
        }
    }

    @Test(arguments: names, [ElementType.float32, .bfloat16])
    func forwardPassesAreThoseOfTheProcessor(_ name: String, _ type: ElementType) throws {
        let (expected, found) = try onBoth { engine in
            let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: type, on: engine)
            let batch = try Self.batch(name, on: engine)
            let output = try model.forward(batch, keepsHiddenStates: true)
            return ([output.logits] + output.hiddenStates).map { $0.floats() }
        }
        #expect(found == expected)
        #expect(expected[0].contains { $0 != 0 })
    }

    @Test(arguments: names)
    func generatedTextIsThatOfTheProcessor(_ name: String) throws {
        let (expected, found) = try onBoth { engine in
            let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: engine)
            let generator = Generator(model)
            let batch = try Self.batch(name, on: engine)
            var logits: [[Float]] = []
            // One sequence; the second turn meets a cache that is there, and goes beyond the window.
            var prompt = Array(batch.tokens[..<batch.length])
            for turn in 0..<2 {
                _ = try generator.run(prompt, images: batch.images, options: .init(maxNewTokens: 5)) {
                    logits.append($0.logits)
                    prompt.append($0.token)
                    return true
                }
                prompt += (0..<17 * (turn + 1)).map { Int32(20 + 11 * $0) }
            }
            return logits
        }
        #expect(found == expected)
        #expect(expected.count > 2)
    }

    /// Every way to train: its optimizer, its adapters, and what is recomputed.
    enum Way: CaseIterable {
        case adamW, sgd, dora, recomputed

        func apply(to recipe: inout Recipe) {
            switch self {
            case .adamW: break
            case .sgd: (recipe.optimizer.optimizer, recipe.optimizer.lr) = (.sgd, 0.1)
            case .dora:
                recipe.peft.scheme = .dora
                (recipe.peft.dim, recipe.peft.alpha, recipe.peft.dropout) = (3, 5, 0.2)
            case .recomputed: recipe.model.recomputeGranularity = .full
            }
        }
    }

    @Test(arguments: names, Way.allCases)
    func trainingAndItsCheckpointAreThoseOfTheProcessor(_ name: String, _ way: Way) throws {
        let directory = try TemporaryDirectory()
        var count = 0
        let (expected, found) = try onBoth { engine in
            count += 1
            let path = directory.path("\(count)")
            var recipe = Recipe(name: "test")
            (recipe.train.trainIters, recipe.train.globalBatchSize, recipe.train.microBatchSize) = (2, 2, 1)
            (recipe.optimizer.lr, recipe.optimizer.minLR) = (1e-3, 1e-4)
            (recipe.train.evalInterval, recipe.checkpoint.save) = (0, path)
            recipe.logger.logParamsNorm = true
            way.apply(to: &recipe)
            let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
            let model = try bridge.toModel(elementType: .bfloat16, on: engine)
            try model.freeze(by: recipe)
            let adapters = recipe.peft.scheme == .none ? nil : try AdapterSet(recipe.peft, on: model, seed: 3)
            let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let log = Log()
            let trainer = try Trainer(
                Trainer.Components(
                    recipe: recipe,
                    model: model,
                    adapters: adapters,
                    samples: Repeated(batch: Self.batch(name, on: engine)),
                    callbacks: [log],
                    checkpoints: RunCheckpoints(
                        bridge,
                        recipe,
                        directory: RunDirectory(recipe.checkpoint),
                        configuration: [],
                        logger: logger
                    ),
                    metadata: RunMetadata(name: recipe.name, metadata: [])
                ),
                logger: logger
            )
            #expect(try trainer.run().end == .done)
            let parameters = model.parameters + (adapters?.parameters ?? [])
            try SafetensorsFile.write(parameters.map { ($0.name, $0.tensor) }, to: "\(path)/model.safetensors")
            return log.numbers
        }
        #expect(found == expected)
        #expect(expected.count == 6 && Set(expected).count == 6)
        var (first, second) = (try contents(of: directory.path("1")), try contents(of: directory.path("2")))
        // The time of a run and its path.
        for name in first.keys where name.hasSuffix("train_state.json") { (first[name], second[name]) = (nil, nil) }
        #expect(first.keys.contains { $0.contains("optimizer") } && first.keys.contains("model.safetensors"))
        #expect(Set(first.keys) == Set(second.keys))
        for (name, bytes) in first { #expect(second[name] == bytes, "\(name)") }
    }

    /// The same batch in every step.
    private struct Repeated: BatchSource {
        let tokens: TrainingBatch

        init(batch: TokenBatch) {
            let targets = batch.tokens.indices.map { place -> Int32 in
                (place + 1) % batch.length == 0 ? -100 : min(batch.tokens[place + 1], 300)
            }
            tokens = TrainingBatch(tokens: batch, targets: targets)
        }

        func batch(first: Int, count: Int) -> TrainingBatch { tokens }
    }

    private final class Log: TrainerCallback {
        var numbers: [Double] = []
        func onStepEnd(_ step: StepRecord) {
            numbers += [step.loss, step.gradientNorm, step.parametersNorm ?? .nan]
        }
    }
}
