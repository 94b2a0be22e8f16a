public import TensorFiles

/// One line of a parameter table: which Hugging Face tensors make which Megatron parameter, and how it is divided.
public struct ParameterMapping: Sendable {
    /// Which pipeline stage holds a parameter.
    public enum Stage: String, Sendable, Codable, CaseIterable {
        /// The first: embeddings and everything that sees pixels.
        case first
        /// The one that holds the decoder layer whose number is in the name.
        case layer
        /// The last: final norm and output layer.
        case last
    }

    /// The parameter's name; `*` is the layer.
    public var megatron: NamePattern
    /// The tensors' names, with the same wildcards.
    public var huggingFace: [NamePattern]
    /// The tensors' shapes, as the configuration gives them.
    public var shapes: [[Int]]
    /// The transform between both sides.
    public var transform: any ParameterTransform
    /// The split of the parameter across tensor ranks.
    public var split: SplitRule
    /// Which stage holds it.
    public var stage: Stage = .first
    /// The number of layers that `*` matches.
    public var repetitions = 1
    /// The paths that `**` matches, with the shape of each.
    public var paths: [(path: String, shape: [Int])] = []
    /// The number of equal parts along the rows that must not be divided: the KV groups of a fused attention; nil for
    /// single rows.
    public var parts: Int?
    /// The parameter whose values this one shares when the checkpoint does not store it.
    public var sharedWith: String?
    /// Whether this is the output layer, which some models tie to the embedding and others do not.
    public var isOutputLayer = false
    /// Whether a checkpoint may lack the tensors, because nothing is computed with them.
    public var isOptional = false

    /// The same line for tensors that a checkpoint may lack, because nothing is computed with them.
    public func optional() -> ParameterMapping {
        var mapping = self
        mapping.isOptional = true
        return mapping
    }
}

extension ParameterMapping {
    /// A line with a transform of the family's own, as ``Rename(_:_:_:split:sharedWith:)`` and others make them.
    ///
    /// - Parameters:
    ///   - megatron: The parameter's name.
    ///   - huggingFace: The tensors' names.
    ///   - shapes: Their shapes, in the sizes of the configuration.
    ///   - transform: The transform between both sides.
    ///   - split: The split of the parameter across tensor ranks.
    ///   - parts: The number of equal parts along the rows that must not be divided; nil for single rows.
    public init(
        _ megatron: NamePattern,
        _ huggingFace: [NamePattern],
        shapes: [[Int]],
        transform: any ParameterTransform,
        split: SplitRule = .replicated,
        parts: Int? = nil
    ) {
        self.init(
            megatron: megatron,
            huggingFace: huggingFace,
            shapes: shapes,
            transform: transform,
            split: split,
            parts: parts
        )
    }
}

/// One tensor under another name.
///
/// - Parameters:
///   - megatron: The parameter's name.
///   - huggingFace: The tensor's name.
///   - shape: The tensor's shape.
///   - split: How it is divided over tensor ranks.
///   - sharedWith: For tied embeddings, the parameter that is used instead of this one when no tensor is stored.
/// - Returns: The line.
public func Rename(
    _ megatron: NamePattern,
    _ huggingFace: NamePattern,
    _ shape: [Int],
    split: SplitRule = .replicated,
    sharedWith: String? = nil
) -> ParameterMapping {
    ParameterMapping(
        megatron: megatron,
        huggingFace: [huggingFace],
        shapes: [shape],
        transform: Identity(),
        split: split,
        sharedWith: sharedWith
    )
}

/// The output layer.
///
/// - Parameters:
///   - megatron: The parameter's name.
///   - huggingFace: The tensor's name.
///   - shape: The tensor's shape, [V, D].
///   - embedding: The name of the embedding if the configuration ties the two; nil for an output layer of its own.
/// - Returns: The line.
public func OutputLayer(
    _ megatron: NamePattern,
    _ huggingFace: NamePattern,
    _ shape: [Int],
    tiedTo embedding: String?
) -> ParameterMapping {
    var mapping = Rename(megatron, huggingFace, shape, split: .vocabulary, sharedWith: embedding)
    mapping.isOutputLayer = true
    return mapping
}

