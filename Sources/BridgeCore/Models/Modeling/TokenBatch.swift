import Imaging
public import Processing
public import TensorRuntime

/// Tokens for a forward pass: B sequences of T tokens, and the images of the image tokens.
public struct TokenBatch: Sendable {
    /// The tokens, row by row: B x T.
    public var tokens: [Int32]
    /// B.
    public var batch: Int
    /// The position of every token in its sequence, B x T.
    public var positions: [Int32]
    /// For every token whether it is there at all, B x T; nil when all are.
    ///
    /// Padding is not seen. What padding itself sees are the tokens before it, as with `attention_mask` of transformers, so
    /// that its logits, and a loss that labels of padding have, are those of transformers too.
    public var isPresent: [Bool]?
    /// For every token the sample of its row that it belongs to, from 0 on, and -1 for padding, B x T; nil when each row
    /// is one sample.
    ///
    /// Tokens of different segments do not see each other. Where there are segments, `isPresent` does not matter.
    public var segments: [Int32]?
    /// For every token its type, 1 for those of images, B x T; nil where the image tokens decide.
    ///
    /// A model whose images attend in both directions has its images there, as with `token_type_ids` of transformers. Other
    /// models do not read it.
    public var tokenTypes: [Int32]?
    /// Pixel values [3, height, width], float32, in the order in which their features replace image tokens.
    public var images: [Tensor]

    /// T.
    public var length: Int { tokens.count / max(batch, 1) }

    /// A batch.
    ///
    /// - Parameters:
    ///   - tokens: B x T tokens, row by row.
    ///   - batch: B.
    ///   - positions: Their positions; nil for 0, 1, ... in each row, from `start` on.
    ///   - isPresent: Which of them are not padding; nil for all.
    ///   - segments: Which sample of its row each of them belongs to; nil for one sample a row.
    ///   - images: Pixel values.
    ///   - start: The position of the first column when `positions` is nil.
    public init(
        tokens: [Int32],
        batch: Int = 1,
        positions: [Int32]? = nil,
        isPresent: [Bool]? = nil,
        segments: [Int32]? = nil,
        images: [Tensor] = [],
        start: Int = 0
    ) {
        self.tokens = tokens
        self.batch = batch
        self.isPresent = isPresent
        self.segments = segments
        self.images = images
        let length = tokens.count / max(batch, 1)
        self.positions = positions ?? (0..<batch).flatMap { _ in (0..<length).map { Int32(start + $0) } }
    }

    /// One sequence as a processor makes it.
    public init(_ inputs: ModelInputs, on engine: any TensorEngine) {
        self.init(
            tokens: inputs.tokenIDs.map { Int32(clamping: $0) },
            images: inputs.images.map { Tensor($0.values, shape: [3, $0.height, $0.width], on: engine) }
        )
    }

    /// Of values for each token those in some columns, row by row.
    func chosen<Value>(_ values: [Value], columns: [Int]) -> [Value] {
        (0..<batch).flatMap { row in columns.map { values[row * length + $0] } }
    }

    /// The columns of the tokens, for masks: attention uses the column, rotary embedding the position.
    ///
    /// - Parameters:
    ///   - start: The index of the first column.
    ///   - blocks: The number of the image that each token belongs to, 0 for none.
    ///   - columns: The columns of the queries and those of the keys, in their order; nil for all columns.
    ///   - engine: Where the labels are needed.
    /// - Returns: A label for each token as a query and as a key.
    func labels(
        start: Int,
        blocks: [Int32]?,
        columns: (queries: [Int], keys: [Int])? = nil,
        on engine: any TensorEngine
    ) -> (queries: AttentionMask.Labels, keys: AttentionMask.Labels) {
        let positions = (0..<batch).flatMap { _ in (0..<length).map { Int32(start + $0) } }
        let present: [Int32]? = isPresent.map { $0.map { $0 ? 0 : -1 } }
        if let columns {
            func labels(_ columns: [Int], segments: [Int32]?) -> AttentionMask.Labels {
                AttentionMask.Labels(
                    positions: chosen(positions, columns: columns),
                    segments: segments.map { chosen($0, columns: columns) },
                    blocks: blocks.map { chosen($0, columns: columns) },
                    on: engine
                )
            }
            return (labels(columns.queries, segments: segments), labels(columns.keys, segments: segments ?? present))
        }
        let queries = AttentionMask.Labels(positions: positions, segments: segments, blocks: blocks, on: engine)
        let padding = present.map { Tensor(indices: $0, on: engine) }
        let keys = AttentionMask.Labels(
            positions: queries.positions,
            segments: queries.segments ?? padding,
            blocks: queries.blocks
        )
        return (queries, keys)
    }
}
