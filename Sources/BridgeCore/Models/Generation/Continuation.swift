import BridgeSupport
import Communication
import TensorRuntime

/// A sequence that is continued: its tokens, and how the next one is chosen.
struct Continuation {
    /// The prompt and the tokens that were chosen.
    private(set) var sequence: [Int32]
    /// Whether nothing follows: the text has ended, or is as long as it may be.
    private(set) var isComplete: Bool

    private let options: Generator.Options
    private let processing: LogitsProcessing
    private let deadline: ContinuousClock.Instant?
    private let limit: Int
    /// Chooses among the tokens.
    private(set) var sampler: Sampler
    /// The tokens of the sequence.
    private var seen: Set<Int32>

    /// A prompt that nothing follows yet.
    ///
    /// - Parameters:
    ///   - prompt: Its tokens.
    ///   - options: When to stop, and how to choose.
    ///   - limit: The most tokens that the model takes.
    ///   - stream: The stream of random values, for sampling.
    ///   - start: From when on the time is counted.
    /// - Throws: `BridgeError` for a prompt that does not fit the model, and for options out of range.
    init(
        of prompt: [Int32],
        options: Generator.Options,
        limit: Int,
        stream: UInt64 = 0,
        start: ContinuousClock.Instant
    ) throws {
        try options.sampling.validate()
        guard !prompt.isEmpty else {
            throw BridgeError(.badArgument, "the prompt is empty, give at least one token")
        }
        guard prompt.count <= limit else {
            throw BridgeError(
                .badArgument,
                "the prompt has \(prompt.count) tokens, but the model takes at most \(limit); make it shorter"
            )
        }
        if let most = options.settings.maxLength, prompt.count >= most {
            throw BridgeError(
                .badArgument,
                "the prompt has \(prompt.count) tokens, and max_length of generation_config.json allows \(most) for prompt and "
                    + "new tokens together; shorten it, or set the number of new tokens"
            )
        }
        // The model's own limit of prompt and output together, if the caller has set none.
        let mostNew = max(1, min(options.maxNewTokens, (options.settings.maxLength ?? .max) - prompt.count))
        self.options = options
        self.limit = limit
        processing = LogitsProcessing(
            settings: options.settings,
            promptLength: prompt.count,
            maxLength: prompt.count + mostNew,
            endTokens: options.endTokens
        )
        deadline = options.settings.maxTime.map { start.advanced(by: .seconds($0)) }
        sampler = Sampler(options.sampling, stream: stream)
        (sequence, seen) = (prompt, Set(prompt))
        isComplete = options.maxNewTokens <= 0
    }

    /// Whether the time that the settings allow is not over.
    var isInTime: Bool { deadline.map { ContinuousClock.now <= $0 } ?? true }

    /// How many more tokens there may be.
    var room: Int { min(processing.maxLength, limit + 1) - sequence.count }

    /// The same sequence for a model that proposes how it continues.
    ///
    /// - Parameter sampler: Chooses among its tokens, with random values of its own.
    /// - Returns: A copy, which does not change this one.
    func drafting(with sampler: Sampler) -> Continuation {
        var copy = self
        copy.sampler = sampler
        return copy
    }

    /// Chooses the next token.
    ///
    /// - Parameters:
    ///   - logits: The model's, after the last token of the sequence.
    ///   - proposal: The token that a draft model has proposed; nil for none. The choice has the distribution that it has without.
    /// - Returns: The token, which is now the last of the sequence.
    /// - Throws: `BridgeError` for logits that are not finite.
    mutating func choose(from logits: [Float], proposed proposal: Proposal? = nil) throws -> Generator.Step {
        let scores = try scores(logits)
        let token = sampler.choose(scores, seen: seen, proposed: proposal)
        let isEnd = append(token)
        return Generator.Step(
            token: token,
            logProbability: options.wantsProbabilities ? Sampler.logProbability(of: token, in: logits) : nil,
            logits: logits,
            isEnd: isEnd
        )
    }

    /// Proposes the next token.
    ///
    /// - Parameter logits: Those of a draft model, after the last token of the sequence.
    /// - Returns: The token, which is now the last of the sequence.
    /// - Throws: `BridgeError` for logits that are not finite.
    mutating func propose(from logits: [Float]) throws -> Proposal {
        let proposal = sampler.propose(try scores(logits), seen: seen)
        _ = append(proposal.token)
        return proposal
    }

    /// The logits with the settings applied.
    private func scores(_ logits: [Float]) throws -> [Float] {
        let isGreedy = options.sampling.temperature == 0 && !options.wantsProbabilities
        if let problem = LogitCheck.problem(logits, allowsInfinity: isGreedy) {
            throw BridgeError(
                .corruptInput,
                "\(problem) after \(sequence.count) tokens, so no token can be chosen: \(LogitCheck.advice)"
            )
        }
        var scores = logits
        if !processing.isEmpty { processing.apply(to: &scores, after: sequence) }
        return scores
    }

    /// Appends a token; returns whether it ends the text.
    private mutating func append(_ token: Int32) -> Bool {
        seen.insert(token)
        sequence.append(token)
        let isEnd = options.endTokens.contains(token)
        // The last token is chosen and not read again, so it may be one more than the model takes.
        isComplete = isEnd || sequence.count >= processing.maxLength || sequence.count > limit
        return isEnd
    }
}

extension CausalModel {
    /// Which of several sequences every rank continues: a signal, a closed pipe and a clock are each rank's own.
    func onAllRanks(_ continues: [Bool]) throws -> [Bool] {
        try decoder.parallelism.groups.mp.allReduceSum(continues.map { $0 ? 0 : 1 }).map { $0 == 0 }
    }
}
