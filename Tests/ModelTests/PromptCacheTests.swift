import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

@testable import Models

/// Prompts that continue from a file against the same prompts computed whole.
@Suite struct PromptCacheTests {
    private let scratch: TemporaryDirectory
    private var path: String { scratch.path("cache.safetensors") }
    private static let identity = PromptCache.Identity(
        model: "m",
        elementType: "float32",
        adapter: "none",
        quantization: "none"
    )

    init() throws { scratch = try TemporaryDirectory() }

    private func model(_ name: String, _ type: ElementType = .float32) throws -> any CausalModel {
        try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: type, on: GeneratorTests.engine)
    }

    private func tokens(_ count: Int, from start: Int = 0) -> [Int32] {
        (start..<start + count).map { Int32(20 + $0 * $0 % 379) }
    }

    private struct Run {
        var tokens: [Int32] = []
        var logits: [[Float]] = []
        var timings = Generator.Timings()
    }

    private func run(
        _ generator: Generator,
        _ prompt: [Int32],
        images: [Tensor] = [],
        count: Int = 6
    ) throws -> Run {
        var run = Run()
        run.timings = try generator.run(prompt, images: images, options: .init(maxNewTokens: count)) {
            run.tokens.append($0.token)
            run.logits.append($0.logits)
            return true
        }
        return run
    }

    private func caching(
        _ model: any CausalModel,
        readOnly: Bool = false,
        _ identity: PromptCache.Identity = Self.identity
    ) -> Generator {
        let generator = Generator(model)
        generator.promptCache = PromptCache(path: path, identity: identity, isReadOnly: readOnly)
        return generator
    }

    /// The same tokens as without a cache, and logits within the bound of two orders of sums.
    private func expectSame(_ found: Run, _ prompt: [Int32], images: [Tensor] = [], by model: any CausalModel) throws {
        let plain = try run(Generator(model), prompt, images: images, count: found.tokens.count)
        let answer = plain.tokens.map(Int.init)
        let margin = try Margin(of: answer, to: prompt, images: images, by: model)
        try #require(margin.isCertain, "\(margin)")
        #expect(found.tokens == plain.tokens)
        for (own, other) in zip(found.logits, plain.logits) {
            let (difference, scale) = gap(own, other)
            #expect(difference <= 1e-4 * scale, "\(difference) of \(scale)")
        }
    }

    @Test(arguments: ["mistral", "mistral-window", "mistral-yarn", "ministral3", "gemma3"])
    func theBeginningIsReadAndTheRestIsComputed(_ name: String) throws {
        let model = try model(name)
        let first = tokens(40)
        let one = try run(caching(model), first)
        #expect(one.timings.writesPromptCache && one.timings.cachedTokens == 0 && one.timings.prefillTokens == 40)
        // Writing does not change what is generated: to the bit, since the prompt is one pass in both.
        let plain = try run(Generator(model), first)
        #expect(one.tokens == plain.tokens && one.logits == plain.logits)
        let bytes = try Data(contentsOf: URL(filePath: path))
        // Shorter and longer than the windows of 7 and 8, longer than what was written, the same, and a beginning of it.
        for common in [1, 5, 7, 8, 9, 30, 39] {
            let prompt = Array(first[..<common]) + [7] + tokens(4, from: 90)
            let found = try run(caching(model), prompt)
            #expect(found.timings.cachedTokens == common && found.timings.prefillTokens == 5)
            #expect(!found.timings.writesPromptCache)
            try expectSame(found, prompt, by: model)
        }
        for (prompt, cached) in [(first + tokens(9, from: 60), 40), (first, 39), (Array(first[..<20]), 19)] {
            let found = try run(caching(model, readOnly: true), prompt)
            #expect(found.timings.cachedTokens == cached)
            #expect(found.timings.prefillTokens == prompt.count - cached)
            try expectSame(found, prompt, by: model)
        }
        let other = try run(caching(model), tokens(12, from: 3))
        #expect(other.timings.cachedTokens == 0 && other.timings.prefillTokens == 12)
        #expect(try Data(contentsOf: URL(filePath: path)) == bytes)
    }

    @Test(arguments: ["mistral", "mistral-window", "gemma3"], [ElementType.float32, .bfloat16])
    func theBitsAreThoseOfAConversationInMemory(_ name: String, _ type: ElementType) throws {
        let model = try model(name, type)
        var identity = Self.identity
        identity.elementType = type.rawValue
        let prompt = tokens(33)
        let generator = caching(model, identity)
        // The only token that is generated is not read again, so the cache holds the prompt.
        let one = try run(generator, prompt, count: 1)
        let next = prompt + one.tokens + tokens(5, from: 70)
        generator.promptCache = nil
        let expected = try run(generator, next)
        #expect(expected.timings.prefillTokens == 6)
        let found = try run(caching(model, identity), next)
        #expect(found.timings.cachedTokens == 33 && found.timings.prefillTokens == 6)
        #expect(found.logits == expected.logits)
    }

    @Test(arguments: ["ministral3", "gemma3"]) func imagesAreReadFromTheFile(_ name: String) throws {
        let model = try model(name)
        let batch = try TokenBatch(
            inputs: "\(Fixtures.root)/reference/\(name).safetensors",
            prefix: "",
            on: GeneratorTests.engine
        )
        try #require(batch.images.count == 2)
        let all = try run(caching(model), batch.tokens, images: batch.images)
        #expect(all.timings.writesPromptCache)
        let file = try PromptCacheFile(path: path)
        #expect(file.tokens == batch.tokens && file.images.count == 2)
        // Both images, and another end.
        let other = Array(batch.tokens.dropLast()) + tokens(6, from: 50)
        let found = try run(caching(model), other, images: batch.images)
        #expect(found.timings.cachedTokens == batch.tokens.count - 1)
        try expectSame(found, other, images: batch.images, by: model)
        // The second image is another one: what is before it is read, and it is computed.
        let darker = Tensor(
            batch.images[1].floats().map { $0 * 0.25 - 0.5 },
            shape: batch.images[1].shape,
            on: model.engine
        )
        let changed = [batch.images[0], darker]
        let half = try run(caching(model), batch.tokens, images: changed)
        #expect(half.timings.cachedTokens == file.images[1].tokens.lowerBound)
        #expect(half.logits[0] != all.logits[0])
        try expectSame(half, batch.tokens, images: changed, by: model)
        // The first one is: only the text before it is read.
        let swapped = [darker.shape == batch.images[0].shape ? darker : batch.images[0], batch.images[1]]
        if swapped[0].shape == batch.images[0].shape, darker.shape == batch.images[0].shape {
            let none = try run(caching(model), batch.tokens, images: swapped)
            #expect(none.timings.cachedTokens == file.images[0].tokens.lowerBound)
            try expectSame(none, batch.tokens, images: swapped, by: model)
        }
    }

    @Test func aBeginningEndsInNoImage() throws {
        let model = try model("gemma3")
        let id = Int32(try #require(model.imageTokenID))
        let batch = try TokenBatch(
            inputs: "\(Fixtures.root)/reference/gemma3.safetensors",
            prefix: "one_image.",
            on: GeneratorTests.engine
        )
        _ = try run(caching(model), batch.tokens, images: batch.images)
        let file = try PromptCacheFile(path: path)
        let image = try #require(file.images.first).tokens
        #expect(batch.tokens[image].allSatisfy { $0 == id })
        func common(_ tokens: [Int32], _ images: [Tensor] = batch.images) -> Int {
            file.commonCount(with: Prompt(tokens: tokens, images: images), of: model)
        }
        // A prompt that ends in the image, or goes on in another way in it, shares the text before it.
        for end in image {
            #expect(common(Array(batch.tokens[..<end]) + [5, 6]) == min(end, image.lowerBound))
        }
        #expect(common(Array(batch.tokens[..<image.upperBound]) + [5, 6]) == image.upperBound)
        // The last token is computed, and so is the image that it is of.
        #expect(common(Array(batch.tokens[..<image.upperBound])) == image.lowerBound)
        // Image tokens that follow are of the same block.
        #expect(common(Array(batch.tokens[..<image.upperBound]) + [id, 5]) == image.lowerBound)
        #expect(common(batch.tokens, []) == image.lowerBound)
    }

    @Test func aFileOfSomethingElseIsRefusedWithTheDifference() throws {
        let model = try model("mistral")
        let prompt = tokens(9)
        _ = try run(caching(model), prompt, count: 1)
        let changes: [(WritableKeyPath<PromptCache.Identity, String>, String, String)] = [
            (\.model, "n", "the model m"), (\.elementType, "bfloat16", "the dtype float32"),
            (\.adapter, "a", "the adapter none"), (\.quantization, "int4 in groups of 64", "int4 in groups of 64"),
        ]
        for (part, value, words) in changes {
            var identity = Self.identity
            identity[keyPath: part] = value
            let error = #expect(throws: BridgeError.self) { _ = try run(caching(model, identity), prompt) }
            #expect(error?.code == .badArgument && error?.message.contains(words) ?? false, "\(error?.message ?? "")")
            #expect(error?.message.contains(path) ?? false)
        }
        // The file is as it was.
        #expect(try run(caching(model), prompt, count: 1).timings.cachedTokens == 8)
    }

    @Test func theIdentityIsThatOfWeightsAndConfiguration() throws {
        func identity(_ model: any CausalModel, _ configuration: String = "c") -> PromptCache.Identity {
            .init(of: model, configuration: configuration, adapter: nil, quantization: nil)
        }
        let one = try model("mistral")
        let own = identity(one)
        #expect(own == identity(try model("mistral")) && own.elementType == "float32" && own.adapter == "none")
        #expect(identity(one, "d") != own)
        // One row of one matrix.
        let parameter = try #require(one.parameters.first { $0.name.hasSuffix("linear_fc2.weight") })
        var values = parameter.tensor.floats()
        values[0] += 0.5
        parameter.replace(with: Tensor(values, shape: parameter.tensor.shape, on: GeneratorTests.engine))
        #expect(identity(one) != own)
        #expect(identity(try model("mistral-tied")).model != own.model)
    }

    @Test func aDamagedFileIsAnErrorWherever() throws {
        let model = try model("mistral")
        let prompt = tokens(7)
        _ = try run(caching(model), prompt, count: 1)
        let url = URL(filePath: path)
        let bytes = try Data(contentsOf: url)
        let start = 8 + Int(bytes[0]) + Int(bytes[1]) << 8
        var refused = 0
        let places =
            Array(Swift.stride(from: 0, to: start, by: 13)) + Array(Swift.stride(from: start, to: bytes.count, by: 997))
        for place in places {
            var damaged = bytes
            damaged[place] ^= 0x21
            try damaged.write(to: url)
            do {
                // A changed digit may stand where it has no effect, such as spaces after the header.
                let found = try run(caching(model), prompt, count: 1)
                #expect(place < start && found.timings.cachedTokens <= 6)
            } catch let error as BridgeError {
                #expect(error.message.contains(path), "\(error.message)")
                refused += 1
            }
        }
        #expect(refused > places.count * 9 / 10)
        for count in [0, 7, 9, start, bytes.count - 1] {
            try bytes.prefix(count).write(to: url)
            let error = #expect(throws: BridgeError.self) { _ = try run(caching(model), prompt, count: 1) }
            #expect(error?.message.contains(path) ?? false)
        }
        try Data(Models.safetensors([(name: "tokens", shape: [1], numbers: [3])])).write(to: url)
        let error = #expect(throws: BridgeError.self) { _ = try run(caching(model), prompt, count: 1) }
        #expect(error?.message.contains("is not a prompt cache") ?? false)
    }

    @Test func aFileThatIsOnlyReadHasToExist() throws {
        let error = #expect(throws: BridgeError.self) {
            _ = try run(caching(try model("mistral"), readOnly: true), tokens(5))
        }
        #expect(error?.message.contains("does not exist") ?? false)
        #expect(TemporaryDirectory.content(of: scratch.path).isEmpty)
    }

    @Test func aConversationStartsFromTheFileAndContinuesInMemory() throws {
        let model = try model("mistral-window")
        let system = tokens(21)
        _ = try run(caching(model), system + [3], count: 1)
        let generator = caching(model, readOnly: true)
        let first = system + tokens(4, from: 40)
        let one = try run(generator, first)
        #expect(one.timings.cachedTokens == 21)
        let second = first + one.tokens + tokens(3, from: 80)
        let two = try run(generator, second)
        #expect(two.timings.cachedTokens == 0 && two.timings.prefillTokens == 4)
        try expectSame(two, second, by: model)
        // Another conversation begins with the file again.
        let three = try run(generator, system + tokens(5, from: 100))
        #expect(three.timings.cachedTokens == 21 && three.timings.prefillTokens == 5)
    }
}
