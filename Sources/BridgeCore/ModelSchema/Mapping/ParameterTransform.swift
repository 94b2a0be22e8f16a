public import TensorFiles

/// A rearrangement of rows and columns between Hugging Face's tensors and Megatron's parameter, with its inverse.
///
/// A transform is pure: it sees views and the sizes it was made with, never ranks, files or sockets. Applying one
/// direction after the other gives the same elements back; the conformance suite checks it.
public protocol ParameterTransform: Sendable {
    /// A short description, for `bridge plugins describe`.
    var summary: String { get }

    /// The Megatron parameter of Hugging Face's tensors, which are in the order of the mapping.
    func toMegatron(_ tensors: [TensorView]) -> TensorView

    /// Hugging Face's tensors of the Megatron parameter, in the order of the mapping.
    func toHuggingFace(_ parameter: TensorView) -> [TensorView]

    /// The weights of the layers from the Megatron parameter: fused matrices are separated, and everything else is as
    /// in Megatron.
    func toLayers(_ parameter: TensorView) -> [TensorView]

    /// The Megatron parameter from the weights of the layers: the inverse of ``toLayers(_:)``.
    ///
    /// It looks at rows alone, so that what belongs to the rows of a matrix, such as an adapter's, goes the same way.
    func fromLayers(_ matrices: [TensorView]) -> TensorView
}

extension ParameterTransform {
    /// The parameter itself.
    public func toLayers(_ parameter: TensorView) -> [TensorView] { [parameter] }
    /// The matrix itself.
    public func fromLayers(_ matrices: [TensorView]) -> TensorView { matrices[0] }
}

/// One tensor, unchanged.
public struct Identity: ParameterTransform {
    /// A transform that changes nothing.
    public init() {}
    /// The description.
    public var summary: String { "as is" }
    /// The tensor itself.
    public func toMegatron(_ tensors: [TensorView]) -> TensorView { tensors[0] }
    /// The parameter itself.
    public func toHuggingFace(_ parameter: TensorView) -> [TensorView] { [parameter] }
}

/// One matrix, transposed.
public struct Transposition: ParameterTransform {
    /// A transform that swaps rows and columns.
    public init() {}
    /// The description.
    public var summary: String { "transposed" }
    /// The transposed matrix.
    public func toMegatron(_ tensors: [TensorView]) -> TensorView { tensors[0].transposed }
    /// The transposed matrix.
    public func toHuggingFace(_ parameter: TensorView) -> [TensorView] { [parameter.transposed] }
}

/// Matrices one below the other: gate above up.
public struct Stacking: ParameterTransform {
    /// The number of rows of each tensor.
    public let heights: [Int]

    /// A transform that stacks tensors of the given heights.
    public init(heights: [Int]) { self.heights = heights }

    /// The description.
    public var summary: String { "stacked" }

    /// The tensors one below the other.
    public func toMegatron(_ tensors: [TensorView]) -> TensorView { .concatenate(rows: tensors) }

    /// The parameter cut at the heights.
    public func toHuggingFace(_ parameter: TensorView) -> [TensorView] {
        var start = 0
        return heights.map { height in
            defer { start += height }
            return parameter.rows(start..<start + height)
        }
    }

    /// The parameter cut at the heights.
    public func toLayers(_ parameter: TensorView) -> [TensorView] { toHuggingFace(parameter) }
    /// The matrices one below the other.
    public func fromLayers(_ matrices: [TensorView]) -> TensorView { toMegatron(matrices) }
}

/// Query, key and value in one matrix, interleaved by KV group: the query heads of group g, its key head, its value head.
///
/// Source: megatron/core/transformer/attention.py (`get_query_key_value_tensors`), megatron-core 0.16.
public struct HeadInterleaving: ParameterTransform {
    /// The layout of the heads.
    public let heads: HeadLayout

    /// A transform for the given heads.
    public init(_ heads: HeadLayout) { self.heads = heads }

    /// The description.
    public var summary: String { "q, k, v interleaved by KV group" }

    /// The rows of query, key and value by group.
    public func toMegatron(_ tensors: [TensorView]) -> TensorView {
        let (queryRows, rows) = (heads.queryHeadsPerGroup * heads.headWidth, heads.headWidth)
        return .concatenate(
            rows: (0..<heads.groups).flatMap { group in
                [
                    tensors[0].rows(group * queryRows..<(group + 1) * queryRows),
                    tensors[1].rows(group * rows..<(group + 1) * rows),
                    tensors[2].rows(group * rows..<(group + 1) * rows),
                ]
            }
        )
    }

