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
        var labels: [Int?: KeyLabels] = [:]
        layers = windows.map { window in
            let shared = labels[window] ?? KeyLabels(window: window, capacity: capacity)
            labels[window] = shared
            return LayerCache(window: window, capacity: capacity, labels: shared)
        }
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
    private let memory: TokenMemory
    private let labels: KeyLabels
    /// The number of tokens that were appended.
    private var length = 0

    init(window: Int?, capacity: Int, labels: KeyLabels) {
        memory = TokenMemory(window: window, dimension: 1, capacity: capacity)
        self.labels = labels
    }

    var byteCount: Int { memory.byteCount }

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
    /// What the newest tokens may see, and how many tokens were there before them.
    private var newest: (start: Int, labels: AttentionMask.Labels)?

    init(window: Int?, capacity: Int) {
        memory = TokenMemory(window: window, dimension: 0, capacity: capacity)
    }

    func append(_ tokens: AttentionMask.Labels, after start: Int) -> AttentionMask.Labels {
        if let newest, newest.start == start { return newest.labels }
        let positions = tokens.positions
        guard start == length else {
            Tensor.fail("KVCache", "a layer has \(start) tokens, others have \(length)", positions)
        }
        let blocks =
            tokens.blocks
            ?? Tensor(indices: [Int32](repeating: 0, count: positions.count), on: positions.engine)
        let kept = memory.append([positions, blocks])
        let labels = AttentionMask.Labels(positions: kept[0], blocks: kept[1])
        newest = (start, labels)
        length += positions.count
        return labels
    }
}
