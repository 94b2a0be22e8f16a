import BridgeSupport
import Communication
import ModelSchema
public import TensorRuntime

/// One layer of a decoder: attention and a gated MLP, each with its norms, added to the residual stream.
///
/// The residual stream is float32 whatever the type of the weights: it is what all layers add to, so rounding it at each
/// of them, as transformers does in bfloat16, costs more digits than anything else and saves next to no time.
public final class DecoderLayer: @unchecked Sendable {
    /// Query, key and value projections.
    public let projections: [Linear]
    /// The attention's output projection.
    public let attentionOutput: Linear
    /// The MLP's gate and up projections.
    public let gateAndUp: [Linear]
    /// The MLP's down projection.
    public let down: Linear

    private let attentionNorm, mlpNorm: RMSNorm
    private let attentionPostNorm, mlpPostNorm: RMSNorm?
    private let headNorms: (query: RMSNorm, key: RMSNorm)?
    private let form: DecoderArchitecture
    private let layer: DecoderArchitecture.Layer
    private let headWidth: Int
    private let parallelism: ModelParallelism

    init(
        _ configuration: DecoderConfiguration,
        form: DecoderArchitecture,
        layer: DecoderArchitecture.Layer,
        weights: ModelWeights,
        prefix: String
    ) throws {
        self.form = form
        self.layer = layer
        headWidth = configuration.kvChannels
        parallelism = weights.parallelism
        func norm(_ name: String, isOfHeads: Bool = false) throws -> RMSNorm {
            let weight = try weights[prefix + name]
            // Each rank has some of the heads, or some of the tokens.
            if isOfHeads || weights.parallelism.sequenceParallel {
                weight.gradientReduction = weights.parallelism.replicatedReduction
            }
            return RMSNorm(weight, form.norm)
        }
        let (attention, mlp) = ("\(prefix)self_attention.", "\(prefix)mlp.")
        let matrices = try weights.fused("\(attention)linear_qkv.weight")
        let biasName = "\(attention)linear_qkv.bias"
        let biases: [Parameter?] =
            weights.holds(biasName) ? try weights.fused(biasName) : matrices.map { _ in nil }
        guard biases.count == matrices.count else {
            throw BridgeError(
                .badPlugin,
                "\(prefix) has \(matrices.count) projections and \(biases.count) biases of them"
            )
        }
        projections = zip(matrices, biases).map {
            Linear(weight: $0, bias: $1, input: .copied(weights.parallelism.groups.tp))
        }
        attentionOutput = Linear(
            weight: try weights["\(attention)linear_proj.weight"],
            input: .divided(parallelism.groups.tp)
        )
        gateAndUp = try weights.fused("\(mlp)linear_fc1.weight").map {
            Linear(weight: $0, input: .copied(weights.parallelism.groups.tp))
        }
        down = Linear(weight: try weights["\(mlp)linear_fc2.weight"], input: .divided(parallelism.groups.tp))
        attentionNorm = try norm("self_attention.linear_qkv.layer_norm_weight")
        mlpNorm = try norm("mlp.linear_fc1.layer_norm_weight")
        attentionPostNorm =
            form.normalizesOutputs ? try norm("self_attention.linear_proj.post_layernorm.weight") : nil
        mlpPostNorm = form.normalizesOutputs ? try norm("mlp.linear_fc2.post_layernorm.weight") : nil
        headNorms =
            form.normalizesHeads
            ? (
                try norm("self_attention.q_layernorm.weight", isOfHeads: true),
                try norm("self_attention.k_layernorm.weight", isOfHeads: true)
            ) : nil
        guard projections.count == 3, gateAndUp.count == 2 else {
            throw BridgeError(.badPlugin, "\(prefix) has \(projections.count) projections and \(gateAndUp.count) gates")
        }
    }

    /// The layer's parameters.
    public var parameters: [Parameter] {
        let norms = [attentionNorm, mlpNorm, attentionPostNorm, mlpPostNorm, headNorms?.query, headNorms?.key]
        return (projections + [attentionOutput] + gateAndUp + [down]).flatMap(\.parameters)
            + norms.compactMap { $0?.weight }
    }

