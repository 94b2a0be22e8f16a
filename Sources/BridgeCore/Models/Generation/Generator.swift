import BridgeSupport
import Communication
import ModelSchema
public import TensorRuntime

/// Continues a prompt, token by token.
///
/// A generator keeps the cache of earlier tokens, so that a conversation continues without a new prefill. With a draft model several
/// tokens are verified in one pass.
public final class Generator {
    /// When to stop, and how to choose.
    public struct Options: Sendable {
        /// The most tokens.
        public var maxNewTokens: Int
        /// The sampling settings.
        public var sampling: SamplingOptions
        /// Tokens that end the text.
        public var endTokens: Set<Int32>
        /// Whether the probability of each token is returned.
        public var wantsProbabilities: Bool
        /// The settings of the model's own `generation_config.json`.
        public var settings = GenerationSettings()

        /// The default: greedy.
        public init(
            maxNewTokens: Int = 256,
            sampling: SamplingOptions = SamplingOptions(),
            endTokens: Set<Int32> = [],
            wantsProbabilities: Bool = false
        ) {
            self.maxNewTokens = maxNewTokens
            self.sampling = sampling
            self.endTokens = endTokens
            self.wantsProbabilities = wantsProbabilities
        }
    }

    /// A token that has been chosen.
    public struct Step {
        /// The token.
        public var token: Int32
        /// The logarithm of its probability; nil unless requested.
        public var logProbability: Float?
        /// The logits that it was chosen from.
        public var logits: [Float]
        /// Whether the token ends the text.
        public var isEnd: Bool
    }

    /// The durations of the parts, in seconds.
    public struct Timings: Sendable {
        /// From the call to the first token.
        public var prefill = 0.0
        /// The tokens of the prompt that were computed.
        public var prefillTokens = 0
        /// The tokens of the prompt that were read from a prompt cache.
        public var cachedTokens = 0
        /// Whether the prompt cache was written.
        public var writesPromptCache = false
        /// The part of the prefill that the vision tower takes.
        public var vision = 0.0
        /// From the first token to the last.
        public var decode = 0.0
        /// The tokens after the first.
        public var decodeTokens = 0
        /// The tokens that the draft model has proposed.
        public var draftedTokens = 0
        /// Those of them that the model has accepted.
        public var acceptedTokens = 0
        /// The passes through the model in which proposals were verified.
        public var verifications = 0
    }

    /// The file with the beginning of prompts, used when nothing has been seen; nil for none.
    public var promptCache: PromptCache?

    private let target: SeenSequence
    private let drafter: Drafter?

    /// A generator that has seen nothing.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - draft: A smaller model with the same tokens, which proposes what the model verifies: the output is that of the model. Nil
    ///     for none.
    ///   - draftTokenCount: The most tokens that are proposed at a time.
    public init(_ model: any CausalModel, draft: (any CausalModel)? = nil, draftTokenCount: Int = 4) {
        target = SeenSequence(model)
        drafter = draft.map { Drafter($0, count: draftTokenCount) }
    }

    private var model: any CausalModel { target.model }

    /// The engine of the model.
    public var engine: any TensorEngine { model.engine }
    /// The number of tokens in the cache.
    public var length: Int { target.tokens.count }

    /// Continues a prompt.
    ///
    /// If the prompt begins with all cached tokens, as the next turn of a conversation does, only the rest is computed.
    ///
    /// - Parameters:
    ///   - prompt: The whole prompt.
    ///   - images: Pixel values for all its image tokens.
    ///   - options: When to stop, and how to choose.
    ///   - visit: Called with every token, the ending one too; returns whether to continue.
    /// - Returns: The time it took.
    /// - Throws: `BridgeError` for a prompt that does not fit the model, for logits that are not finite, and for a prompt cache that
    ///   cannot be used.
    public func run(
        _ prompt: [Int32],
        images: [Tensor] = [],
        options: Options,
        visit: (Step) throws -> Bool
    ) throws -> Timings {
        let limit = model.decoder.configuration.seqLength
        let clock = ContinuousClock()
        let start = clock.now
        var text = try Continuation(of: prompt, options: options, limit: limit, start: start)
        let prompt = Prompt(tokens: prompt, images: images)
        try drafter?.start(prompt, options.sampling)
        if !target.isBeginning(of: prompt) { reset() }
        var timings = Timings()
        let capacity = min(limit, prompt.tokens.count + options.maxNewTokens)
        let file = target.isEmpty ? try promptCache?.opened(for: model) : nil
        let writes = target.isEmpty && promptCache != nil && file == nil
        if let file { timings.cachedTokens = try target.restore(file, for: prompt, capacity: capacity) }
        timings.prefillTokens = prompt.tokens.count - target.tokens.count
        var logits: [Float]
        (logits, timings.vision) = try target.prefill(prompt, capacity: capacity, keepsAll: writes)
        if writes, let promptCache {
            promptCache.willWrite?()
            try target.save(to: promptCache.path, as: promptCache.identity, capacity: capacity)
            timings.writesPromptCache = true
        }
        var first: ContinuousClock.Instant?
        while !text.isComplete {
            let step = try text.choose(from: logits)
            if first == nil {
                first = clock.now
                timings.prefill = start.duration(to: clock.now).seconds
            } else {
                timings.decodeTokens += 1
            }
            guard try onAllRanks(visit(step) && text.isInTime), !text.isComplete else { break }
            if let drafter {
                try speculate(&text, prompt, drafter, &timings, visit)
                break
            }
            logits = try target.logits(after: step.token)
        }
        timings.decode = first.map { $0.duration(to: clock.now).seconds } ?? 0
        return timings
    }

    /// Continues a text with the proposals of a draft model.
    private func speculate(
        _ text: inout Continuation,
        _ prompt: Prompt,
        _ drafter: Drafter,
        _ timings: inout Timings,
        _ visit: (Step) throws -> Bool
    ) throws {
        target.allowRemoval(of: drafter.count + 1)
        while true {
            let start = text.sequence.count
            // One token follows the proposed ones in any case.
            let proposals = try drafter.propose(
                after: text,
                prompt,
                most: text.room - 1,
                vocabulary: model.decoder.configuration.vocabSize
            )
            let rows = try target.logits(afterEach: [text.sequence[start - 1]] + proposals.map(\.token))
            defer {
                target.keepBeginning(of: text.sequence, from: start)
                drafter.seen.keepBeginning(of: text.sequence, from: start)
            }
            timings.draftedTokens += proposals.count
            timings.verifications += 1
            for (index, row) in rows.enumerated() {
                let proposal = index < proposals.count ? proposals[index] : nil
                let step = try text.choose(from: row, proposed: proposal)
                timings.decodeTokens += 1
                let isAccepted = step.token == proposal?.token
                if isAccepted { timings.acceptedTokens += 1 }
                guard try onAllRanks(visit(step) && text.isInTime), !text.isComplete else { return }
                if !isAccepted { break }
            }
        }
    }

    /// Whether every rank continues: a signal, a closed pipe and a clock are each rank's own.
    private func onAllRanks(_ continues: Bool) throws -> Bool { try model.onAllRanks([continues])[0] }

    /// Forgets all that was seen.
    public func reset() {
        target.reset()
        drafter?.seen.reset()
    }
}