/// One matrix that Megatron stores transposed.
///
/// `shape` is Hugging Face's.
public func Transpose(
    _ megatron: NamePattern,
    _ huggingFace: NamePattern,
    _ shape: [Int],
    split: SplitRule = .replicated
) -> ParameterMapping {
    ParameterMapping(
        megatron: megatron,
        huggingFace: [huggingFace],
        shapes: [shape],
        transform: Transposition(),
        split: split
    )
}

/// Query, key and value projections in one parameter, `linear_qkv`, interleaved by KV group.
///
/// - Parameters:
///   - megatron: The parameter's name.
///   - huggingFace: The names of query, key and value, in this order.
///   - heads: The heads, from which the shapes follow.
///   - hiddenSize: The input width.
///   - rotaryPairs: Whether the tensors rotate neighbouring elements together, as Mistral's own files do.
/// - Returns: The line.
public func FuseHeads(
    _ megatron: NamePattern,
    _ huggingFace: [NamePattern],
    heads: HeadLayout,
    hiddenSize: Int,
    rotaryPairs: Bool = false
) -> ParameterMapping {
    let query = heads.queryHeads * heads.headWidth
    let key = heads.groups * heads.headWidth
    let fused = HeadInterleaving(heads)
    return ParameterMapping(
        megatron: megatron,
        huggingFace: huggingFace,
        shapes: [[query, hiddenSize], [key, hiddenSize], [key, hiddenSize]],
        transform: rotaryPairs ? WithRotaryPairs(fused, rotated: [0, 1], headWidth: heads.headWidth) : fused,
        split: .column,
        parts: heads.groups
    )
}

/// The biases of query, key and value projections in one parameter, `linear_qkv.bias`, in the order of the rows of
/// `linear_qkv.weight`.
///
/// - Parameters:
///   - megatron: The parameter's name.
///   - huggingFace: The names of the biases of query, key and value, in this order.
///   - heads: The heads, from which the shapes follow.
///   - rotaryPairs: Whether the tensors rotate neighbouring elements together, as for the weights.
/// - Returns: The line.
public func FuseHeadBiases(
    _ megatron: NamePattern,
    _ huggingFace: [NamePattern],
    heads: HeadLayout,
    rotaryPairs: Bool = false
) -> ParameterMapping {
    let fused = HeadInterleaving(heads)
    let (query, key) = (heads.queryHeads * heads.headWidth, heads.groups * heads.headWidth)
    return ParameterMapping(
        megatron: megatron,
        huggingFace: huggingFace,
        shapes: [[query], [key], [key]],
        transform: rotaryPairs ? WithRotaryPairs(fused, rotated: [0, 1], headWidth: heads.headWidth) : fused,
        split: .column,
        parts: heads.groups
    )
}

/// Gate and up projections in one parameter, `linear_fc1`: gate above up, on every rank.
public func FuseGate(
    _ megatron: NamePattern,
    gate: NamePattern,
    up: NamePattern,
    ffnHiddenSize: Int,
    hiddenSize: Int
) -> ParameterMapping {
    ParameterMapping(
        megatron: megatron,
        huggingFace: [gate, up],
        shapes: [[ffnHiddenSize, hiddenSize], [ffnHiddenSize, hiddenSize]],
        transform: Stacking(heights: [ffnHiddenSize, ffnHiddenSize]),
        split: .gatedColumn
    )
}

/// All parameters of a module under their own names: `**` matches each of the given paths, with its shape.
///
/// The paths are listed so that a missing tensor of the tower is noticed like any other.
public func Tower(
    _ megatron: NamePattern,
    _ huggingFace: NamePattern,
    _ paths: [(path: String, shape: [Int])]
) -> ParameterMapping {
    ParameterMapping(
        megatron: megatron,
        huggingFace: [huggingFace],
        shapes: [],
        transform: Identity(),
        split: .replicated,
        paths: paths
    )
}

/// Mappings whose `*` runs over `count` layers.
public func Layers(
    _ count: Int,
    stage: ParameterMapping.Stage = .layer,
    @ParameterTable.Builder _ mappings: () -> [ParameterMapping]
) -> [ParameterMapping] {
    mappings().map { mapping in
        var mapping = mapping
        mapping.repetitions = count
        mapping.stage = stage
        return mapping
    }
}

/// Mappings of what the last pipeline stage holds.
public func LastStage(@ParameterTable.Builder _ mappings: () -> [ParameterMapping]) -> [ParameterMapping] {
    mappings().map { mapping in
        var mapping = mapping
        mapping.stage = .last
        return mapping
    }
}
