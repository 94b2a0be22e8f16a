/// Collectives in forward and backward passes, in pairs: what one does to values the other does to gradients.
///
/// A backward pass cannot throw. A group that failed in it gives zeros and throws at its next use, which is before the
/// step changes a parameter.
extension Tensor {
    /// The tensor itself, which every rank has; its gradient is the sum of the gradients of the ranks.
    ///
    /// Source: `copy_to_tensor_model_parallel_region`, megatron/core/tensor_parallel/mappings.py, 0.20.
    public func copied(to group: any ProcessGroup) -> Tensor {
        guard group.size > 1, isTracked else { return self }
        return detached.tracked([self]) { gradient in
            // The gradient may have other owners.
            let sum = gradient.makeTensor(gradient.shape)
            gradient.engine.copy(gradient.detached, into: sum)
            try? group.allReduceSum(sum)
            return [sum]
        }
    }

    /// The sum of the parts of the ranks; its gradient is the gradient of each rank.
    ///
    /// Source: `reduce_from_tensor_model_parallel_region`.
    public func summed(over group: any ProcessGroup) throws -> Tensor {
        guard group.size > 1 else { return self }
        let sum = makeTensor(shape)
        engine.copy(detached, into: sum)
        try group.allReduceSum(sum)
        return sum.tracked([self]) { [$0] }
    }

    /// The tensors of all ranks along a dimension; its gradient is summed over the ranks, each taking its part.
    ///
    /// Source: `gather_from_sequence_parallel_region`.
    public func gathered(_ dimension: Int, over group: any ProcessGroup) throws -> Tensor {
        guard group.size > 1 else { return self }
        return try allGathered(dimension, over: group).tracked([self]) { [$0.reduceScattered(dimension, over: group)] }
    }

    /// The sum of the tensors of the ranks, each taking its part of a dimension; its gradient is gathered.
    ///
    /// Source: `reduce_scatter_to_sequence_parallel_region`.
    public func scatteredSum(_ dimension: Int, over group: any ProcessGroup) throws -> Tensor {
        guard group.size > 1 else { return self }
        // Only the shape: the rows themselves are as many as those of all ranks, and not needed again.
        let (first, shape) = (detached.movingToFront(dimension), shape)
        return try group.reduceScatterSum(first.contiguous()).movingFromFront(dimension).tracked([self]) {
            [$0.allGathered(dimension, over: group, expecting: shape)]
        }
    }

    /// This rank's part of a dimension of a tensor that every rank has; its gradient is gathered.
    ///
    /// Source: `scatter_to_sequence_parallel_region`.
    public func part(_ dimension: Int, of group: any ProcessGroup) -> Tensor {
        guard group.size > 1 else { return self }
        let (shape, count) = (shape, shape[dimension] / group.size)
        let own = detached.narrowed(dimension, to: group.rank * count..<(group.rank + 1) * count)
        return own.tracked([self]) { [$0.allGathered(dimension, over: group, expecting: shape)] }
    }

    private func allGathered(_ dimension: Int, over group: any ProcessGroup) throws -> Tensor {
        try group.allGather(detached.movingToFront(dimension).contiguous()).movingFromFront(dimension)
    }

    /// The gathered parts of a gradient; zeros of the shape when the group has failed.
    private func allGathered(_ dimension: Int, over group: any ProcessGroup, expecting shape: [Int]) -> Tensor {
        (try? allGathered(dimension, over: group)) ?? .zeros(shape, elementType, on: engine)
    }

    private func reduceScattered(_ dimension: Int, over group: any ProcessGroup) -> Tensor {
        let first = detached.movingToFront(dimension).contiguous()
        if let part = try? group.reduceScatterSum(first) { return part.movingFromFront(dimension) }
        var own = shape
        own[dimension] /= group.size
        return .zeros(own, elementType, on: engine)
    }

    private func movingToFront(_ dimension: Int) -> Tensor {
        guard dimension > 0 else { return self }
        return permuted([dimension] + shape.indices.filter { $0 != dimension })
    }

    private func movingFromFront(_ dimension: Int) -> Tensor {
        guard dimension > 0 else { return self }
        return permuted(Array(1...dimension) + [0] + shape.indices.dropFirst(dimension + 1))
    }
}
