extension Tensor {
    /// The sums that undo stretching this tensor's shape from `shape`: over each dimension that is 1 there.
    public func summed(to shape: [Int]) -> Tensor {
        guard shape != self.shape else { return self }
        let padded = Array(repeating: 1, count: rank - shape.count) + shape
        let out = makeTensor(padded)
        engine.sum(detached, scale: 1, into: out)
        let whole = self.shape
        return out.tracked([self]) { [$0.expanded(to: whole)] }.reshaped(shape)
    }

    /// The sum over some dimensions, which stay with size 1.
    public func sum(over dimensions: [Int]) -> Tensor { reduced(dimensions, scale: 1) }

    /// The mean over some dimensions, which stay with size 1.
    public func mean(over dimensions: [Int]) -> Tensor {
        reduced(dimensions, scale: 1 / Float(dimensions.reduce(1) { $0 * size(ofDimension: $1) }))
    }

    /// The sum of all elements, a scalar.
    public func sum() -> Tensor { sum(over: Array(shape.indices)).reshaped([]) }

    private func reduced(_ dimensions: [Int], scale: Float) -> Tensor {
        var small = shape
        for dimension in dimensions { small[dimension < 0 ? rank + dimension : dimension] = 1 }
        let out = makeTensor(small)
        engine.sum(detached, scale: scale, into: out)
        let whole = shape
        return out.tracked([self]) { [($0 * scale).expanded(to: whole)] }
    }
}
