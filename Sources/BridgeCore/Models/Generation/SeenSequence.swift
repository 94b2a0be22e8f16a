import BridgeSupport
import ModelSchema
import TensorRuntime

/// A model with the keys and values of the sequence that it has seen.
final class SeenSequence {
    /// The model.
    let model: any CausalModel
    /// The tokens that the cache holds.
    private(set) var tokens: [Int32] = []
    /// The images that it holds.
    private(set) var images: [SeenImage] = []

    private var cache: KVCache?

    /// A model that has seen nothing.
    init(_ model: any CausalModel) { self.model = model }

    /// Whether nothing was seen.
    var isEmpty: Bool { cache == nil }

    /// The most tokens that the model takes.
    var limit: Int { model.decoder.configuration.seqLength }

    /// Whether a prompt continues what was seen.
    func isBeginning(of prompt: Prompt) -> Bool {
        prompt.tokens.count > tokens.count && prompt.tokens.starts(with: tokens)
            && prompt.digests.starts(with: images.map(\.digest))
    }

    /// Forgets everything.
    func reset() {
        cache = nil
        (tokens, images) = ([], [])
    }

    /// Computes what is new of a prompt that continues what was seen.
    ///
    /// - Parameters:
    ///   - prompt: The whole prompt.
    ///   - capacity: How many tokens there is room for at first.
    ///   - keepsAll: Whether a new cache keeps what no later token sees, until ``save(to:as:capacity:)``.
    /// - Returns: The logits after its last token, and the seconds that the vision tower took.
    /// - Throws: `BridgeError` for a prompt that does not fit the model; nothing is kept then.
    func prefill(_ prompt: Prompt, capacity: Int, keepsAll: Bool = false) throws -> (logits: [Float], vision: Double) {
        let start = ContinuousClock.now
        return try keepingNothingOfFailures {
            let cache = cache ?? model.makeCache(capacity: capacity, keepsAll: keepsAll)
            self.cache = cache
            let new = Array(prompt.images.dropFirst(images.count))
            let features = try new.isEmpty ? [] : model.vision?.features(of: new)
            let vision = start.duration(to: ContinuousClock.now).seconds
            let batch = TokenBatch(tokens: Array(prompt.tokens[tokens.count...]), images: new, start: cache.length)
            let logits = try model.forward(batch, cache: cache, last: 1, features: features).logits.floats()
            images += located(features ?? [], in: prompt)
            tokens = prompt.tokens
            return (logits, vision)
        }
    }

    /// Where the new images of a prompt are.
    private func located(_ features: [Tensor], in prompt: Prompt) -> [SeenImage] {
        guard let id = model.imageTokenID, !features.isEmpty else { return [] }
        let places = prompt.tokens.indices.dropFirst(tokens.count).filter { prompt.tokens[$0] == Int32(id) }
        var first = 0
        return zip(prompt.digests.dropFirst(images.count), features).map { digest, features in
            let own = places[first..<first + features.shape[0]]
            first += features.shape[0]
            return SeenImage(digest: digest, tokens: (own.first ?? 0)..<(own.last ?? -1) + 1)
        }
    }

    /// The logits after one more token.
    func logits(after token: Int32) throws -> [Float] {
        try keepingNothingOfFailures {
            let batch = TokenBatch(tokens: [token], start: tokens.count)
            let logits = try model.forward(batch, cache: cache).logits.floats()
            tokens.append(token)
            return logits
        }
    }

    /// The logits after each of some more tokens, with the bits of ``logits(after:)`` for one after the other.
    func logits(afterEach new: [Int32]) throws -> [[Float]] {
        try keepingNothingOfFailures {
            guard let cache else { return [] }
            allowRemoval(of: new.count)
            let logits = try model.logits(afterEach: new, cache: cache)
            tokens += new
            return logits
        }
    }

    /// Prepares for the removal of this many tokens of those to come.
    func allowRemoval(of count: Int) {
        guard let cache, cache.removableCount < count else { return }
        cache.removableCount = count
    }

    /// Removes tokens at the end that are not those of a sequence, and the one that is its last.
    ///
    /// - Parameters:
    ///   - sequence: The sequence.
    ///   - start: How many tokens are known to agree.
    func keepBeginning(of sequence: [Int32], from start: Int) {
        let most = min(tokens.count, sequence.count - 1)
        var count = min(start, most)
        while count < most, tokens[count] == sequence[count] { count += 1 }
        cache?.removeLast(tokens.count - count)
        tokens.removeLast(tokens.count - count)
    }

    /// A failed pass leaves a cache in which some layers have more tokens than others.
    private func keepingNothingOfFailures<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch {
            reset()
            throw error
        }
    }
}

// MARK: - Prompt caches

extension SeenSequence {
    /// Writes what was seen to a file, and drops what layers with a window need no longer.
    ///
    /// - Parameters:
    ///   - path: The file, written atomically.
    ///   - identity: What it is valid for.
    ///   - capacity: How many tokens there is room for afterwards.
    /// - Throws: `BridgeError` when it cannot be written.
    func save(to path: String, as identity: PromptCache.Identity, capacity: Int) throws {
        let rows = cache?.layers.compactMap(\.rows) ?? []
        guard rows.count == model.decoder.layers.count else {
            Tensor.fail(
                "PromptCache",
                "\(rows.count) layers have all their tokens, expected \(model.decoder.layers.count)"
            )
        }
        try PromptCacheFile.write(rows, tokens: tokens, images: images, as: identity, to: path, on: model.engine)
        fill(with: rows, count: tokens.count, capacity: capacity)
    }

    /// Takes the beginning of a prompt from a file.
    ///
    /// - Parameters:
    ///   - file: The file, of this model.
    ///   - prompt: The prompt.
    ///   - capacity: How many tokens there is room for at first.
    /// - Returns: How many tokens were taken.
    /// - Throws: `BridgeError` for a damaged file.
    func restore(_ file: PromptCacheFile, for prompt: Prompt, capacity: Int) throws -> Int {
        let count = file.commonCount(with: prompt, of: model)
        guard count > 0 else { return 0 }
        fill(with: try file.rows(for: model), count: count, capacity: capacity)
        tokens = Array(prompt.tokens[..<count])
        images = file.images.filter { $0.tokens.upperBound <= count }
        return count
    }

    /// Replaces the cache by one with the keys and values of the first tokens, as far as later tokens see them.
    private func fill(with rows: [(keys: Tensor, values: Tensor)], count: Int, capacity: Int) {
        let cache = model.makeCache(capacity: max(capacity, count))
        let layers = model.decoder.parallelism.layers.map { model.decoder.form.layers[$0] }
        for (index, (keys, values)) in rows.enumerated() {
            let range = max(0, count - (layers[index].window ?? count))..<count
            // Tokens of an image see each other, and no later token is in the block of an earlier one.
            let labels = AttentionMask.Labels(positions: range.map { Int32($0) }, on: model.engine)
            _ = cache.layers[index].append(keys.narrowed(1, to: range), values.narrowed(1, to: range), labels)
        }
        cache.advance(by: count)
        self.cache = cache
    }
}
