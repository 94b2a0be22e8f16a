extension Tensor {
    /// The most bytes of the float32 logits of all rows and columns; more of them are computed in parts, twice.
    private static let logitByteLimit = 256 << 20

    /// The weighted sum of cross entropies of a linear layer's logits, which never exist as a whole.
    ///
    /// `sum of weights[i] (log sum exp(logits[i]) - logits[i, targets[i]])` with `logits = self weight^T` in float32.
    /// If all logits are small enough they are computed once, some rows at a time, and only their gradient is kept for
    /// the backward pass, as the type of `self`. Otherwise the vocabulary is divided into chunks, whose logits are
    /// recomputed in the backward pass.
    ///
    /// - Parameters:
    ///   - weight: The output layer [V, D], of the type of `self` [N, D].
    ///   - targets: N columns.
    ///   - weights: N factors.
    ///   - shard: Which rows of the output layer `weight` has; nil for all.
    ///   - byteLimit: How many bytes the logits may take; nil for a quarter of a GiB.
    /// - Returns: float32, a scalar.
    /// - Throws: What the group of a shard throws.
    public func crossEntropy(
        _ weight: Tensor,
        targets: [Int32],
        weights: [Float],
        shard: VocabularyShard? = nil,
        byteLimit: Int? = nil
    ) throws -> Tensor {
        let vocabulary = weight.shape[0]
        let limit = byteLimit ?? Self.logitByteLimit
        let head = outputHead(weight, targets: targets, weights: weights, shard)
        let isTracked = isTracked || weight.isTracked
        if let height = head.height(limit) {
            let (losses, gradient) = try head.lossesByRows(height, differentiated: isTracked)
            return losses.weightedSum(weights).tracked([self, weight]) { seed in
                guard let gradient else { return [nil, nil] }
                let part = gradient.scaled(by: seed.item)
                let own = self.isTracked ? part.matrixProduct(head.weight) : nil
                guard weight.isTracked else { return [own, nil] }
                guard let accumulator = weight.accumulator else {
                    return [own, part.transposed().matrixProduct(head.rows, outputType: .float32)]
                }
                accumulator.addProduct(part.transposed(), head.rows)
                return [own, nil]
            }
        }
        let columns = head.width(limit)
        let softmax = try head.softmaxByColumns(columns)
        let logSums = softmax.logSums
        return (logSums - softmax.chosen).weightedSum(weights).tracked([self, weight]) { seed in
            let (engine, factor) = (head.rows.engine, seed.item)
            let own = self.isTracked ? Tensor.zeros(head.rows.shape, .float32, on: engine) : nil
            let sum = weight.isTracked ? weight.accumulator ?? GradientAccumulator(weight.shape, on: engine) : nil
            sum?.zeroIfEmpty()
            for chunk in chunks(of: vocabulary, columns) {
                let plain = head.weight.narrowed(0, to: chunk)
                let part = head.gradient(head.logits(head.rows, plain), first: chunk.lowerBound, logSums)
                    .scaled(by: factor)
                if let own { engine.multiply(part, plain, into: own, adding: true) }
                sum?.addProduct(part.transposed(), head.rows, toRowsFrom: chunk.lowerBound)
            }
            return [own?.cast(to: head.rows.elementType), weight.accumulator == nil ? sum?.sum : nil]
        }
    }

    /// How likely the targets are among a linear layer's logits, without a gradient.
    ///
    /// - Parameters:
    ///   - weight: The output layer [V, D], of the type of `self` [N, D].
    ///   - targets: N columns.
    ///   - shard: Which rows of the output layer `weight` has; nil for all.
    ///   - byteLimit: How many bytes the logits may take; nil for a quarter of a GiB.
    /// - Returns: N scores, with the losses that ``crossEntropy(_:targets:weights:shard:byteLimit:)`` sums.
    /// - Throws: What the group of a shard throws.
    func targetScores(
        _ weight: Tensor,
        targets: [Int32],
        shard: VocabularyShard? = nil,
        byteLimit: Int? = nil
    ) throws -> [TargetScore] {
        let limit = byteLimit ?? Self.logitByteLimit
        let head = outputHead(weight, targets: targets, weights: [Float](repeating: 1, count: targets.count), shard)
        guard let height = head.height(limit) else { return try head.softmaxByColumns(head.width(limit)).scores }
        return try chunks(of: targets.count, height).flatMap { try head.softmax(ofRows: $0).softmax.scores }
    }

    private func outputHead(
        _ weight: Tensor,
        targets: [Int32],
        weights: [Float],
        _ shard: VocabularyShard?
    ) -> OutputHead {
        guard rank == 2, weight.rank == 2, weight.shape[1] == shape[1], elementType == weight.elementType,
            targets.count == shape[0], weights.count == shape[0],
            targets.allSatisfy({ $0 >= 0 && Int($0) < shard?.size ?? weight.shape[0] })
        else { Tensor.fail("crossEntropy", "the shapes, types or targets do not fit", self, weight) }
        return OutputHead(
            rows: detached.contiguous(),
            weight: weight.detached.contiguous(),
            targets: Tensor(indices: targets, on: engine),
            weights: Tensor(weights, shape: [shape[0]], on: engine),
            shard: shard
        )
    }

    /// The weighted sum of cross entropies of logits [N, V], which are float32 and exist.
    ///
    /// - Parameters:
    ///   - targets: N columns.
    ///   - weights: N factors.
    ///   - shard: Which columns of the vocabulary these are; nil for all.
    /// - Returns: float32, a scalar.
    /// - Throws: What the group of a shard throws.
    func crossEntropyOfLogits(targets: [Int32], weights: [Float], shard: VocabularyShard? = nil) throws -> Tensor {
        guard rank == 2, elementType == .float32, targets.count == shape[0], weights.count == shape[0],
            targets.allSatisfy({ $0 >= 0 && Int($0) < shard?.size ?? shape[1] })
        else { Tensor.fail("crossEntropyOfLogits", "the shapes, types or targets do not fit", self) }
        let (softmax, columns) = try softmaxOfLogits(targets: targets, shard: shard)
        let (logSums, plain) = (softmax.logSums, columns.logits)
        let factors = Tensor(weights, shape: [weights.count], on: engine)
        return (logSums - softmax.chosen).weightedSum(weights).tracked([self]) { seed in
            let out = plain.makeTensor(plain.shape)
            plain.engine.softmaxGradient(columns, logSums: logSums, weights: factors, into: out)
            return [out.scaled(by: seed.item)]
        }
    }

    /// The statistics of logits [N, V], which are float32 and exist.
    func softmaxOfLogits(
        targets: [Int32],
        shard: VocabularyShard?
    ) throws -> (softmax: OnlineSoftmax, columns: LogitColumns) {
        let columns = LogitColumns(
            logits: detached.contiguous(),
            first: shard?.first ?? 0,
            targets: Tensor(indices: targets, on: engine)
        )
        let softmax = OnlineSoftmax(rowCount: targets.count, on: engine)
        engine.updateOnlineSoftmax(softmax, with: columns)
        try softmax.reduce(over: shard)
        return (softmax, columns)
    }
}

