import BridgeSupport
import ModelSchema
import TensorRuntime

/// A small model that proposes the next tokens of a large one, which verifies several of them in one pass.
final class Drafter {
    /// What the small model has seen.
    let seen: SeenSequence
    /// The most tokens of a proposal.
    let count: Int
    /// Random values that the large model does not use.
    private var sampler = Sampler(SamplingOptions())

    init(_ model: any CausalModel, count: Int) {
        seen = SeenSequence(model)
        self.count = max(1, count)
    }

    /// Starts a generation.
    ///
    /// - Throws: `BridgeError` for images that the small model cannot see.
    func start(_ prompt: Prompt, _ options: SamplingOptions) throws {
        guard prompt.images.isEmpty || seen.model.vision != nil else {
            throw BridgeError(
                .badArgument,
                "the draft model is text-only, but the prompt has \(ByteFormat.counted(prompt.images.count, "image")); choose a "
                    + "multimodal draft model, or none"
            )
        }
        sampler = Sampler(options, stream: .max)
    }

    /// Proposes the next tokens.
    ///
    /// - Parameters:
    ///   - text: The sequence.
    ///   - prompt: The prompt that it starts with.
    ///   - most: How many tokens are of use.
    ///   - vocabulary: The size of the large model's vocabulary.
    /// - Returns: The tokens with their probabilities; none for a sequence that is too long for the small model or has a token that
    ///   it does not have.
    /// - Throws: `BridgeError` for logits that are not finite.
    func propose(after text: Continuation, _ prompt: Prompt, most: Int, vocabulary: Int) throws -> [Proposal] {
        let sequence = text.sequence
        let most = min(most, count, seen.limit - sequence.count)
        guard most > 0 else { return [] }
        do {
            if !sequence.starts(with: seen.tokens) || !prompt.digests.starts(with: seen.images.map(\.digest)) {
                seen.reset()
            }
            guard knows(sequence[seen.tokens.count...]) else { return [] }
            if seen.tokens.count < prompt.tokens.count {
                _ = try seen.prefill(prompt, capacity: sequence.count + most)
            }
            seen.allowRemoval(of: count + 2)
            guard var logits = try seen.logits(afterEach: Array(sequence[seen.tokens.count...])).last else { return [] }
            var ahead = text.drafting(with: sampler)
            var proposals: [Proposal] = []
            while true {
                let proposal = try ahead.propose(from: Array(logits.prefix(vocabulary)))
                proposals.append(proposal)
                guard proposals.count < most, !ahead.isComplete else { break }
                logits = try seen.logits(afterEach: [proposal.token])[0]
            }
            sampler = ahead.sampler
            return proposals
        } catch let error as BridgeError {
            throw BridgeError(error.code, "the draft model: \(error.message)", names: error.names, cause: error)
        }
    }

    /// Whether all tokens are in the small model's vocabulary.
    private func knows(_ tokens: ArraySlice<Int32>) -> Bool {
        let (size, image) = (seen.model.decoder.configuration.vocabSize, seen.model.imageTokenID.map(Int32.init))
        return tokens.allSatisfy { Int($0) < size || $0 == image }
    }
}
