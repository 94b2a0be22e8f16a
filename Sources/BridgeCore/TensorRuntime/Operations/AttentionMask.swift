/// Which keys a query sees.
///
/// One rule covers causal, sliding, block-diagonal, packed and padded attention, a ring of cached keys, and images whose
/// tokens see each other: query q sees key k when
///
/// - their segments are equal (block-diagonal attention, packed samples) and the key's is not negative (padding), and
/// - `k > q - window` by position, where there is a window, and
/// - `k <= q` by position where attention is causal, or both are in the same block, whose number is more than 0.
///
/// Source of the order of window and block: `create_masks_for_vision_model`, transformers 5.23.
public struct AttentionMask: Sendable {
    /// Whether attention is causal, except inside blocks.
    public var isCausal: Bool
    /// The sliding window: the number of positions that a query sees, itself included; nil for all.
    public var window: Int?
    /// The labels of the queries, row by row of the batch: [B * T].
    public var queries: Labels
    /// The labels of the keys: [B * S].
    public var keys: Labels

    /// Positions, segments and blocks of tokens, in the order of the batch: int32 vectors.
    public struct Labels: Sendable {
        /// The position of each token in its sequence, from 0 on.
        public let positions: Tensor
        /// The sequence that each token belongs to; negative for none; nil when all belong to one.
        public let segments: Tensor?
        /// The block of each token whose tokens all see each other, 0 for none; nil when there are none.
        public let blocks: Tensor?

        /// Labels in an engine's memory.
        public init(positions: Tensor, segments: Tensor? = nil, blocks: Tensor? = nil) {
            self.positions = positions
            self.segments = segments
            self.blocks = blocks
        }

        /// Labels for an engine.
        public init(
            positions: [Int32],
            segments: [Int32]? = nil,
            blocks: [Int32]? = nil,
            on engine: any TensorEngine
        ) {
            self.init(
                positions: Tensor(indices: positions, on: engine),
                segments: segments.map { Tensor(indices: $0, on: engine) },
                blocks: blocks.map { Tensor(indices: $0, on: engine) }
            )
        }
    }

    /// A mask.
    public init(isCausal: Bool, window: Int? = nil, queries: Labels, keys: Labels) {
        self.isCausal = isCausal
        self.window = window
        self.queries = queries
        self.keys = keys
    }

    /// A mask for tokens that attend to themselves.
    public init(isCausal: Bool, window: Int? = nil, tokens: Labels) {
        self.init(isCausal: isCausal, window: window, queries: tokens, keys: tokens)
    }

    /// Whether a query sees a key, both by their index: the definition of the mask, for one pair.
    public func sees(query: Int, key: Int) -> Bool {
        func label(_ labels: Tensor?, _ index: Int) -> Int? {
            guard let labels else { return nil }
            var label: Int32 = 0
            labels.engine.download(labels) { label = $0.load(fromByteOffset: 4 * index, as: Int32.self) }
            return Int(label)
        }
        let segment = label(keys.segments, key)
        if (label(queries.segments, query) ?? 0) != (segment ?? 0) { return false }
        if let segment, segment < 0 { return false }
        guard let q = label(queries.positions, query), let k = label(keys.positions, key) else { return false }
        if let window, k <= q - window { return false }
        guard isCausal, k > q else { return true }
        guard let block = label(queries.blocks, query), block > 0 else { return false }
        return block == label(keys.blocks, key)
    }
}
