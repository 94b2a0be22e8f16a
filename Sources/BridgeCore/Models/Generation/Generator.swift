import BridgeSupport
import Communication
import ModelSchema
public import TensorRuntime

/// Continues a prompt, token by token.
///
/// A generator keeps the cache of earlier tokens, so that a conversation continues without a new prefill.
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
        /// The tokens of the prompt.
        public var prefillTokens = 0
        /// The part of the prefill that the vision tower takes.
        public var vision = 0.0
        /// From the first token to the last.
        public var decode = 0.0
        /// The tokens after the first.
        public var decodeTokens = 0
    }

    private let model: any CausalModel
    private var cache: KVCache?
    /// The tokens that the cache holds.
    private var history: [Int32] = []
    /// The images that it holds, by their checksums.
    private var processedImages: [BlockChecksum.Digest] = []

    /// A generator that has seen nothing.
    public init(_ model: any CausalModel) { self.model = model }

    /// The engine of the model.
    public var engine: any TensorEngine { model.engine }
    /// The number of tokens in the cache.
    public var length: Int { history.count }

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
    /// - Throws: `BridgeError` for a prompt that does not fit the model, and for logits that are not finite.
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
        let digests = images.map { $0.floats().withUnsafeBytes(BlockChecksum.digest) }
        if prompt.count <= history.count || !prompt.starts(with: history) || !digests.starts(with: processedImages) {
            reset()
        }
        let tokens = Array(prompt[history.count...])
        let images = Array(images.dropFirst(processedImages.count))
        var timings = Timings()
        let cache = cache ?? model.makeCache(capacity: min(limit, prompt.count + options.maxNewTokens))
        self.cache = cache
        let features = try images.isEmpty ? [] : model.vision?.features(of: images)
        timings.vision = start.duration(to: clock.now).seconds
        let batch = TokenBatch(tokens: tokens, images: images, start: cache.length)
        var logits = try model.forward(batch, cache: cache, last: 1, features: features).logits.floats()
        history = prompt
        processedImages = digests
        var first: ContinuousClock.Instant?
        timings.prefillTokens = tokens.count
        while !text.isComplete {
            let step = try text.choose(from: logits)
            if first == nil {
                first = clock.now
                timings.prefill = start.duration(to: clock.now).seconds
            } else {
                timings.decodeTokens += 1
            }
            guard try onAllRanks(visit(step) && text.isInTime), !text.isComplete else { break }
            let next = TokenBatch(tokens: [step.token], start: cache.length)
            logits = try model.forward(next, cache: cache).logits.floats()
            history.append(step.token)
        }
        timings.decode = first.map { $0.duration(to: clock.now).seconds } ?? 0
        return timings
    }

    /// Whether every rank continues: a signal, a closed pipe and a clock are each rank's own.
    private func onAllRanks(_ continues: Bool) throws -> Bool { try model.onAllRanks([continues])[0] }

    /// Forgets all that was seen.
    public func reset() {
        cache = nil
        history = []
        processedImages = []
    }
}
