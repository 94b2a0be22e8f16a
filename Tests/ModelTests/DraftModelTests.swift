import BridgeCore
import ModelSchema
import TensorRuntime
import TestSupport
import Testing

@testable import Models

/// Generation with a draft model against the plain one.
@Suite struct DraftModelTests {
    private static let engine = GeneratorTests.engine

    private func model(_ name: String, _ type: ElementType = .float32) throws -> any CausalModel {
        try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: type, on: Self.engine)
    }

    private func tokens(_ count: Int, from start: Int = 0) -> [Int32] {
        (start..<start + count).map { Int32(20 + $0 * $0 % 379) }
    }

    private struct Run: Equatable {
        var tokens: [Int32] = []
        var logits: [[Float]] = []
    }

    private func run(
        _ generator: Generator,
        _ prompt: [Int32],
        images: [Tensor] = [],
        _ options: Generator.Options = .init(maxNewTokens: 36)
    ) throws -> (run: Run, timings: Generator.Timings) {
        var run = Run()
        let timings = try generator.run(prompt, images: images, options: options) {
            run.tokens.append($0.token)
            run.logits.append($0.logits)
            return true
        }
        return (run, timings)
    }

    /// A model that often agrees with another one: its weights with a little noise.
    static func draft(of name: String, _ type: ElementType = .float32, noise: Float = 0.002) throws -> any CausalModel {
        let model = try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: type, on: engine)
        let random = RandomStream(seed: 5, stream: 1)
        for (number, parameter) in model.parameters.enumerated() {
            let tensor = parameter.tensor
            let values = random.named("\(number)").normal(0..<tensor.count)
            let noisy = zip(tensor.floats(), values).map { $0 + noise * $1 }
            parameter.replace(with: Tensor(noisy, shape: tensor.shape, tensor.elementType, on: engine))
        }
        return model
    }

    @Test(
        arguments: ["mistral", "mistral-window", "mistral-yarn", "ministral3", "gemma3"],
        [ElementType.float32, .bfloat16]
    )
    func greedyTokensAndLogitsAreThoseOfThePlainRunToTheBit(_ name: String, _ type: ElementType) throws {
        let target = try model(name, type)
        let draft = try Self.draft(of: name, type)
        var shares: Set<Int> = []
        for (length, count) in [(3, 4), (23, 4), (9, 17)] {
            let prompt = tokens(length, from: 3 * length)
            let plain = try run(Generator(target), prompt)
            let generator = Generator(target, draft: draft, draftTokenCount: count)
            let found = try run(generator, prompt)
            #expect(found.run.tokens == plain.run.tokens)
            #expect(found.run.logits == plain.run.logits)
            let timings = found.timings
            #expect(timings.decodeTokens == plain.timings.decodeTokens && timings.prefillTokens == length)
            #expect(timings.acceptedTokens <= timings.draftedTokens)
            // Each pass gives what it accepts and one more, but for the end.
            #expect(timings.verifications + timings.acceptedTokens >= timings.decodeTokens)
            shares.insert(timings.draftedTokens == timings.acceptedTokens ? 2 : timings.acceptedTokens > 0 ? 1 : 0)
            // The next turn continues with the caches of both.
            let second = prompt + found.run.tokens + tokens(4, from: 77)
            let plainGenerator = Generator(target)
            _ = try run(plainGenerator, prompt)
            let next = try run(generator, second)
            #expect(next.timings.prefillTokens == 5)
            #expect(try run(plainGenerator, second).run == next.run)
        }
        // Some proposals were accepted and some rejected.
        #expect(shares.contains(1), "\(shares)")
    }

    @Test(arguments: ["mistral", "gemma3"]) func theModelItselfHasAllItsProposalsAccepted(_ name: String) throws {
        let model = try model(name)
        let (found, timings) = try run(Generator(model, draft: try self.model(name), draftTokenCount: 4), tokens(12))
        #expect(found == (try run(Generator(model), tokens(12))).run)
        #expect(timings.draftedTokens > 0 && timings.acceptedTokens == timings.draftedTokens)
        // 35 tokens follow the first one, five a pass.
        #expect(timings.verifications == 7)
    }

    @Test(arguments: [4, 8]) func quantizedWeightsGiveTheSameBitsForSeveralRows(_ bits: Int) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("toy")
        let made = try BridgeProcess.run("toy", "--family", "gemma3", "--output", path, "--hidden-size", "128")
        try #require(made.status == 0, "\(made.errors)")
        let bridge = try AutoBridge.fromHF(path)
        let choice = WeightQuantization(
            layers: try #require(QuantizedFormat(bits: bits, groupSize: 32)),
            tables: QuantizedFormat(bits: 8, groupSize: 32)
        )
        let target = try bridge.toModel(elementType: .bfloat16, on: Self.engine, quantization: choice)
        let dense = try bridge.toModel(elementType: .bfloat16, on: Self.engine)
        let plain = try run(Generator(target), tokens(11))
        let found = try run(Generator(target, draft: dense, draftTokenCount: 6), tokens(11))
        #expect(found.run == plain.run && found.timings.draftedTokens > 0)
    }

    @Test func imagesAreSeenByBoth() throws {
        for name in ["ministral3", "gemma3"] {
            let target = try model(name)
            let batch = try TokenBatch(
                inputs: "\(Fixtures.root)/reference/\(name).safetensors",
                prefix: "one_image.",
                on: Self.engine
            )
            let plain = try run(Generator(target), batch.tokens, images: batch.images)
            let generator = Generator(target, draft: try Self.draft(of: name), draftTokenCount: 4)
            let found = try run(generator, batch.tokens, images: batch.images)
            #expect(found.run == plain.run && found.timings.draftedTokens > 0)
            let textOnly = Generator(target, draft: try model("mistral"))
            let error = #expect(throws: BridgeError.self) {
                _ = try run(textOnly, batch.tokens, images: batch.images)
            }
            #expect(error?.message.contains("text-only") ?? false)
        }
    }

    @Test func theEndsAreThoseOfThePlainRun() throws {
        let (target, draft) = (try model("mistral"), try Self.draft(of: "mistral"))
        let prompt = tokens(9)
        let whole = try run(Generator(target), prompt).run.tokens
        var options = Generator.Options(maxNewTokens: 36)
        for place in [0, 1, 5, 6, 12] {
            options.endTokens = [whole[place]]
            let plain = try run(Generator(target), prompt, options).run
            #expect(try run(Generator(target, draft: draft), prompt, options).run == plain)
        }
        options.endTokens = []
        for most in [1, 2, 3, 4, 5, 6, 7] {
            options.maxNewTokens = most
            let found = try run(Generator(target, draft: draft), prompt, options)
            #expect(found.run.tokens == Array(whole[..<most]))
        }
        // The caller ends it after any token, and the conversation continues with what was seen.
        for most in 1...9 {
            let generator = Generator(target, draft: draft, draftTokenCount: 3)
            var found: [Int32] = []
            _ = try generator.run(prompt, options: .init(maxNewTokens: 40)) {
                found.append($0.token)
                return found.count < most
            }
            #expect(found == Array(whole[..<most]))
            #expect(generator.length == prompt.count + most - 1)
            let next = try run(generator, prompt + found + [33])
            #expect(next.timings.prefillTokens == 2)
        }
        // The last tokens that fit the model.
        let limit = target.decoder.configuration.seqLength
        let long = tokens(limit - 5)
        let plain = try run(Generator(target), long).run
        #expect(plain.tokens.count == 6)
        #expect(try run(Generator(target, draft: draft), long).run == plain)
    }

    @Test func penaltiesApplyToProposedTokensToo() throws {
        let (target, draft) = (try model("mistral"), try Self.draft(of: "mistral"))
        var options = Generator.Options(maxNewTokens: 30)
        options.settings.repetitionPenalty = 1.4
        options.settings.noRepeatNgramSize = 2
        let plain = try run(Generator(target), tokens(9), options).run
        let found = try run(Generator(target, draft: draft), tokens(9), options)
        #expect(found.run == plain && found.timings.acceptedTokens > 0)
    }

    @Test func anotherVocabularySizeOnlyLowersTheShare() throws {
        // 1000 tokens and 612, of another family's layers.
        for (target, other) in [("mistral", "mistral-window"), ("mistral-window", "mistral")] {
            let target = try model(target)
            let plain = try run(Generator(target), tokens(9)).run
            #expect(try run(Generator(target, draft: try model(other)), tokens(9)).run == plain)
        }
    }
}
