import Communication
public import ModelSchema
public import Recipes
public import TensorRuntime

/// A decoder-only transformer: embedding, layers, final norm, output layer.
///
/// Shapes in names: B batch, T tokens, D width of the residual stream, H query heads, G key heads, K width of a head,
/// F width of the MLP, V vocabulary.
public final class TransformerDecoder: @unchecked Sendable {
    /// The sizes.
    public let configuration: DecoderConfiguration
    /// The architecture.
    public let form: DecoderArchitecture
    /// [V, D].
    public let embedding: Parameter
    /// The layers.
    public let layers: [DecoderLayer]
    /// The norm after the last layer.
    public let finalNorm: RMSNorm
    /// The output layer; the embedding itself where the two are tied.
    public private(set) var output: Linear
    /// The name of the output layer's weight if it is not the embedding.
    package let outputName: String
    /// Whether the output layer was the embedding before any adapter was there.
    package let wasTied: Bool
    /// How the decoder is divided over ranks.
    public let parallelism: ModelParallelism
    /// The residual stream that the next pass starts with; nil for embeddings or for what the stage before sends.
    var inputTensor: Tensor?
    private let engine: any TensorEngine

    /// A decoder.
    ///
    /// - Parameters:
    ///   - configuration: The sizes.
    ///   - form: What is computed.
    ///   - weights: Where the parameters are.
    ///   - prefix: The prefix of their names, such as `language_model.`.
    /// - Throws: `BridgeError` when a parameter is not in the table.
    public init(
        _ configuration: DecoderConfiguration,
        form: DecoderArchitecture,
        weights: ModelWeights,
        prefix: String = ""
    ) throws {
        self.configuration = configuration
        self.form = form
        engine = weights.engine
        parallelism = weights.parallelism
        // A stage that does not have a matrix has one without rows.
        let absent = Tensor(uninitialized: [0, configuration.hiddenSize], weights.elementType, on: weights.engine)
        let embeddingName = "\(prefix)embedding.word_embeddings.weight"
        embedding = weights.holds(embeddingName) ? try weights[embeddingName] : Parameter(embeddingName, absent)
        layers = try weights.parallelism.layers.map { index in
            try DecoderLayer(
                configuration,
                form: form,
                layer: form.layers[index],
                weights: weights,
                prefix: "\(prefix)decoder.layers.\(index)."
            )
        }
        let normName = "\(prefix)decoder.final_layernorm.weight"
        finalNorm = RMSNorm(weights.holds(normName) ? try weights[normName] : Parameter(normName, absent), form.norm)
        if weights.parallelism.sequenceParallel {
            finalNorm.weight.gradientReduction = weights.parallelism.replicatedReduction
        }
        outputName = "\(prefix)output_layer.weight"
        let isSeparate = weights.holds(outputName)
        wasTied = weights.isTied
        let matrix = isSeparate ? try weights[outputName] : weights.isTied ? embedding : Parameter(outputName, absent)
        output = Linear(weight: matrix, input: .copied(weights.parallelism.groups.tp))
        if weights.isTied, weights.parallelism.groups.pp.size > 1, weights.holds(embeddingName) {
            embedding.gradientReduction = GradientReduction(over: weights.parallelism.groups.embd)
        }
    }

    /// Whether the output layer is the embedding.
    public var isTied: Bool { output.weight === embedding }

    /// The module name of the output layer.
    package var outputModule: String { String(outputName.dropLast(".weight".count)) }

    /// Gives a tied output layer its own copy of the embedding's weight.
    ///
    /// The two share their memory until one of them is replaced or made writable. A stage without the output layer has
    /// nothing to do.
    package func untie() {
        guard isTied, parallelism.postProcess else { return }
        // The last stage's copy of the embedding stands for nothing, but its output layer is the only one.
        var shard = embedding.shard
        shard?.isOwner = true
        output = Linear(weight: Parameter(outputName, embedding.tensor, shard: shard), input: output.input)
    }

    /// The input of this pass, which is not that of the next one.
    func takenInputTensor() -> Tensor? {
        defer { inputTensor = nil }
        return inputTensor
    }

    /// The parameters, each once.
    public var parameters: [Parameter] {
        let ends = [embedding, finalNorm.weight] + (output.weight === embedding ? [] : [output.weight])
        return ends.filter { !$0.tensor.shape.contains(0) } + layers.flatMap(\.parameters)
    }

    /// The word embeddings of tokens, scaled as the family does.
    ///
    /// - Parameter tokens: Every one below the size of the vocabulary.
    /// - Returns: [tokens.count, D].
    /// - Throws: What the tensor-parallel group throws, and the family's function of embeddings.
    public func embed(_ tokens: [Int32]) throws -> Tensor {
        let rows = try embedding.tensor.vocabularyParallelRows(tokens, embedding.shard, over: parallelism.groups.tp)
        let scaled = form.embeddingScale.map { rows * $0 } ?? rows
        return try form.embeddingFunction.map { try $0(scaled) } ?? scaled
    }

