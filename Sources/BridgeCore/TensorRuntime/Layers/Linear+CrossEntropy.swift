extension Linear {
    /// The part of a vocabulary that this output layer has; nil for all of it.
    private var vocabularyShard: VocabularyShard? {
        guard case .copied(let group) = input, group.size > 1, let shard = weight.shard else { return nil }
        return VocabularyShard(first: shard.rows.lowerBound, size: shard.shape[0], group: group)
    }

    /// The most bytes of float32 logits of an adapted layer that exist at a time.
    private static let logitByteLimit = 64 << 20

    /// The weighted sum of cross entropies of the layer's outputs as logits, which never exist as a whole.
    ///
    /// - Parameters:
    ///   - rows: [N, in].
    ///   - targets: N columns.
    ///   - weights: N factors.
    ///   - byteLimit: How many bytes the logits of an adapted layer may take; nil for 64 MiB.
    /// - Returns: float32, a scalar.
    /// - Throws: What the group throws over which the layer's rows are divided.
    public func crossEntropy(
        _ rows: Tensor,
        targets: [Int32],
        weights: [Float],
        byteLimit: Int? = nil
    ) throws -> Tensor {
        let matrix = weight.tensor
        guard let adapter, !targets.isEmpty else {
            return try rows.crossEntropy(matrix, targets: targets, weights: weights, shard: vocabularyShard)
        }
        // The adapter's part of the logits does not fit the fused product above, so the layer computes some rows at a
        // time, and recomputes them in the backward pass.
        let low = adapter.projectedDown(rows)
        let factor = adapter.factor(for: matrix)
        // All ranks have chunks of the same height: the ranks that have the other rows sum up with this one.
        let shard = vocabularyShard
        let height = max(1, (byteLimit ?? Self.logitByteLimit) / max(4 * (shard?.size ?? matrix.shape[0]), 1))
        var total: Tensor?
        for first in stride(from: 0, to: targets.count, by: height) {
            let chunk = first..<min(first + height, targets.count)
            // The factor goes in as well: what several passes share has its gradient summed outside of them.
            let parts =
                [rows, low.dropped, low.product].map { $0.narrowed(0, to: chunk) } + (factor.map { [$0] } ?? [])
            let (own, share) = (Array(targets[chunk]), Array(weights[chunk]))
            let loss = try Tensor.recomputed(parts) { [bias] parts in
                let out = parts[0].projected([matrix], outputType: .float32)[0]
                let low = LowRankAdapter.Projection(dropped: parts[1], product: parts[2])
                let logits = adapter.applied(to: out, low, weight: matrix, factor: parts.count > 3 ? parts[3] : nil)
                return try (bias.map { logits + $0.tensor.cast(to: .float32) } ?? logits)
                    .crossEntropyOfLogits(targets: own, weights: share, shard: shard)
            }
            total = total.map { $0 + loss } ?? loss
        }
        return try total ?? rows.crossEntropy(matrix, targets: targets, weights: weights, shard: shard)
    }
}
