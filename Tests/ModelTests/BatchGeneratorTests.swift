import BridgeCore
import TensorRuntime
import TestSupport
import Testing

/// Many prompts that are continued together.
@Suite struct BatchGeneratorTests {
    private typealias Request = BatchGenerator.Request

    private func model(_ name: String) throws -> any CausalModel {
        try AutoBridge.fromHF(Fixtures.checkpoint(name)).toModel(elementType: .float32, on: GeneratorTests.engine)
    }

    private func tokens(_ count: Int, from start: Int = 0) -> [Int32] {
        (start..<start + count).map { Int32(20 + $0 * $0 % 379) }
    }

    /// Prompts shorter and longer than a window, that end after different numbers of tokens.
    private func requests(_ options: Generator.Options = .init()) -> [Request] {
        [(23, 9), (3, 4), (11, 14), (1, 6), (30, 1), (6, 11), (17, 5)].enumerated().map { index, sizes in
            var options = options
            options.maxNewTokens = sizes.1
            return Request(tokens: tokens(sizes.0, from: 7 * index), options: options)
        }
    }

    private func generated(_ model: any CausalModel, _ requests: [Request], batchSize: Int) throws
        -> (tokens: [[Int32]], order: [Int], totals: BatchGenerator.Totals)
    {
        var answers = requests.map { _ in [Int32]() }
        var (taken, order) = (0, [Int]())
        let totals = try BatchGenerator(model, batchSize: batchSize).run {
            guard taken < requests.count else { return nil }
            // There is no more in the batch than there may be.
            #expect(taken - order.count < batchSize)
            taken += 1
            return requests[taken - 1]
        } visit: { number, step in
            answers[number].append(step.token)
            return true
        } finish: {
            order.append($0)
        }
        return (answers, order, totals)
    }

    private func alone(_ model: any CausalModel, _ request: Request) throws -> (tokens: [Int32], logits: [[Float]]) {
        var (tokens, logits): ([Int32], [[Float]]) = ([], [])
        _ = try Generator(model).run(request.tokens, images: request.images, options: request.options) {
            tokens.append($0.token)
            logits.append($0.logits)
            return true
        }
        return (tokens, logits)
    }

    private func expectAnswersOfOne(_ model: any CausalModel, _ requests: [Request], batchSize: Int) throws {
        let found = try generated(model, requests, batchSize: batchSize)
        for (request, answer) in zip(requests, found.tokens) {
            let expected = try alone(model, request).tokens
            // Products of several rows add up in another order than those of one.
            let margin = try Margin(of: expected.map(Int.init), to: request.tokens, images: request.images, by: model)
            try #require(margin.isCertain, "\(margin)")
            #expect(answer == expected)
        }
        #expect(found.order.sorted() == Array(requests.indices))
        #expect(found.totals.prompts == requests.count)
        #expect(found.totals.promptTokens == requests.reduce(0) { $0 + $1.tokens.count })
        #expect(found.totals.tokens == requests.reduce(0) { $0 + $1.options.maxNewTokens })
    }

    @Test(arguments: ["mistral", "mistral-window", "mistral-yarn", "ministral3", "gemma3"], [2, 3, 16])
    func theTokensAreThoseOfEachPromptAlone(_ name: String, _ batchSize: Int) throws {
        try expectAnswersOfOne(try model(name), requests(), batchSize: batchSize)
    }

    @Test(arguments: ["ministral3", "gemma3"]) func promptsWithImagesAreContinuedBesideOthers(_ name: String) throws {
        let model = try model(name)
        let path = "\(Fixtures.root)/reference/\(name).safetensors"
        let shown = try ["one_image.", ""].map { prefix in
            let batch = try TokenBatch(inputs: path, prefix: prefix, on: GeneratorTests.engine)
            return Request(tokens: batch.tokens, images: batch.images, options: .init(maxNewTokens: 7))
        }
        let texts = requests()
        #expect(shown.map(\.images.count) == [1, 2])
        try expectAnswersOfOne(
            model,
            [texts[0], shown[0], texts[1], texts[2], shown[1], texts[3], shown[0]],
            batchSize: 3
        )
    }

