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

/// The keys and values of one layer, [1, S, G, K], and the labels of their tokens.
///
/// A layer with a window keeps them in a ring as long as the window, so that its memory does not grow.
public final class LayerCache {
    private let window: Int?
    private var capacity: Int
    private var keys: Tensor?
    private var values: Tensor?
    private var positions: Tensor?
    /// nil until a token with a block comes.
    private var blocks: Tensor?
    /// The number of tokens that are kept.
    private var kept = 0
    /// The number of tokens that were stored; in a ring, more than are kept.
    private var stored = 0

    init(window: Int?, capacity: Int) {
        self.window = window
        self.capacity = max(1, window.map { min($0, capacity) } ?? capacity)
    }

    var byteCount: Int { (keys?.storage.byteCount ?? 0) + (values?.storage.byteCount ?? 0) }

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
        if blocks == nil, tokens.blocks != nil { blocks = Self.noBlocks(capacity, on: key.engine) }
        let new = (
            key: key, value: value, positions: tokens.positions,
            blocks: tokens.blocks ?? blocks.map { _ in Self.noBlocks(count, on: key.engine) }
        )
        guard let window, kept + count > window, count > 1 else {
            // No key that a new token sees is overwritten: there is room, or one token replaces the oldest one.
            store(new, from: 0)
            let labels = AttentionMask.Labels(
                positions: part(positions) ?? new.positions,
                blocks: part(blocks) ?? new.blocks
            )
            return (part(keys, 1) ?? key, part(values, 1) ?? value, labels)
        }
        // The first of the new tokens still see what the last of them will write over.
        func behind(_ old: Tensor?, _ new: Tensor, _ dimension: Int = 0) -> Tensor {
            Tensor.concatenated([part(old, dimension), new].compactMap { $0 }, dimension: dimension)
        }
        let (allKeys, allValues) = (behind(keys, key, 1), behind(values, value, 1))
        let labels = AttentionMask.Labels(
            positions: behind(positions, new.positions),
            blocks: new.blocks.map { behind(blocks, $0) }
        )
        store(new, from: max(0, count - window))
        return (allKeys, allValues, labels)
    }

    private typealias Tokens = (key: Tensor, value: Tensor, positions: Tensor, blocks: Tensor?)

    private static func noBlocks(_ count: Int, on engine: any TensorEngine) -> Tensor {
        Tensor(indices: [Int32](repeating: 0, count: count), on: engine)
    }

    /// What is kept of memory with room for more tokens along a dimension.
    private func part(_ tensor: Tensor?, _ dimension: Int = 0) -> Tensor? {
        guard kept > 0 else { return nil }
        return tensor?.narrowed(dimension, to: 0..<kept)
    }

    private func store(_ new: Tokens, from first: Int) {
        let count = new.key.shape[1]
        // The new tokens alone fill the ring.
        if first > 0 { (kept, stored) = (0, 0) }
        reserve(kept + count - first, like: new)
        var token = first
        while token < count {
            let slot = window.map { stored % $0 } ?? stored
            let run = min(count - token, capacity - slot)
            func copy(_ source: Tensor?, _ target: Tensor?, _ dimension: Int = 0) {
                guard let source, let target else { return }
                target.engine.copy(
                    source.narrowed(dimension, to: token..<token + run),
                    into: target.narrowed(dimension, to: slot..<slot + run)
                )
            }
            copy(new.key, keys, 1)
            copy(new.value, values, 1)
            copy(new.positions, positions)
            copy(new.blocks, blocks)
            kept = max(kept, slot + run)
            token += run
            stored += run
        }
    }

    /// Reserves memory for `count` tokens, up to the window.
    private func reserve(_ count: Int, like new: Tokens) {
        let wanted = min(count, window ?? .max)
        guard keys == nil || capacity < wanted else { return }
        while capacity < wanted { capacity = min(capacity * 2, window ?? .max) }
        func grown(_ old: Tensor?, like new: Tensor, _ dimension: Int = 0) -> Tensor {
            var shape = new.shape
            shape[dimension] = capacity
            let memory = Tensor(uninitialized: shape, new.elementType, on: new.engine)
            if let part = part(old, dimension) {
                new.engine.copy(part, into: memory.narrowed(dimension, to: 0..<kept))
            }
            return memory
        }
        (keys, values) = (grown(keys, like: new.key, 1), grown(values, like: new.value, 1))
        positions = grown(positions, like: new.positions)
        blocks = new.blocks.map { grown(blocks, like: $0) }
    }
}
