extension Tensor {
    /// The result of `body`, which keeps only its inputs and is called again in the backward pass.
    ///
    /// - Parameters:
    ///   - inputs: What `body` is given.
    ///   - body: Computes the same each time; whatever else it uses that is tracked gets its gradient too.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public static func recomputed(_ inputs: [Tensor], _ body: @escaping ([Tensor]) throws -> Tensor) rethrows -> Tensor
    {
        let cut = inputs.map { $0.isTracked ? $0.detached.trackingGradient() : $0 }
        let context = ForwardContext.current
        let first = try body(cut)
        guard let root = first.node else { return first }
        // Leaves such as the weights of a layer, found on the tape before it is thrown away.
        let own = Set(cut.compactMap { $0.node.map(ObjectIdentifier.init) })
        let leaves = Gradients.ordered(from: root).filter { $0.inputs.isEmpty && !own.contains(ObjectIdentifier($0)) }
        let (plain, tracked) = (first.detached, inputs.map(\.isTracked))
        let sources = inputs.map(\.detached)
        let node = GradientNode(inputs.map(\.node) + leaves) { gradient in
            let again = zip(sources, tracked).map { $1 ? $0.trackingGradient() : $0 }
            guard let result = try? ForwardContext.$current.withValue(context, operation: { try body(again) }) else {
                Tensor.fail("recomputed", "the forward pass succeeded and its recomputation in the backward pass threw")
            }
            let gradients = Gradients(of: result, seed: gradient)
            return again.map { gradients[$0] } + leaves.map { gradients[$0] }
        }
        return Tensor(plain.storage, plain.elementType, plain.shape, plain.strides, plain.offset, node: node)
    }
}
