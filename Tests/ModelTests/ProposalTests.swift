import BridgeCore
import TensorRuntime
import TestSupport
import Testing

@testable import Models

/// Sampling with the proposals of a draft model has the distribution of sampling without.
@Suite struct ProposalTests {
    /// Pearson's statistic of counts against probabilities, and the number of cells with a probability.
    private func chiSquare(_ counts: [Int], _ probabilities: [Double]) -> (value: Double, cells: Int) {
        let total = Double(counts.reduce(0, +))
        let cells = zip(counts, probabilities).filter { $1 > 0 }
        return (
            cells.reduce(0) { $0 + (Double($1.0) - total * $1.1) * (Double($1.0) - total * $1.1) / (total * $1.1) },
            cells.count
        )
    }

    /// What a statistic of so many degrees of freedom exceeds once in a million times at most, by Laurent and Massart's bound
    /// (Annals of Statistics 28, 2000): d + 2 sqrt(d x) + 2 x with x = ln 10^6.
    private func bound(_ cells: Int) -> Double {
        let (freedom, x) = (Double(cells - 1), 13.816)
        return freedom + 2 * (freedom * x).squareRoot() + 2 * x
    }

    private static let cases: [(target: [Float], draft: [Float])] = [
        ([1, 2, 0.5, -1, 0, 1.5], [0, 1, 2, -2, 1, 1.5]), ([0, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]),
        ([4, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0]), ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]),
        ([2, 1, -.infinity, 0, 0, 1], [0, 1, 3, -.infinity, 0, 1]),
    ]

    @Test(arguments: cases.indices, [0, 3])
    func oneTokenHasTheDistributionOfTheTarget(_ index: Int, _ topK: Int) throws {
        let one = Self.cases[index]
        var options = SamplingOptions()
        (options.temperature, options.topK, options.seed) = (0.8, topK, 41)
        var (target, draft) = (Sampler(options), Sampler(options, stream: .max))
        let draws = 40000
        var counts = [Int](repeating: 0, count: 6)
        var accepted = 0
        for _ in 0..<draws {
            let proposal = draft.propose(one.draft, seen: [])
            let token = target.choose(one.target, seen: [], proposed: proposal)
            counts[Int(token)] += 1
            accepted += token == proposal.token ? 1 : 0
        }
        func probabilities(_ sampler: Sampler, _ logits: [Float]) -> [Double] {
            let candidates = sampler.candidates(logits)
            let total = candidates.reduce(0) { $0 + $1.weight }
            var result = [Double](repeating: 0, count: logits.count)
            for candidate in candidates { result[Int(candidate.token)] = candidate.weight / total }
            return result
        }
        let (p, q) = (probabilities(target, one.target), probabilities(draft, one.draft))
        for (count, probability) in zip(counts, p) where probability == 0 { #expect(count == 0) }
        let statistic = chiSquare(counts, p)
        #expect(statistic.value <= bound(statistic.cells), "\(counts), \(p)")
        // The paper's share of accepted tokens, the sum of min(p, q); five deviations.
        let share = zip(p, q).reduce(0) { $0 + min($1.0, $1.1) }
        let deviation = (Double(draws) * share * (1 - share)).squareRoot()
        #expect(abs(Double(accepted) - Double(draws) * share) <= 5 * deviation + 1)
    }

    @Test func aTextHasTheDistributionOfTheTarget() throws {
        let target = try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).toModel(
            elementType: .float32,
            on: GeneratorTests.engine
        )
        // About as many proposals are accepted as rejected.
        let draft = try DraftModelTests.draft(of: "mistral", noise: 0.03)
        let prompt: [Int32] = [5, 80, 33]
        var options = Generator.Options(maxNewTokens: 3)
        (options.sampling.temperature, options.sampling.topK) = (1.3, 2)
        // The exact probabilities of all texts of three tokens, by the formula of the softmax.
        var exact: [[Int32]: Double] = [[]: 1]
        for _ in 0..<3 {
            var next: [[Int32]: Double] = [:]
            for (text, probability) in exact {
                let logits = try target.forward(TokenBatch(tokens: prompt + text), last: 1).logits.floats()
                let candidates = Sampler(options.sampling).candidates(logits)
                let total = candidates.reduce(0) { $0 + $1.weight }
                for candidate in candidates { next[text + [candidate.token]] = probability * candidate.weight / total }
            }
            exact = next
        }
        let texts = exact.keys.sorted { $0.lexicographicallyPrecedes($1) }
        #expect(texts.count == 8)
        var counts: [[Int32]: Int] = [:]
        var (accepted, drafted) = (0, 0)
        for seed in 0..<400 {
            options.sampling.seed = UInt64(seed)
            var text: [Int32] = []
            let timings = try Generator(target, draft: draft, draftTokenCount: 2).run(prompt, options: options) {
                text.append($0.token)
                return true
            }
            accepted += timings.acceptedTokens
            drafted += timings.draftedTokens
            counts[text, default: 0] += 1
        }
        #expect(Set(counts.keys).isSubset(of: texts))
        let statistic = chiSquare(texts.map { counts[$0] ?? 0 }, texts.map { exact[$0] ?? 0 })
        #expect(statistic.value <= bound(statistic.cells), "\(counts)")
        #expect(accepted > 40 && accepted < drafted - 40, "\(accepted) of \(drafted)")
    }
}
