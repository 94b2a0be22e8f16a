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
        guard let adapter = appliedAdapter, !targets.isEmpty else {
            return try rows.crossEntropy(matrix, targets: targets, weights: weights, shard: vocabularyShard)
        }
        // The adapter's part of the logits does not fit the fused product above, so the layer computes some rows at a
        // time, and recomputes them in the backward pass.
        let low = adapter.projectedDown(rows)
        let factor = adapter.factor(for: matrix)
        let (shard, height) = (vocabularyShard, chunkHeight(byteLimit))
        var total: Tensor?
        for first in stride(from: 0, to: targets.count, by: height) {
            let chunk = first..<min(first + height, targets.count)
            // The factor goes in as well: what several passes share has its gradient summed outside of them.
            let parts =
                [rows, low.dropped, low.product].map { $0.narrowed(0, to: chunk) } + (factor.map { [$0] } ?? [])
            let (own, share) = (Array(targets[chunk]), Array(weights[chunk]))
            let loss = try Tensor.recomputed(parts) { [bias] parts in
                let low = LowRankAdapter.Projection(dropped: parts[1], product: parts[2])
                let factor = parts.count > 3 ? parts[3] : nil
                return try Self.logits(parts[0], low, matrix, adapter, factor: factor, bias)
                    .crossEntropyOfLogits(targets: own, weights: share, shard: shard)
            }
            total = total.map { $0 + loss } ?? loss
        }
        return try total ?? rows.crossEntropy(matrix, targets: targets, weights: weights, shard: shard)
    }
    /// How likely the targets are among the layer's outputs as logits, without a gradient.
    ///
    /// - Parameters:
    ///   - rows: [N, in].
    ///   - targets: N columns.
    /// - Returns: N scores, with the losses that ``crossEntropy(_:targets:weights:byteLimit:)`` sums.
    /// - Throws: What the group throws over which the layer's rows are divided.
    public func targetScores(_ rows: Tensor, targets: [Int32]) throws -> [TargetScore] {
        let matrix = weight.tensor
        guard let adapter = appliedAdapter, !targets.isEmpty else {
            return try rows.targetScores(matrix, targets: targets, shard: vocabularyShard)
        }
        return try withoutGradients {
            let low = adapter.projectedDown(rows)
            let (factor, height) = (adapter.factor(for: matrix), chunkHeight(nil))
            return try stride(from: 0, to: targets.count, by: height).flatMap { first in
                let chunk = first..<min(first + height, targets.count)
                let part = LowRankAdapter.Projection(
                    dropped: low.dropped.narrowed(0, to: chunk),
                    product: low.product.narrowed(0, to: chunk)
                )
                return try Self.logits(rows.narrowed(0, to: chunk), part, matrix, adapter, factor: factor, bias)
                    .softmaxOfLogits(targets: Array(targets[chunk]), shard: vocabularyShard).softmax.scores
            }
        }
    }

    /// How many rows of logits of an adapted layer exist at a time.
    ///
    /// All ranks have chunks of the same height: the ranks that have the other columns sum up with this one.
    private func chunkHeight(_ byteLimit: Int?) -> Int {
        let vocabulary = vocabularyShard?.size ?? weight.tensor.shape[0]
        return max(1, (byteLimit ?? Self.logitByteLimit) / max(4 * vocabulary, 1))
    }

    /// The logits of an adapted layer, float32.
    private static func logits(
        _ rows: Tensor,
        _ low: LowRankAdapter.Projection,
        _ matrix: Tensor,
        _ adapter: LowRankAdapter,
        factor: Tensor?,
        _ bias: Parameter?
    ) -> Tensor {
        let out = rows.projected([matrix], outputType: .float32)[0]
        let logits = adapter.applied(to: out, low, weight: matrix, factor: factor)
        return bias.map { logits + $0.tensor.cast(to: .float32) } ?? logits
    }
}
