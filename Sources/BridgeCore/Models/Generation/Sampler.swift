import BridgeSupport
import Glibc
import TensorRuntime

/// The sampling settings.
public struct SamplingOptions: Sendable, Equatable {
    /// The divisor of logits; 0 for greedy decoding.
    public var temperature: Float = 0
    /// The number of most likely tokens that are kept; 0 for all.
    public var topK = 0
    /// Only the likeliest tokens that together have this probability are left.
    public var topP: Float = 1
    /// Only tokens with at least this share of the likeliest one's probability are left.
    public var minP: Float = 0
    /// The repetition penalty: logits of earlier tokens are divided by it, or multiplied if they are negative; 1 for
    /// none.
    public var repetitionPenalty: Float = 1
    /// The seed of the random generator; the same seed gives the same text.
    public var seed: UInt64 = 0

    /// Greedy choice.
    public init() {}

    /// Validates the settings.
    ///
    /// - Throws: `BridgeError` that names what is out of range.
    public func validate() throws {
        let checks: [(Bool, String)] = [
            (temperature >= 0 && temperature.isFinite, "a temperature of \(temperature), expected 0 or more"),
            (topK >= 0, "a top-k of \(topK), expected 0 or more"),
            (topP > 0 && topP <= 1, "a top-p of \(topP), expected more than 0 and at most 1"),
            (minP >= 0 && minP <= 1, "a min-p of \(minP), expected 0 to 1"),
            (
                repetitionPenalty > 0 && repetitionPenalty.isFinite,
                "a repetition penalty of \(repetitionPenalty), expected more than 0"
            ),
        ]
        if let wrong = checks.first(where: { !$0.0 }) { throw BridgeError(.badArgument, wrong.1) }
    }
}

/// Chooses tokens, in the order of transformers: penalty, temperature, top-k, top-p, min-p.
///
/// Source: `generation/logits_process.py` and `generation/utils.py`, transformers 5.23.
struct Sampler {
    let options: SamplingOptions
    private let random: RandomStream
    private var drawn = 0

    init(_ options: SamplingOptions, stream: UInt64 = 0) {
        self.options = options
        random = RandomStream(seed: options.seed, stream: stream)
    }

    /// The next token.
    ///
    /// - Parameters:
    ///   - logits: One number for each word of the vocabulary.
    ///   - seen: The tokens before it.
    ///   - proposal: The token that a draft model has proposed; nil for none.
    /// - Returns: One of the words.
    mutating func choose(_ logits: [Float], seen: Set<Int32>, proposed proposal: Proposal? = nil) -> Int32 {
        let scores = penalized(logits, seen)
        guard options.temperature > 0 else { return Self.argmax(scores) }
        let candidates = candidates(scores)
        guard let proposal else { return draw(from: candidates) }
        return verify(proposal, candidates)
    }

    /// A random value in [0, 1).
    mutating func uniform() -> Double {
        defer { drawn += 1 }
        return Double(random.uniform(drawn..<drawn + 1)[0])
    }

    /// Draws one of some tokens by their weights.
    mutating func draw(from candidates: [(token: Int32, weight: Double)]) -> Int32 {
        var rest = uniform() * candidates.reduce(0) { $0 + $1.weight }
        for candidate in candidates {
            rest -= candidate.weight
            if rest < 0 { return candidate.token }
        }
        return candidates.last?.token ?? 0
    }

    /// The logits, with the penalty for tokens that were there before.
    func penalized(_ logits: [Float], _ seen: Set<Int32>) -> [Float] {
        guard options.repetitionPenalty != 1 else { return logits }
        var scores = logits
        Self.penalize(&scores, seen, by: options.repetitionPenalty)
        return scores
    }

    /// Makes earlier tokens less likely, for a penalty of more than 1.
    static func penalize(_ scores: inout [Float], _ seen: Set<Int32>, by penalty: Float) {
        for token in seen where scores.indices.contains(Int(token)) {
            let score = scores[Int(token)]
            scores[Int(token)] = score < 0 ? score * penalty : score / penalty
        }
    }

    /// The tokens to draw from, weighted by probability.
    func candidates(_ scores: [Float]) -> [(token: Int32, weight: Double)] {
        var candidates = ranked(scores)
        if options.topP < 1 {
            let total = candidates.reduce(0) { $0 + $1.weight }
            var sum: Double = 0
            let last = candidates.firstIndex {
                sum += $0.weight
                return sum >= total * Double(options.topP)
            }
            if let last { candidates.removeSubrange((last + 1)...) }
        }
        if options.minP > 0 { candidates.removeAll { $0.weight < Double(options.minP) } }
        return candidates
    }

    /// The tokens that top-k keeps, weighted by probability, 1 for the most likely; that one is first if top-p is used.
    private func ranked(_ scores: [Float]) -> [(token: Int32, weight: Double)] {
        let best = scores.max() ?? 0
        // Ties at the bound all stay, as in transformers.
        let isCut = options.topK > 0 && options.topK < scores.count
        let bound = isCut ? Self.largest(options.topK, of: scores) : -.infinity
        var candidates: [(token: Int32, weight: Double)] = []
        for index in scores.indices where scores[index] >= bound {
            candidates.append((Int32(index), exp(Double(scores[index] - best) / Double(options.temperature))))
        }
        if options.topP < 1 { candidates.sort { ($0.weight, $1.token) > ($1.weight, $0.token) } }
        return candidates
    }

    /// The k-th largest of the values, without sorting a whole vocabulary.
    static func largest(_ count: Int, of numbers: [Float]) -> Float {
        var (rest, count) = (numbers, count)
        while !rest.isEmpty {
            let pivot = rest[rest.count / 2]
            let above = rest.filter { $0 > pivot }
            guard above.count < count else {
                rest = above
                continue
            }
            let below = rest.filter { $0 < pivot }
            guard rest.count - below.count < count else { return pivot }
            count -= rest.count - below.count
            rest = below
        }
        return -.infinity
    }

    /// The index of the largest value, the first of equals.
    static func argmax(_ scores: [Float]) -> Int32 {
        var best = 0
        for index in scores.indices where scores[index] > scores[best] { best = index }
        return Int32(best)
    }

    /// The logarithm of a token's probability.
    static func logProbability(of token: Int32, in logits: [Float]) -> Float {
        let best = logits.max() ?? 0
        let sum = logits.reduce(0) { $0 + Double(expf($1 - best)) }
        return logits[Int(token)] - best - Float(log(sum))
    }
}
