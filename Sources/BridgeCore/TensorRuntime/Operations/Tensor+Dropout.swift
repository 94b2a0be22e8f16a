extension Tensor {
    /// Zeros in the places of some elements, and the others scaled so that sums stay the same in the mean.
    ///
    /// - Parameters:
    ///   - probability: How many become zero, in [0, 1).
    ///   - stream: Which random numbers decide; the same stream drops the same places.
    /// - Returns: The same shape.
    public func droppingOut(_ probability: Float, _ stream: RandomStream) -> Tensor {
        guard probability > 0 else { return self }
        let out = makeTensor(shape)
        engine.dropout(detached, probability: probability, stream: stream, into: out)
        return out.tracked([self]) { [$0.droppingOut(probability, stream)] }
    }
}
