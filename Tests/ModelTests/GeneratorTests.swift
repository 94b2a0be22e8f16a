import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// Long prompts, conversations and images in the loop that generates.
@Suite struct GeneratorTests {
    static let engine = TestEngine.cpu(threadCount: 2)

    private func model(_ name: String) throws -> any CausalModel {
        try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: Self.engine)
    }

    private func tokens(_ count: Int, from start: Int = 0) -> [Int32] {
        (start..<start + count).map { Int32(20 + $0 * $0 % 379) }
    }

    @Test func aLongPromptInPartsGivesTheLogitsOfOnePass() throws {
        let model = try model("mistral-window")
        let batch = TokenBatch(tokens: tokens(2053))
        let parts = try model.forward(batch, cache: model.makeCache(capacity: 16), last: 5).logits.floats()
        let (difference, scale) = gap(parts, try model.forward(batch, last: 5).logits.floats())
        #expect(difference <= 1e-4 * scale)
    }

    @Test func anImageOnTheBorderOfTwoPartsIsNotSplit() throws {
        let model = try model("gemma3")
        let image = try TokenBatch(
            inputs: "\(Fixtures.root)/reference/gemma3.safetensors",
            prefix: "one_image.",
            on: Self.engine
        ).images
        let count = try #require(try model.vision?.features(of: image).first).shape[0]
        let marks = [Int32](repeating: Int32(try #require(model.imageTokenID)), count: count)
        let batch = TokenBatch(tokens: tokens(2048 - count / 2) + marks + tokens(9), images: image)
        let parts = try model.forward(batch, cache: model.makeCache(capacity: 16), last: 1).logits.floats()
        let (difference, scale) = gap(parts, try model.forward(batch, last: 1).logits.floats())
        #expect(difference <= 1e-4 * scale)
    }

    private func generated(_ generator: Generator, _ prompt: [Int32], images: [Tensor] = []) throws
        -> (tokens: [Int32], timings: Generator.Timings)
    {
        var tokens: [Int32] = []
        let timings = try generator.run(prompt, images: images, options: .init(maxNewTokens: 6)) {
            tokens.append($0.token)
            return true
        }
        return (tokens, timings)
    }

    @Test(arguments: ["mistral", "mistral-window", "gemma3", "ministral3"])
    func aSecondTurnComputesOnlyTheRest(_ name: String) throws {
        let model = try model(name)
        let generator = Generator(model)
        let first = tokens(23)
        let one = try generated(generator, first)
        #expect(one.timings.prefillTokens == 23)
        let second = first + one.tokens + tokens(9, from: 50)
        let other = try generated(generator, second)
        // The last token of the answer was generated and is not in the cache yet.
        #expect(other.timings.prefillTokens == 10)
        // One pass over the whole prompt adds up in another order than two.
        let margin = try Margin(of: other.tokens.map(Int.init), to: second, by: model)
        try #require(margin.isCertain, "\(margin)")
        #expect(try generated(Generator(model), second).tokens == other.tokens)
    }

    @Test func anotherPromptStartsFromScratch() throws {
        let model = try model("mistral-window")
        let generator = Generator(model)
        _ = try generated(generator, tokens(23))
        for prompt in [tokens(40, from: 3), tokens(10), tokens(23)] {
            let answer = try generated(generator, prompt)
            #expect(answer.timings.prefillTokens == prompt.count)
            let margin = try Margin(of: answer.tokens.map(Int.init), to: prompt, by: model)
            try #require(margin.isCertain, "\(margin)")
            #expect(try generated(Generator(model), prompt).tokens == answer.tokens)
        }
    }

    @Test func anotherImageAtTheSamePositionIsSeen() throws {
        let model = try model("gemma3")
        let path = "\(Fixtures.root)/reference/gemma3.safetensors"
        let batch = try TokenBatch(inputs: path, prefix: "one_image.", on: Self.engine)
        let darker = batch.images.map { Tensor($0.floats().map { $0 * 0.25 - 0.5 }, shape: $0.shape, on: Self.engine) }
        let generator = Generator(model)
        let one = try generated(generator, batch.tokens, images: batch.images)
        let second = batch.tokens + one.tokens + tokens(5)
        let other = try generated(generator, second, images: darker)
        #expect(other.timings.prefillTokens == second.count)
        let third = second + other.tokens + tokens(7)
        #expect(try generated(generator, third, images: darker).timings.prefillTokens == 8)
    }

    @Test func aGeneratedImageTokenIsText() throws {
        let model = try model("gemma3")
        let id = Int32(try #require(model.imageTokenID))
        func logits(_ token: Int32) throws -> [Float] {
            let cache = model.makeCache(capacity: 8)
            _ = try model.forward(TokenBatch(tokens: tokens(5)), cache: cache)
            return try model.forward(TokenBatch(tokens: [token], start: 5), cache: cache).logits.floats()
        }
        let generated = try logits(id)
        #expect(generated.allSatisfy { $0.isFinite })
        #expect(try generated != logits(0))
        // In a prompt it waits for a image.
        #expect(throws: BridgeError.self) { _ = try model.forward(TokenBatch(tokens: [id])) }
    }

    @Test func aPromptThatDoesNotFitIsRefused() throws {
        let model = try model("mistral")
        let generator = Generator(model)
        let limit = model.decoder.configuration.seqLength
        let error = #expect(throws: BridgeError.self) { _ = try generated(generator, tokens(limit + 1)) }
        #expect(error?.message.contains("\(limit + 1) tokens") ?? false)
        #expect(throws: BridgeError.self) { _ = try generated(generator, []) }
        let unknown = #expect(throws: BridgeError.self) { _ = try generated(generator, [100_000]) }
        #expect(unknown?.message.contains("100000") ?? false)
        // A refused prompt leaves nothing behind.
        #expect(try generated(generator, tokens(4)).timings.prefillTokens == 4)
    }
}