    /// The residual stream after the layer.
    ///
    /// - Parameters:
    ///   - stream_BTD: The residual stream before it.
    ///   - step: The data of the tokens.
    ///   - caches: The cache of the sequence, or of each sequence of the step; none to keep nothing.
    /// - Returns: [B, T, D].
    /// - Throws: What the tensor-parallel group throws.
    func callAsFunction(_ stream_BTD: Tensor, _ step: DecoderStep, caches: [LayerCache] = []) throws -> Tensor {
        var attended_BTD = try attention(attentionNorm(stream_BTD), step, caches)
        if let attentionPostNorm { attended_BTD = attentionPostNorm(attended_BTD, as: .float32) }
        let middle_BTD = stream_BTD + attended_BTD
        let out_BTD =
            step.recomputesMLP ? try Tensor.recomputed([middle_BTD]) { try self.mlp($0[0]) } : try mlp(middle_BTD)
        return middle_BTD + out_BTD
    }

    private func mlp(_ middle_BTD: Tensor) throws -> Tensor {
        let gates_BTF = Linear.applyAll(try parallelism.entering(mlpNorm(middle_BTD)), gateAndUp)
        let part_BTD = down(gates_BTF[0].gatedActivation(gates_BTF[1], by: form.activation), as: .float32)
        let out_BTD = try parallelism.leaving(part_BTD)
        return mlpPostNorm.map { $0(out_BTD, as: .float32) } ?? out_BTD
    }

    private func attention(_ x_BTD: Tensor, _ step: DecoderStep, _ caches: [LayerCache]) throws -> Tensor {
        let x_BTD = try parallelism.entering(x_BTD)
        let (batch, length) = (x_BTD.shape[0], x_BTD.shape[1])
        let heads = Linear.applyAll(x_BTD, projections).map { $0.reshaped([batch, length, -1, headWidth]) }
        var (query_BTHK, key_BTGK, value_BTGK) = (heads[0], heads[1], heads[2])
        if let headNorms {
            (query_BTHK, key_BTGK) = (headNorms.query(query_BTHK), headNorms.key(key_BTGK))
        }
        let angles = step.angles[layer.rotary]
        (query_BTHK, key_BTGK) = (query_BTHK.applyingRotaryEmbedding(angles), key_BTGK.applyingRotaryEmbedding(angles))
        if let scale = step.queryScale { query_BTHK = query_BTHK * scale }
        // The keys of all context-parallel ranks, in the order of the labels.
        key_BTGK = try key_BTGK.gathered(1, over: parallelism.groups.cp)
        value_BTGK = try value_BTGK.gathered(1, over: parallelism.groups.cp)
        let out_BTHK: Tensor
        if step.sequences.isEmpty {
            out_BTHK = attended(query_BTHK, key_BTGK, value_BTGK, step.queries, step.keys, caches.first)
        } else {
            let parts = zip(step.sequences, caches).map { sequence, cache in
                func part(_ all: Tensor) -> Tensor { all.narrowed(1, to: sequence.columns) }
                let (query, key, value) = (part(query_BTHK), part(key_BTGK), part(value_BTGK))
                return attended(query, key, value, sequence.labels, sequence.labels, cache)
            }
            out_BTHK = Tensor.concatenated(parts, dimension: 1)
        }
        return try parallelism.leaving(attentionOutput(out_BTHK.reshaped([batch, length, -1]), as: .float32))
    }

    /// The attention of new tokens to themselves and to those of the cache, [B, T, H, K].
    private func attended(
        _ query_BTHK: Tensor,
        _ key_BTGK: Tensor,
        _ value_BTGK: Tensor,
        _ queries: AttentionMask.Labels,
        _ keys: AttentionMask.Labels,
        _ cache: LayerCache?
    ) -> Tensor {
        var (key_BTGK, value_BTGK, keys) = (key_BTGK, value_BTGK, keys)
        if let cache { (key_BTGK, value_BTGK, keys) = cache.append(key_BTGK, value_BTGK, keys) }
        let mask = AttentionMask(isCausal: true, window: layer.window, queries: queries, keys: keys)
        return query_BTHK.scaledDotProductAttention(to: key_BTGK, value_BTGK, mask: mask, scale: form.attentionScale)
    }
}
