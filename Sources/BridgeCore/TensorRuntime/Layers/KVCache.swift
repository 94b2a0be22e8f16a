/// The keys and values of the tokens that a model has seen, for one sequence.
public final class KVCache {
    /// The number of tokens that were processed.
    public private(set) var length = 0
    /// The keys and values of each layer.
    public let layers: [LayerCache]

    /// An empty cache.
    ///
    /// - Parameters:
    ///   - windows: For each layer, how many positions a query sees; nil for all.
    ///   - capacity: How many tokens there is room for at first.
    public init(windows: [Int?], capacity: Int) {
        layers = windows.map { LayerCache(window: $0, capacity: capacity) }
    }

    /// Counts tokens that every layer has stored.
    public func advance(by count: Int) { length += count }

    /// The number of bytes of the cache.
    public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}

/// The keys and values of one layer, [1, S, G, K].
///
/// A layer with a window keeps them in a ring as long as the window, so that its memory does not grow.
public final class LayerCache {
    private let window: Int?
    private var capacity: Int
    private var keys: Tensor?
    private var values: Tensor?
    private var labels = AttentionMask.Labels(positions: [], segments: nil, blocks: [])
    /// The number of tokens that were stored; in a ring, more than are kept.
    private var stored = 0

    init(window: Int?, capacity: Int) {
        self.window = window
        self.capacity = max(1, window.map { min($0, capacity) } ?? capacity)
    }

    var byteCount: Int { (keys?.storage.byteCount ?? 0) + (values?.storage.byteCount ?? 0) }

    private var kept: Int { labels.positions.count }

    /// Appends the keys and values of new tokens.
    ///
    /// - Parameters:
    ///   - key: [1, T, G, K].
    ///   - value: [1, T, G, K].
    ///   - tokens: What the tokens are.
    /// - Returns: Keys and values that the new tokens may see, in no particular order, with their labels.
    public func append(_ key: Tensor, _ value: Tensor, _ tokens: AttentionMask.Labels)
        -> (keys: Tensor, values: Tensor, labels: AttentionMask.Labels)
    {
        let count = key.shape[1]
        guard let window, kept + count > window, count > 1 else {
            // No key that a new token sees is overwritten: there is room, or one token replaces the oldest one.
            store(key, value, tokens, from: 0)
            return (view(keys) ?? key, view(values) ?? value, labels)
        }
        // The first of the new tokens still see what the last of them will write over.
        var seen = labels
        seen.positions += tokens.positions
        seen.blocks = (labels.blocks ?? []) + (tokens.blocks ?? [Int32](repeating: 0, count: count))
        let allKeys = Tensor.concatenated([view(keys), key].compactMap { $0 }, dimension: 1)
        let allValues = Tensor.concatenated([view(values), value].compactMap { $0 }, dimension: 1)
        store(key, value, tokens, from: max(0, count - window))
        return (allKeys, allValues, seen)
    }

    private func view(_ tensor: Tensor?) -> Tensor? {
        guard kept > 0 else { return nil }
        return tensor?.narrowed(1, to: 0..<kept)
    }

    private func store(_ key: Tensor, _ value: Tensor, _ tokens: AttentionMask.Labels, from first: Int) {
        let count = key.shape[1]
        if first > 0 {
            // The new tokens alone fill the ring.
            labels = AttentionMask.Labels(positions: [], segments: nil, blocks: [])
            stored = 0
        }
        reserve(kept + count - first, like: key)
        guard let keys, let values else { return }
        var token = first
        while token < count {
            let position = window == nil ? stored : stored % (window ?? 1)
            let run = min(count - token, keys.shape[1] - position)
            keys.engine.copy(
                key.narrowed(1, to: token..<token + run),
                into: keys.narrowed(1, to: position..<position + run)
            )
            keys.engine.copy(
                value.narrowed(1, to: token..<token + run),
                into: values.narrowed(1, to: position..<position + run)
            )
            for index in token..<token + run {
                let (slot, block) = (position + index - token, tokens.blocks?[index] ?? 0)
                if slot < kept {
                    labels.positions[slot] = tokens.positions[index]
                    labels.blocks?[slot] = block
                } else {
                    labels.positions.append(tokens.positions[index])
                    labels.blocks?.append(block)
                }
            }
            token += run
            stored += run
        }
    }

    /// Reserves memory for `count` tokens, up to the window.
    private func reserve(_ count: Int, like key: Tensor) {
        let wanted = min(count, window ?? .max)
        guard keys == nil || capacity < wanted else { return }
        while capacity < wanted { capacity = min(capacity * 2, window ?? .max) }
        func grown(_ old: Tensor?) -> Tensor {
            let new = Tensor(
                uninitialized: [1, capacity, key.shape[2], key.shape[3]],
                key.elementType,
                on: key.engine
            )
            if let part = view(old) { key.engine.copy(part, into: new.narrowed(1, to: 0..<kept)) }
            return new
        }
        (keys, values) = (grown(keys), grown(values))
    }
}
