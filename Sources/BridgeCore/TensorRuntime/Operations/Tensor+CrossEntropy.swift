extension Tensor {
    /// How many bytes the float32 logits of all columns may take; more of them are made a part at a time, twice.
    private static let logitByteLimit = 256 << 20

    /// The weighted sum of cross entropies of a linear layer's logits, which never exist as a whole.
    ///
    /// `sum of weights[i] (log sum exp(logits[i]) - logits[i, targets[i]])` with `logits = self weight^T` in float32. The
    /// vocabulary is cut into chunks; where all logits are small enough there is one, which is computed once.
    ///
    /// - Parameters:
    ///   - weight: The output layer [V, D], of the type of `self` [N, D].
    ///   - targets: N columns.
    ///   - weights: N factors.
    ///   - byteLimit: How many bytes of logits there may be at once; nil for a quarter of a GiB.
    /// - Returns: float32, a scalar.
    public func crossEntropy(
        _ weight: Tensor,
        targets: [Int32],
        weights: [Float],
        byteLimit: Int? = nil
    ) -> Tensor {
        guard rank == 2, weight.rank == 2, weight.shape[1] == shape[1], elementType == weight.elementType,
            targets.count == shape[0], weights.count == shape[0],
            targets.allSatisfy({ $0 >= 0 && Int($0) < weight.shape[0] })
        else { Tensor.fail("crossEntropy", "the shapes, types or targets do not fit", self, weight) }
        let (x, plain) = (detached.contiguous(), weight.detached.contiguous())
        let (count, vocabulary) = (shape[0], weight.shape[0])
        let limit = byteLimit ?? Self.logitByteLimit
        let columns = max(1, min(vocabulary, limit / max(4 * count, 1)))
        let chunks = stride(from: 0, to: vocabulary, by: columns).map { $0..<min($0 + columns, vocabulary) }
        func logits(_ chunk: Range<Int>) -> Tensor {
            let out = x.makeTensor([count, chunk.count], .float32)
            x.engine.multiply(x, plain.narrowed(0, to: chunk).transposed(), into: out, adding: false)
            return out
        }
        let rows = Tensor(weights, shape: [count], on: x.engine)
        let largest = x.makeTensor([count], .float32)
        let sums = Tensor.zeros([count], .float32, on: x.engine)
        x.engine.fill(largest, with: -.infinity)
        let chosen = Tensor.zeros([count], .float32, on: x.engine)
        var whole: Tensor?
        for chunk in chunks {
            let logits = logits(chunk)
            x.engine.addSoftmaxSums(
                logits,
                first: chunk.lowerBound,
                targets: targets,
                largest: largest,
                sums: sums,
                chosen: chosen
            )
            if chunks.count == 1 { whole = logits }
        }
        let logSums = sums.applying(.logarithm) + largest
        let losses = (logSums - chosen).floats()
        let loss = zip(losses, weights).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        let result = Tensor([Float(loss)], shape: [], on: x.engine)
        guard isTracked || weight.isTracked else { return result }

        /// The gradient of a chunk's logits [N, C], as the type of `self`.
        func gradient(_ chunk: Range<Int>, _ logits: Tensor) -> Tensor {
            let out = x.makeTensor([count, chunk.count])
            x.engine.softmaxGradient(
                logits,
                first: chunk.lowerBound,
                targets: targets,
                logSums: logSums,
                weights: rows,
                into: out
            )
            return out
        }
        // Half the memory of the logits, or less, is what waits for the way back.
        let ready = whole.map { gradient(0..<vocabulary, $0) }
        whole = nil
        return result.tracked([self, weight]) { seed in
            let factor = seed.item
            let into = self.isTracked ? Tensor.zeros([count, x.shape[1]], .float32, on: x.engine) : nil
            let sum = weight.isTracked ? weight.accumulator ?? GradientAccumulator(plain.shape, on: x.engine) : nil
            if chunks.count > 1 { sum?.settle() }
            for chunk in chunks {
                var part = ready ?? gradient(chunk, logits(chunk))
                if factor != 1 { part = part * factor }
                if let into {
                    x.engine.multiply(part, plain.narrowed(0, to: chunk), into: into, adding: true)
                }
                if chunks.count == 1 {
                    sum?.addProduct(part.transposed(), x)
                } else {
                    sum?.addProduct(part.transposed(), x, toRowsFrom: chunk.lowerBound)
                }
            }
            return [into?.cast(to: x.elementType), weight.accumulator == nil ? sum?.sum : nil]
        }
    }
}
