extension Tensor {
    /// Replaces some elements by zeros, and scales the others so that the mean of sums is unchanged.
    ///
    /// - Parameters:
    ///   - probability: How many become zero, in [0, 1).
    ///   - stream: The random stream; the same stream drops the same elements.
    /// - Returns: The same shape.
    public func droppingOut(_ probability: Float, _ stream: RandomStream) -> Tensor {
        guard probability > 0 else { return self }
        let out = makeTensor(shape)
        engine.dropout(detached, probability: probability, stream: stream, into: out)
        return out.tracked([self]) { [$0.droppingOut(probability, stream)] }
    }
}