    @Test(arguments: ["mistral-window", "gemma3"]) func oneAtATimeHasTheBitsOfAGenerator(_ name: String) throws {
        let model = try model(name)
        for request in requests() {
            let expected = try alone(model, request)
            var logits: [[Float]] = []
            var next: Request? = request
            _ = try BatchGenerator(model, batchSize: 1).run {
                defer { next = nil }
                return next
            } visit: { _, step in
                logits.append(step.logits)
                return true
            } finish: { _ in
            }
            #expect(logits == expected.logits)
        }
    }

    @Test func aPromptTakesTheSlotOfOneThatEnded() throws {
        // One text of 10 tokens takes as many passes. In the other slot there is room for four of 2, one after the other.
        let lengths = [10, 2, 2, 2, 2]
        let requests = lengths.map { Request(tokens: tokens(5, from: $0), options: .init(maxNewTokens: $0)) }
        let found = try generated(try model("mistral"), requests, batchSize: 2)
        #expect(found.order == [1, 2, 3, 4, 0])
        #expect(found.totals.passes == 10 && found.totals.tokens == 18)
    }

    @Test func aLongPromptIsComputedAlone() throws {
        let model = try model("mistral-window")
        let long = Request(tokens: tokens(600), options: .init(maxNewTokens: 5))
        try expectAnswersOfOne(model, [requests()[0], long, requests()[1]], batchSize: 3)
    }

    @Test func whatIsSampledDependsOnSeedAndNumber() throws {
        let model = try model("mistral")
        var options = Generator.Options()
        (options.sampling.temperature, options.sampling.seed) = (1.5, 11)
        let requests = requests(options) + [requests(options)[2], requests(options)[2]]
        let one = try generated(model, requests, batchSize: 1).tokens
        for batchSize in [2, 3, 5] {
            #expect(try generated(model, requests, batchSize: batchSize).tokens == one)
        }
        // The first is that of a generator; one prompt at three positions has three texts.
        #expect(try alone(model, requests[0]).tokens == one[0])
        #expect(Set([one[2], one[7], one[8]]).count == 3)
        options.sampling.seed = 12
        #expect(try generated(model, self.requests(options), batchSize: 3).tokens != Array(one[..<7]))
    }

    @Test func anEndingTokenAndTheCallerEndOneTextOnly() throws {
        let model = try model("mistral")
        let requests = requests()
        let all = try requests.map { try alone(model, $0).tokens }
        var options = requests[2].options
        options.endTokens = [all[2][1]]
        var changed = requests
        changed[2].options = options
        var answers = requests.map { _ in [Int32]() }
        var pending = changed
        _ = try BatchGenerator(model, batchSize: 4).run {
            pending.isEmpty ? nil : pending.removeFirst()
        } visit: { number, step in
            answers[number].append(step.token)
            #expect(step.isEnd == (number == 2 && step.token == all[2][1]))
            return number != 5 || answers[5].count < 3
        } finish: { _ in
        }
        let end = try #require(all[2].firstIndex(of: all[2][1]))
        var expected = all
        expected[2] = Array(all[2][...end])
        expected[5] = Array(all[5][..<3])
        #expect(answers == expected)
    }

    @Test func aPromptThatDoesNotFitIsRefused() throws {
        let model = try model("mistral")
        let limit = model.decoder.configuration.seqLength
        let long = Request(tokens: tokens(limit + 1), options: .init())
        let error = #expect(throws: BridgeError.self) {
            _ = try generated(model, [requests()[0], long], batchSize: 2)
        }
        #expect(error?.message.contains("\(limit + 1) tokens") ?? false)
        let same = #expect(throws: BridgeError.self) {
            try BatchGenerator.check(long.tokens, options: long.options, limit: limit)
        }
        #expect(same?.message == error?.message)
        // The last token is chosen and not read, so there is one more than the model takes.
        let full = Request(tokens: tokens(limit), options: .init(maxNewTokens: 9))
        #expect(try generated(model, [full, requests()[0]], batchSize: 2).tokens.map(\.count) == [1, 9])
        // An image token without an image waits for one.
        let multimodal = try self.model("gemma3")
        let lonely = Request(tokens: [Int32(try #require(multimodal.imageTokenID))], options: .init())
        #expect(throws: BridgeError.self) { _ = try generated(multimodal, [requests()[0], lonely], batchSize: 2) }
    }
}
