/// The keys and values of the tokens that a model has seen, for one sequence.
public final class KVCache {
    /// The number of tokens that were processed.
    public private(set) var length = 0
    /// The keys and values of each layer.
    public let layers: [LayerCache]
    /// How many of the newest tokens ``removeLast(_:)`` can remove, if they are appended one by one from now on.
    ///
    /// Layers with a window keep what these tokens have overwritten.
    public var removableCount = 0 {
        didSet {
            for layer in layers { layer.removableCount = removableCount }
            for labels in labels { labels.removableCount = removableCount }
        }
    }

    private let labels: [KeyLabels]

    /// An empty cache.
    ///
    /// - Parameters:
    ///   - windows: For each layer, how many positions a query sees; nil for all.
    ///   - capacity: How many tokens there is room for at first.
    public init(windows: [Int?], capacity: Int) {
        var labels: [Int?: KeyLabels] = [:]
        layers = windows.map { window in
            let shared = labels[window] ?? KeyLabels(window: window, capacity: capacity)
            labels[window] = shared
            return LayerCache(window: window, capacity: capacity, labels: shared)
        }
        self.labels = Array(labels.values)
    }

    /// Counts tokens that every layer has stored.
    public func advance(by count: Int) { length += count }

    /// Removes the newest tokens: the cache is then what it was before them, to the bit.
    ///
    /// - Parameter count: Their number, at most ``removableCount``; any number for a cache without windows.
    public func removeLast(_ count: Int) {
        guard count > 0 else { return }
        for layer in layers { layer.removeLast(count) }
        for labels in labels { labels.removeLast(count) }
        length -= count
    }

    /// The number of bytes of the cache.
    public var byteCount: Int { layers.reduce(0) { $0 + $1.byteCount } }
}

/// The keys and values of one layer, [1, S, G, K].
///
/// A layer with a window keeps them in a ring as long as the window, so that its memory does not grow.
public final class LayerCache {
    private let memory: TokenMemory
    private let labels: KeyLabels
    /// The number of tokens that were appended.
    private var length = 0

    init(window: Int?, capacity: Int, labels: KeyLabels) {
        memory = TokenMemory(window: window, dimension: 1, capacity: capacity)
        self.labels = labels
    }

    var byteCount: Int { memory.byteCount }

    var removableCount: Int {
        get { memory.removableCount }
        set { memory.removableCount = newValue }
    }

    func removeLast(_ count: Int) {
        memory.removeLast(count)
        length -= count
    }

    /// The keys and values of all tokens in their order, [1, S, G, K] each; nil where a window has dropped or moved some.
    package var rows: (keys: Tensor, values: Tensor)? { memory.ordered.map { ($0[0], $0[1]) } }

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
        let kept = memory.append([key, value])
        let labels = labels.append(tokens, after: length)
        length += key.shape[1]
        return (kept[0], kept[1], labels)
    }
}

/// The labels of the tokens that layers with the same window keep.
///
/// They are the same for all of these layers, so the first one appends them and the others find them.
final class KeyLabels {
    private let memory: TokenMemory
    /// The number of tokens that were appended.
    private var length = 0
    /// What the newest tokens may see, and how many tokens were there before them: of the last call, or of the last few where
    /// tokens can be removed and several go through each layer one after the other.
    private var newest: [(start: Int, labels: AttentionMask.Labels)] = []

    var removableCount: Int {
        get { memory.removableCount }
        set { memory.removableCount = newValue }
    }

    init(window: Int?, capacity: Int) {
        memory = TokenMemory(window: window, dimension: 0, capacity: capacity)
    }

    func append(_ tokens: AttentionMask.Labels, after start: Int) -> AttentionMask.Labels {
        if let known = newest.last(where: { $0.start == start }) { return known.labels }
        let positions = tokens.positions
        guard start == length else {
            Tensor.fail("KVCache", "a layer has \(start) tokens, others have \(length)", positions)
        }
        let blocks =
            tokens.blocks
            ?? Tensor(indices: [Int32](repeating: 0, count: positions.count), on: positions.engine)
        var kept = memory.append([positions, blocks])
        // A later token overwrites a label that the first layer has used for this one and the others have not.
        if removableCount > 0, memory.isRing { kept = kept.map { $0.copied() } }
        let labels = AttentionMask.Labels(positions: kept[0], blocks: kept[1])
        newest.append((start, labels))
        newest.removeFirst(max(0, newest.count - max(1, removableCount)))
        length += positions.count
        return labels
    }

    func removeLast(_ count: Int) {
        memory.removeLast(count)
        length -= count
        newest.removeAll { $0.start >= length }
    }
}