    /// The residual stream after the last layer, before the final norm.
    ///
    /// - Parameters:
    ///   - hidden_BTD: The embeddings.
    ///   - batch: The tokens.
    ///   - blocks: The number of the image that each token belongs to, 0 for none; nil without images.
    ///   - cache: The keys and values of earlier tokens, one sequence; nil to start from scratch and keep nothing.
    ///   - chunk: The virtual stage whose layers it goes through; nil for all layers of this rank.
    ///   - recomputation: What is recomputed in the backward pass.
    ///   - visit: Called with the input of each layer.
    /// - Returns: [B, T, D].
    /// - Throws: What the tensor-parallel group throws.
    public func callAsFunction(
        _ hidden_BTD: Tensor,
        _ batch: TokenBatch,
        blocks: [Int32]? = nil,
        cache: KVCache? = nil,
        chunk: Int? = nil,
        recomputation: Recipe.Recomputation = .none,
        visit: ((Tensor) -> Void)? = nil
    ) throws -> Tensor {
        let start = cache?.length ?? 0
        let split = try ContextSplit(length: batch.length, size: parallelism.groups.cp.size)
        let columns = split.columns(of: parallelism.groups.cp.rank)
        let labels = batch.labels(
            start: start,
            blocks: blocks,
            columns: split.size > 1 ? (columns, split.gathered) : nil,
            on: engine
        )
        let own = batch.chosen(batch.positions, columns: columns)
        let step = DecoderStep(
            angles: form.rotary.map { $0.angles(own, batch: batch.batch, on: engine) },
            queryScale: queryScale(own, batch.batch, weightType),
            queries: labels.queries,
            keys: labels.keys,
            recomputesMLP: recomputation == .selective
        )
        var stream_BTD = hidden_BTD.cast(to: .float32)
        for index in chunk.map(parallelism.positions) ?? 0..<layers.count {
            let layer = layers[index]
            visit?(stream_BTD)
            let caches = cache.map { [$0.layers[index]] } ?? []
            stream_BTD =
                recomputation == .full
                ? try Tensor.recomputed([stream_BTD]) { try layer($0[0], step, caches: caches) }
                : try layer(stream_BTD, step, caches: caches)
        }
        cache?.advance(by: batch.length)
        return stream_BTD
    }

    /// The residual stream of the next tokens of several sequences after the last layer, before the final norm.
    ///
    /// Only attention computes one sequence after the other; everything else takes the tokens of all of them as one row.
    ///
    /// - Parameters:
    ///   - hidden_BTD: The embeddings, [1, T, D], where T counts the tokens of all sequences.
    ///   - sequences: The new tokens of each with its cache.
    /// - Returns: [1, T, D].
    /// - Throws: What the tensor-parallel group throws.
    func callAsFunction(_ hidden_BTD: Tensor, _ sequences: [SequencePart]) throws -> Tensor {
        let positions = sequences.flatMap(\.positions)
        var parts: [DecoderStep.Sequence] = []
        for sequence in sequences {
            let first = parts.last?.columns.upperBound ?? 0
            let labels = AttentionMask.Labels(positions: sequence.positions, on: engine)
            parts.append(.init(columns: first..<first + sequence.tokens.count, labels: labels))
        }
        let labels = AttentionMask.Labels(positions: positions, on: engine)
        let step = DecoderStep(
            angles: form.rotary.map { $0.angles(positions, batch: 1, on: engine) },
            queryScale: queryScale(positions, 1, weightType),
            queries: labels,
            keys: labels,
            sequences: parts
        )
        var stream_BTD = hidden_BTD.cast(to: .float32)
        for (index, layer) in layers.enumerated() {
            stream_BTD = try layer(stream_BTD, step, caches: sequences.map { $0.cache.layers[index] })
        }
        for sequence in sequences { sequence.cache.advance(by: sequence.tokens.count) }
        return stream_BTD
    }

    /// The logits of normalised states.
    ///
    /// - Returns: float32 [..., V].
    /// - Throws: What the tensor-parallel group throws.
    public func logits(_ normalized: Tensor) throws -> Tensor {
        let part = output(normalized, as: .float32)
        guard let shard = output.weight.shard, parallelism.tensorSize > 1 else { return part }
        // The last rank may have fewer rows; all give as many.
        let height = (shard.shape[0] + parallelism.tensorSize - 1) / parallelism.tensorSize
        let padded = part.padded(part.rank - 1, to: height)
        let whole = try padded.gathered(part.rank - 1, over: parallelism.groups.tp)
        return whole.narrowed(part.rank - 1, to: 0..<shard.shape[0])
    }

    private var weightType: ElementType { embedding.tensor.elementType }

    private func queryScale(_ positions: [Int32], _ batch: Int, _ type: ElementType) -> Tensor? {
        guard let scale = form.queryScale else { return nil }
        let values = positions.map(scale)
        guard values.contains(where: { $0 != 1 }) else { return nil }
        return Tensor(values, shape: [batch, positions.count / max(batch, 1), 1, 1], type, on: engine)
    }
}

/// The data of the tokens that all layers share.
struct DecoderStep {
    /// The angles of each rotary embedding.
    var angles: [RotaryAngles]
    /// [B, T, 1, 1]; nil for ones.
    var queryScale: Tensor?
    /// The labels of the tokens as queries.
    var queries: AttentionMask.Labels
    /// The labels of the tokens as keys.
    var keys: AttentionMask.Labels
    /// Whether the MLPs are recomputed in the backward pass.
    var recomputesMLP = false
    /// The sequences that the tokens belong to, where each has a cache of its own; empty where they are one batch.
    var sequences: [Sequence] = []

    /// The tokens of one of several sequences.
    struct Sequence {
        /// Where they are in the step.
        var columns: Range<Int>
        /// Their labels as queries and as keys.
        var labels: AttentionMask.Labels
    }
}
