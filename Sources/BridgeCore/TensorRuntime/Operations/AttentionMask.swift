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

    /// Positions, segments and blocks of tokens, in the order of the batch.
    public struct Labels: Sendable, Equatable {
        /// The position of each token in its sequence, from 0 on.
        public var positions: [Int32]
        /// The sequence that each token belongs to; negative for none; nil when all belong to one.
        public var segments: [Int32]?
        /// The block of each token whose tokens all see each other, 0 for none; nil when there are none.
        public var blocks: [Int32]?

        /// Labels.
        public init(positions: [Int32], segments: [Int32]? = nil, blocks: [Int32]? = nil) {
            self.positions = positions
            self.segments = segments
            self.blocks = blocks
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
        if (queries.segments?[query] ?? 0) != (keys.segments?[key] ?? 0) { return false }
        if let segment = keys.segments?[key], segment < 0 { return false }
        let (q, k) = (Int(queries.positions[query]), Int(keys.positions[key]))
        if let window, k <= q - window { return false }
        guard isCausal, k > q else { return true }
        guard let block = queries.blocks?[query], block > 0 else { return false }
        return block == keys.blocks?[key]
    }
}