/// How likely a target is among logits.
public struct TargetScore: Sendable, Equatable {
    /// Its cross entropy: the logarithm of its probability with the other sign.
    public var loss: Float
    /// Whether no other logit is larger.
    public var isLargest: Bool
}

/// The ranges that cover `0..<count`, each of at most `size`.
private func chunks(of count: Int, _ size: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: size).map { $0..<min($0 + size, count) }
}

extension Tensor {
    /// The product with the gradient of the loss, which is read on the host because it is nearly always one.
    fileprivate func scaled(by factor: Float) -> Tensor { factor == 1 ? self : self * factor }

    /// The sum of float32 values [N], each times a factor, as a float32 scalar.
    ///
    /// It is made on the host in float64, one after the other: the losses of a batch are few, and a step reads the sum
    /// there anyway.
    fileprivate func weightedSum(_ factors: [Float]) -> Tensor {
        let sum = zip(floats(), factors).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        return Tensor([Float(sum)], shape: [], on: engine)
    }
}

extension OnlineSoftmax {
    /// Statistics of no columns yet.
    fileprivate init(rowCount: Int, on engine: any TensorEngine) {
        largest = Tensor(uninitialized: [rowCount], .float32, on: engine)
        engine.fill(largest, with: -.infinity)
        sums = .zeros([rowCount], .float32, on: engine)
        chosen = .zeros([rowCount], .float32, on: engine)
    }

    /// The logarithms of the sums of exponentials, float32 [n].
    fileprivate var logSums: Tensor { sums.applying(.logarithm) + largest }

