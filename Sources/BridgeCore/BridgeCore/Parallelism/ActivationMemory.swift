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
    /// The most bytes that exist besides during the backward pass of a layer: what is recomputed, and gradients.
    let transient: Int
    /// The bytes at the output layer: final norm, logits or their gradient.
    let output: Int

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
        let tokens = recipe.train.microBatchSize * model.seqLength / context
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
        if peft.scheme != .none {
            // The low-rank products of the adapted layers; DoRA also keeps their outputs.
            attention += 2 * element * peft.dim * tokens
            mlp += 2 * element * peft.dim * tokens
            if peft.scheme == .dora {
                attention += element * (query + 2 * key) * tokens + 4 * width * tokens
                mlp += 2 * element * ffn * tokens + 4 * width * tokens
            }
        }
        let whole = attention + stream + mlp
        // Gradients of the stream, of gate and up and of their product, and the product itself.
        let gradients = 2 * stream + 4 * element * ffn * tokens + element * width * tokens
        switch model.recomputeGranularity {
        case .none: (keptPerLayer, transient) = (whole, gradients)
        case .selective: (keptPerLayer, transient) = (attention + stream, mlp + gradients)
        case .full: (keptPerLayer, transient) = (stream, whole - stream + gradients)
        }
        let logits = 4 * tokens * decoder.vocabSize
        let limit = 256 << 20
        let rows = stream + element * width * tokens
        output =
            logits <= limit
            ? rows + (logits * element / 4 + min(logits, limit / 4)) / tensor
            : rows + min(limit, logits / tensor) * (4 + element) / 4 + 4 * width * tokens
    }

    /// The most bytes of a stage.
    ///
    /// - Parameters:
    ///   - layers: The number of its layers.
    ///   - microBatches: The number of micro-batches that wait for their backward passes.
    ///   - isLast: Whether the stage has the output layer.
    /// - Returns: The bytes.
    func bytes(layers: Int, microBatches: Int, isLast: Bool) -> Int {
        layers * keptPerLayer * microBatches + max(transient, isLast ? output : 0)
    }
}
