import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import Models

/// The sampler against transformers' logits processors, recorded by `Tests/Fixtures/make_generation_fixtures.py`.
@Suite struct SamplerTests {
    static let cases = Result { try Fixtures.cases("generation/expected.json", "weights") }

    @Test func thereAreRecordedWeights() throws { #expect(try Self.cases.get().count == 13) }

    @Test(arguments: try cases.get().indices)
    func tokensHaveTheWeightsOfTransformers(_ index: Int) throws {
        let one = try Self.cases.get()[index]
        let (sampler, logits, seen) = try Self.sampler(one)
        let expected = try #require(one["weights"]?.array).compactMap(\.double)
        let candidates = sampler.candidates(sampler.penalized(logits, seen))
        let total = candidates.reduce(0) { $0 + $1.weight }
        var weights = [Double](repeating: 0, count: logits.count)
        for candidate in candidates { weights[Int(candidate.token)] += candidate.weight / total }
        for token in weights.indices { #expect(abs(weights[token] - expected[token]) < 1e-6, "token \(token)") }
        #expect(candidates.count == expected.count { $0 > 0 })
    }

    @Test(arguments: [0, 5, 12])
    func drawsFollowTheWeights(_ index: Int) throws {
        let one = try Self.cases.get()[index]
        var (sampler, logits, seen) = try Self.sampler(one)
        let expected = try #require(one["weights"]?.array).compactMap(\.double)
        let draws = 20000
        var counts = [Int](repeating: 0, count: logits.count)
        for _ in 0..<draws { counts[Int(sampler.choose(logits, seen: seen))] += 1 }
        for token in counts.indices {
            let deviation = (Double(draws) * expected[token] * (1 - expected[token])).squareRoot()
            // Five deviations, which chance passes once in a million.
            #expect(abs(Double(counts[token]) - Double(draws) * expected[token]) <= 5 * deviation, "token \(token)")
        }
    }

    @Test func theFirstOfEqualTokensIsTheGreedyChoice() {
        var sampler = Sampler(SamplingOptions())
        #expect(sampler.choose([1, 5, 5, 2], seen: []) == 1)
    }

    @Test func aPenaltyChangesTheGreedyChoice() {
        var options = SamplingOptions()
        options.repetitionPenalty = 2
        var sampler = Sampler(options)
        // 3 / 2 is less than 2, and -1 * 2 less than -1.5.
        #expect(sampler.choose([3, 2, 1], seen: [0]) == 1)
        #expect(sampler.choose([-1, -1.5], seen: [0]) == 1)
    }

    @Test func theBoundOfTopKIsTheOneOfASortedList() {
        var state: UInt64 = 7
        for size in [1, 2, 3, 10, 257] {
            let numbers = (0..<size).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1
                return Float(state >> 60)
            }
            let sorted = numbers.sorted(by: >)
            for count in 1...size { #expect(Sampler.largest(count, of: numbers) == sorted[count - 1]) }
        }
    }

    @Test func logitsOfNaNStillGiveAToken() {
        for temperature in [Float(0), 1] {
            var options = SamplingOptions()
            options.temperature = temperature
            options.topK = temperature > 0 ? 2 : 0
            var sampler = Sampler(options)
            #expect((0..<3).contains(sampler.choose([.nan, .nan, .nan], seen: [])))
        }
    }

    private static func sampler(_ one: JSON) throws -> (Sampler, [Float], Set<Int32>) {
        func number(_ key: String, _ usual: Float) -> Float { one[key]?.double.map(Float.init) ?? usual }
        var options = SamplingOptions()
        options.temperature = number("temperature", 0)
        options.topK = Int(number("top_k", 0))
        options.topP = number("top_p", 1)
        options.minP = number("min_p", 0)
        options.repetitionPenalty = number("repetition_penalty", 1)
        options.seed = 11
        let logits = try #require(one["logits"]?.array).compactMap(\.double).map(Float.init)
        let seen = try #require(one["seen"]?.array).compactMap(\.integer).map(Int32.init)
        return (Sampler(options), logits, Set(seen))
    }
}