    /// The scores of the targets.
    var scores: [TargetScore] {
        let losses = (logSums - chosen).floats()
        return zip(losses, zip(chosen.floats(), largest.floats())).map { loss, logits in
            TargetScore(loss: loss, isLargest: logits.0 >= logits.1)
        }
    }
}

/// The rows [N, D] that go into an output layer [V, D], and what should come out.
private struct OutputHead {
    let rows, weight: Tensor
    /// int32 [N].
    let targets: Tensor
    /// float32 [N].
    let weights: Tensor
    /// Which rows of the output layer there are; nil for all.
    let shard: VocabularyShard?

    /// The size of the whole vocabulary, by which all ranks go the same way.
    private var vocabularySize: Int { shard?.size ?? weight.shape[0] }

    /// How many rows of logits exist at a time; nil when those of all rows are more than the limit in bytes.
    func height(_ limit: Int) -> Int? {
        guard 4 * rows.shape[0] * vocabularySize <= limit else { return nil }
        // A quarter of the limit at a time is enough to keep products large.
        return max(1, limit / 4 / max(4 * vocabularySize, 1))
    }

    /// How many columns of the logits of all rows exist at a time.
    func width(_ limit: Int) -> Int { max(1, limit / max(4 * rows.shape[0], 1)) }

    /// The logits of some rows, from a row of the weight on.
    func columns(_ logits: Tensor, _ chunk: Range<Int>, first: Int) -> LogitColumns {
        LogitColumns(logits: logits, first: first + (shard?.first ?? 0), targets: targets.narrowed(0, to: chunk))
    }

    /// `x weight^T`, float32.
    func logits(_ x: Tensor, _ weight: Tensor) -> Tensor {
        x.matrixProduct(weight.transposed(), outputType: .float32)
    }

    /// The gradient of logits [N, C] of all rows with respect to their losses, as the type of the rows.
    ///
    /// - Parameters:
    ///   - logits: The logits.
    ///   - first: Which column is their first.
    ///   - logSums: float32 [N].
    /// - Returns: [N, C].
    func gradient(_ logits: Tensor, first: Int, _ logSums: Tensor) -> Tensor {
        let out = rows.makeTensor(logits.shape)
        let columns = columns(logits, 0..<rows.shape[0], first: first)
        rows.engine.softmaxGradient(columns, logSums: logSums, weights: weights, into: out)
        return out
    }

    /// The losses of all rows, and the gradient of all logits if requested; `height` rows of logits exist at a time.
    func lossesByRows(_ height: Int, differentiated: Bool) throws -> (losses: Tensor, gradient: Tensor?) {
        let (engine, count) = (rows.engine, rows.shape[0])
        let whole = differentiated ? rows.makeTensor([count, weight.shape[0]]) : nil
        let losses = rows.makeTensor([count], .float32)
        for chunk in chunks(of: count, height) {
            let (softmax, columns) = try self.softmax(ofRows: chunk)
            let logSums = softmax.logSums
            engine.combine(.subtract, logSums, softmax.chosen, into: losses.narrowed(0, to: chunk))
            guard let whole else { continue }
            engine.softmaxGradient(
                columns,
                logSums: logSums,
                weights: weights.narrowed(0, to: chunk),
                into: whole.narrowed(0, to: chunk)
            )
        }
        return (losses, whole)
    }

    /// The statistics of some rows, whose logits exist.
    func softmax(ofRows chunk: Range<Int>) throws -> (softmax: OnlineSoftmax, columns: LogitColumns) {
        let columns = columns(logits(rows.narrowed(0, to: chunk), weight), chunk, first: 0)
        let softmax = OnlineSoftmax(rowCount: chunk.count, on: rows.engine)
        rows.engine.updateOnlineSoftmax(softmax, with: columns)
        try softmax.reduce(over: shard)
        return (softmax, columns)
    }

    /// The statistics of all rows; `width` columns of the logits exist at a time.
    func softmaxByColumns(_ width: Int) throws -> OnlineSoftmax {
        let softmax = OnlineSoftmax(rowCount: rows.shape[0], on: rows.engine)
        for chunk in chunks(of: weight.shape[0], width) {
            let logits = logits(rows, weight.narrowed(0, to: chunk))
            rows.engine.updateOnlineSoftmax(
                softmax,
                with: columns(logits, 0..<rows.shape[0], first: chunk.lowerBound)
            )
        }
        try softmax.reduce(over: shard)
        return softmax
    }
}
