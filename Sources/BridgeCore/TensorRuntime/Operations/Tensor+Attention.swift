extension Tensor {
    /// The pairs (i, i + width / 2) of each head rotated, as Hugging Face's `rotate_half` does.
    ///
    /// - Parameter angles: Cosines and sines, float32 [B or 1, T, K / 2], for `self` [B, T, H, K].
    /// - Returns: [B, T, H, K].
    public func applyingRotaryEmbedding(_ angles: RotaryAngles) -> Tensor {
        applyingRotaryEmbedding(angles, inverse: false)
    }

    private func applyingRotaryEmbedding(_ angles: RotaryAngles, inverse: Bool) -> Tensor {
        guard rank == 4, angles.cosines.rank == 3, angles.cosines.shape[2] * 2 == shape[3],
            angles.cosines.shape[1] == shape[1], [1, shape[0]].contains(angles.cosines.shape[0])
        else { Tensor.fail("applyingRotaryEmbedding", "the angles do not fit", self, angles.cosines) }
        let out = makeTensor(shape)
        engine.rotate(detached, cosines: angles.cosines, sines: angles.sines, inverse: inverse, into: out)
        // A rotation is undone by the opposite one, which is also its transpose.
        return out.tracked([self]) { [$0.applyingRotaryEmbedding(angles, inverse: !inverse)] }
    }

    /// Attention of `self` [B, T, H, K] to keys and values [B, S, G, K], without the score matrix.
    ///
    /// - Parameters:
    ///   - key: What queries are compared with.
    ///   - value: What is summed up.
    ///   - mask: Which keys each query sees.
    ///   - scale: What scores are multiplied by.
    /// - Returns: [B, T, H, K].
    public func scaledDotProductAttention(to key: Tensor, _ value: Tensor, mask: AttentionMask, scale: Float) -> Tensor
    {
        guard rank == 4, key.rank == 4, key.shape == value.shape, key.shape[0] == shape[0], key.shape[3] == shape[3],
            shape[2] % max(key.shape[2], 1) == 0, mask.queries.positions.count == shape[0] * shape[1],
            mask.keys.positions.count == key.shape[0] * key.shape[1]
        else { Tensor.fail("scaledDotProductAttention", "queries, keys, values and mask do not fit", self, key, value) }
        func dense(_ tensor: Tensor) -> Tensor {
            tensor.strides[3] == 1 ? tensor.detached : tensor.detached.contiguous()
        }
        let operands = AttentionOperands(
            query: dense(self),
            key: dense(key),
            value: dense(value),
            mask: mask,
            scale: scale
        )
        let out = makeTensor(shape)
        let isTracked = isTracked || key.isTracked || value.isTracked
        let logSumExp = isTracked ? makeTensor([shape[0], shape[2], shape[1]], .float32) : nil
        engine.attention(operands, into: out, logSumExp: logSumExp)
        guard let logSumExp else { return out }
        return out.tracked([self, key, value]) { gradient in
            func like(_ tensor: Tensor) -> Tensor { tensor.makeTensor(tensor.shape) }
            let gradients = AttentionGradients(
                query: like(operands.query),
                key: like(operands.key),
                value: like(operands.value)
            )
            out.engine.attentionBackward(
                operands,
                out: out,
                logSumExp: logSumExp,
                gradient: gradient.contiguous(),
                into: gradients
            )
            return [gradients.query, gradients.key, gradients.value]
        }
    }
}

/// Cosines and sines of rotary positions, float32 [B or 1, T, K / 2].
public struct RotaryAngles: Sendable {
    /// The cosines, times the attention factor where there is one.
    public let cosines: Tensor
    /// The sines, likewise.
    public let sines: Tensor

    /// Angles.
    public init(cosines: Tensor, sines: Tensor) {
        self.cosines = cosines
        self.sines = sines
    }
}
