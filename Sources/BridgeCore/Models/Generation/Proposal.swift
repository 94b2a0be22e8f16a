/// A token that a draft model proposes.
struct Proposal {
    /// The token.
    var token: Int32
    /// The probabilities of the tokens that it was drawn from; empty for a greedy choice.
    var probabilities: [Int32: Double] = [:]
}

/// Speculative sampling: drawing with proposals, and with the distribution that there is without them.
///
/// Source: Leviathan, Kalman and Matias, Fast Inference from Transformers via Speculative Decoding (ICML 2023, arXiv 2211.17192),
/// algorithm 1.
extension Sampler {
    /// Proposes the next token.
    ///
    /// - Parameters:
    ///   - logits: One number for each token of the vocabulary.
    ///   - seen: The tokens before it.
    /// - Returns: A token, drawn as ``choose(_:seen:proposed:)`` does without a proposal.
    mutating func propose(_ logits: [Float], seen: Set<Int32>) -> Proposal {
        let scores = penalized(logits, seen)
        guard options.temperature > 0 else { return Proposal(token: Self.argmax(scores)) }
        let candidates = candidates(scores)
        let total = candidates.reduce(0) { $0 + $1.weight }
        let token = draw(from: candidates)
        let probabilities = Dictionary(candidates.map { ($0.token, $0.weight / total) }) { first, _ in first }
        return Proposal(token: token, probabilities: probabilities)
    }

    /// The proposed token with the probability `p(x) / q(x)`, else one of the distribution `max(0, p - q)`, normalised.
    ///
    /// The result is drawn from p whatever q the proposal was drawn from, and it is the proposed token if that is accepted only:
    /// a token that may be rejected has `p(x) < q(x)`.
    ///
    /// - Parameters:
    ///   - proposal: The proposed token, and q.
    ///   - candidates: The tokens with their weights, p.
    /// - Returns: A token.
    mutating func verify(_ proposal: Proposal, _ candidates: [(token: Int32, weight: Double)]) -> Int32 {
        let total = candidates.reduce(0) { $0 + $1.weight }
        let own = (candidates.first { $0.token == proposal.token }?.weight ?? 0) / total
        guard uniform() * (proposal.probabilities[proposal.token] ?? 1) >= own else { return proposal.token }
        let rest = candidates.compactMap { candidate -> (token: Int32, weight: Double)? in
            let weight = candidate.weight / total - (proposal.probabilities[candidate.token] ?? 0)
            return weight > 0 && candidate.token != proposal.token ? (candidate.token, weight) : nil
        }
        // Two equal distributions leave nothing but rounding.
        return draw(from: rest.isEmpty ? candidates : rest)
    }
}
