import ModelSchema
import Models
import Recipes

/// The bytes that the forward pass of a micro-batch keeps for the backward pass, from the tensors that the operations of
/// a decoder layer save.
///
/// See the article Planning for the formulas. Images are not counted.
struct ActivationMemory {
    /// The bytes of what each layer keeps until its backward pass.
    let keptPerLayer: Int
    /// The most bytes that exist besides during the passes of a layer: what is recomputed, gradients, and copies.
    let transient: Int
    /// The bytes at the output layer: logits and their gradient.
    let output: Int
    /// The bytes of the residual stream after the last layer.
    private let stream: Int

    /// The memory of a rank.
    ///
    /// - Parameters:
    ///   - recipe: The layout, the sequence length and the micro-batch.
    ///   - decoder: The sizes.
    ///   - form: The architecture.
    init(_ recipe: Recipe, _ decoder: DecoderConfiguration, _ form: DecoderArchitecture) {
        let (model, peft) = (recipe.model, recipe.peft)
        let (tensor, context) = (model.tensorModelParallelSize, model.contextParallelSize)
        let element = recipe.mixedPrecision == .bf16Mixed ? 2 : 4
        let sequences = recipe.train.microBatchSize * recipe.preference.sequencesPerSample
        let tokens = sequences * recipe.rowLength / context
        let isSequenceParallel = model.sequenceParallel && tensor > 1
        let ownTokens = isSequenceParallel ? tokens / tensor : tokens
        let heads = decoder.numAttentionHeads / tensor
        let (query, key) = (heads * decoder.kvChannels, max(1, decoder.heads.groups / tensor) * decoder.kvChannels)
        let (width, ffn) = (decoder.hiddenSize, decoder.ffnHiddenSize / tensor)
        // The residual stream is float32; it is kept as the input of each norm.
        let stream = 4 * width * ownTokens
        // The input of a column-parallel layer is recomputed from the norm, except behind a collective.
        let entered = tensor > 1 ? element * width * tokens : 0
        var attention = stream + entered
        attention += element * (2 * query * tokens + 2 * key * tokens * context) + 4 * heads * tokens
        if form.normalizesHeads { attention += element * (query + key) * tokens }
        if form.normalizesOutputs { attention += stream }
        var mlp = entered + 2 * element * ffn * tokens
        if form.normalizesOutputs { mlp += stream }
        var copies = 0
        if peft.scheme != .none {
            // The scaled low-rank products of the seven adapted matrices; DoRA also keeps the outputs of the layers.
            attention += 4 * element * peft.dim * tokens
            mlp += 3 * element * peft.dim * tokens
            if peft.scheme == .dora {
                attention += element * (query + 2 * key) * tokens + 4 * width * tokens
                mlp += 2 * element * ffn * tokens + 4 * width * tokens
                // The rows' lengths are those of a float32 copy of the weight with its adapter, made in four steps.
                copies = 4 * 4 * width * max(ffn, query)
            }
        }
        let whole = attention + stream + mlp
        // Gradients of the stream; of gate, up and their product, which is made again; of the rows that enter and leave
        // a block; of queries, keys and values.
        let gradients = 2 * stream + element * tokens * (3 * ffn + 2 * width + 2 * query + 2 * key) + copies
        switch model.recomputeGranularity {
        case .none: (keptPerLayer, transient) = (whole, gradients)
        case .selective: (keptPerLayer, transient) = (attention + stream, mlp + gradients)
        // The outputs of both blocks exist once more.
        case .full: (keptPerLayer, transient) = (stream, whole + gradients)
        }
        let logits = 4 * tokens * decoder.vocabSize
        let limit = 256 << 20
        output =
            logits <= limit
            ? (logits * element / 4 + min(logits, limit / 4)) / tensor
            : min(limit, logits / tensor) * (4 + element) / 4 + 4 * width * tokens
        self.stream = stream
    }

    /// The most bytes of a stage.
    ///
    /// - Parameters:
    ///   - layers: The number of its layers.
    ///   - microBatches: The number of micro-batches that wait for their backward passes.
    ///   - isLast: Whether the stage has the output layer.
    /// - Returns: The bytes. Those of the layers and of the output layer exist at different times, but freed memory is kept
    ///   for the next step by its size, so both count.
    func bytes(layers: Int, microBatches: Int, isLast: Bool) -> Int {
        layers * keptPerLayer * microBatches + stream + transient + (isLast ? output : 0)
    }
}