    /// Query, key and value.
    public func toHuggingFace(_ parameter: TensorView) -> [TensorView] {
        let (queryRows, rows) = (heads.queryHeadsPerGroup * heads.headWidth, heads.headWidth)
        let stride = queryRows + 2 * rows
        func part(at offset: Int, _ count: Int) -> TensorView {
            .concatenate(
                rows: (0..<heads.groups).map { parameter.rows($0 * stride + offset..<$0 * stride + offset + count) }
            )
        }
        return [part(at: 0, queryRows), part(at: queryRows, rows), part(at: queryRows + rows, rows)]
    }

    /// Query, key and value.
    public func toLayers(_ parameter: TensorView) -> [TensorView] { toHuggingFace(parameter) }
    /// The rows of query, key and value by group.
    public func fromLayers(_ matrices: [TensorView]) -> TensorView { toMegatron(matrices) }
}

/// The rows of each head of a query or key matrix, from adjacent pairs to pairs that are half a head apart.
///
/// Mistral's own files rotate the elements 2i and 2i + 1 of a head together; Hugging Face's and Megatron's code rotates
/// i and i + width / 2. Hugging Face's side of this transform is the former. Source: `permute_for_rope` in transformers'
/// `convert_mistral_weights_to_hf.py`, 5.23.
public struct RotaryPairing: Sendable {
    /// The number of rows of a head; even.
    public let headWidth: Int

    /// The rearrangement for heads of the given width.
    public init(headWidth: Int) { self.headWidth = headWidth }

    /// From neighbouring pairs to pairs half a head apart.
    public func separated(_ view: TensorView) -> TensorView {
        rearranged(view) { head, row in head + row % (headWidth / 2) * 2 + row / (headWidth / 2) }
    }

    /// From pairs half a head apart to neighbouring pairs.
    public func joined(_ view: TensorView) -> TensorView {
        rearranged(view) { head, row in head + row % 2 * (headWidth / 2) + row / 2 }
    }

    private func rearranged(_ view: TensorView, source: (_ head: Int, _ row: Int) -> Int) -> TensorView {
        .concatenate(
            rows: (0..<view.height).map { row in
                let from = source(row / headWidth * headWidth, row % headWidth)
                return view.rows(from..<from + 1)
            }
        )
    }
}

/// A transform whose Hugging Face tensors come with neighbouring rotary pairs.
public struct WithRotaryPairs: ParameterTransform {
    /// Additional transforms.
    public let base: any ParameterTransform
    /// Which of the tensors are rotated: query and key.
    public let rotated: [Int]
    /// The rearrangement.
    public let pairing: RotaryPairing

    /// A transform that first separates the pairs of the tensors with the given indices.
    public init(_ base: any ParameterTransform, rotated: [Int], headWidth: Int) {
        self.base = base
        self.rotated = rotated
        pairing = RotaryPairing(headWidth: headWidth)
    }

    /// The description.
    public var summary: String { "\(base.summary), rotary pairs separated" }

    /// Separates the pairs, then does the rest.
    public func toMegatron(_ tensors: [TensorView]) -> TensorView {
        base.toMegatron(tensors.enumerated().map { rotated.contains($0) ? pairing.separated($1) : $1 })
    }

    /// Undoes the rest, then joins the pairs.
    public func toHuggingFace(_ parameter: TensorView) -> [TensorView] {
        base.toHuggingFace(parameter).enumerated().map { rotated.contains($0) ? pairing.joined($1) : $1 }
    }

    /// What the rest makes for layers, which rotate pairs half a head apart.
    public func toLayers(_ parameter: TensorView) -> [TensorView] { base.toLayers(parameter) }
    /// What the rest makes of them.
    public func fromLayers(_ matrices: [TensorView]) -> TensorView { base.fromLayers(matrices) }
}

/// The number of query heads and KV groups of an attention layer, and the size of a head.
public struct HeadLayout: Sendable, Hashable {
    /// Query heads.
    public let queryHeads: Int
    /// KV groups, each with one key head and one value head.
    public let groups: Int
    /// Elements of a head.
    public let headWidth: Int

    /// A layout; `queryHeads` is a multiple of `groups`, which the configuration has been checked for.
    public init(queryHeads: Int, groups: Int, headWidth: Int) {
        self.queryHeads = queryHeads
        self.groups = groups
        self.headWidth = headWidth
    }

    /// Query heads that share a key head.
    public var queryHeadsPerGroup: Int { queryHeads / max(groups, 1) }
}
