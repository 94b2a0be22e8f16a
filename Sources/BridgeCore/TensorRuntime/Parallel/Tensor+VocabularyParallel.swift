/// Tables whose rows are divided over ranks.
extension Tensor {
    /// Rows of a table of which this rank has a part, [rows.count, D]; every rank gets all of them.
    ///
    /// - Parameters:
    ///   - rows: Rows of the whole table.
    ///   - shard: The part that this is; nil for all of it.
    ///   - group: The ranks that have the parts.
    /// - Returns: The rows.
    /// - Throws: What the group throws.
    public func vocabularyParallelRows(
        _ rows: [Int32],
        _ shard: ParameterShard?,
        over group: any ProcessGroup
    ) throws -> Tensor {
        guard let shard, group.size > 1 else { return self.rows(rows) }
        let own = rows.indices.filter { shard.rows.contains(Int(rows[$0])) }
        let others = Tensor.zeros([rows.count, shape[1]], elementType, on: engine)
        guard !own.isEmpty else {
            // Tracked as on the ranks that have rows: the backward passes of all ranks take part in the same collectives.
            return try others.tracked([self]) { _ in [nil] }.summed(over: group)
        }
        let found = self.rows(own.map { rows[$0] - Int32(shard.rows.lowerBound) })
        return try others.replacingRows(own.map { Int32($0) }, with: found).summed(over: group)
    }

    /// The tensor with zeros after the end of a dimension.
    public func padded(_ dimension: Int, to size: Int) -> Tensor {
        guard shape[dimension] < size else { return self }
        var rest = shape
        rest[dimension] = size - shape[dimension]
        return Tensor.concatenated([self, .zeros(rest, elementType, on: engine)], dimension: dimension)
    }
}

/// The position of an output layer's rows in a vocabulary that is divided over ranks.
public struct VocabularyShard: Sendable {
    /// The number of the first row.
    public var first: Int
    /// The size of the vocabulary.
    public var size: Int
    /// The ranks that have the other rows.
    public var group: any ProcessGroup

    /// A position.
    public init(first: Int, size: Int, group: any ProcessGroup) {
        self.first = first
        self.size = size
        self.group = group
    }
}

extension OnlineSoftmax {
    /// Adds the statistics of the columns that other ranks have.
    ///
    /// Source: `VocabParallelCrossEntropy`, megatron/core/tensor_parallel/cross_entropy.py, 0.20.
    func reduce(over shard: VocabularyShard?) throws {
        guard let group = shard?.group, group.size > 1 else { return }
        let engine = largest.engine
        let whole = largest.makeTensor(largest.shape)
        engine.copy(largest, into: whole)
        try group.allReduceMax(whole)
        engine.combine(.multiply, sums, (largest - whole).applying(.exponential), into: sums)
        try group.allReduceSum(sums)
        try group.allReduceSum(chosen)
        engine.copy(whole, into: largest)
    }
}
