import Synchronization

/// A step of the tape: what a tensor was made from, and how its gradient becomes theirs.
///
/// Nodes are numbered in the order in which they are made, so walking them from the highest number down meets every
/// node after all that used it.
final class GradientNode: @unchecked Sendable {
    private static let counter = Atomic<UInt64>(0)

    let number: UInt64
    let inputs: [GradientNode?]
    /// Returns the gradient of every input, nil where none is needed; released after its use, with all saved tensors.
    private(set) var backward: ((Tensor) -> [Tensor?])?
    /// The accumulator of a leaf's gradient; nil for a gradient that is returned.
    let accumulator: GradientAccumulator?
    /// Recomputes the tensor's values, if that is cheap and its inputs are kept anyway; released with ``backward``.
    private(set) var recompute: (() -> Tensor)?

    init(
        _ inputs: [GradientNode?],
        accumulator: GradientAccumulator? = nil,
        recompute: (() -> Tensor)? = nil,
        _ backward: ((Tensor) -> [Tensor?])?
    ) {
        self.recompute = recompute
        number = Self.counter.add(1, ordering: .relaxed).newValue
        self.inputs = inputs
        self.backward = backward
        self.accumulator = accumulator
    }

    func takeBackward() -> ((Tensor) -> [Tensor?])? {
        defer { (backward, recompute) = (nil, nil) }
        return backward
    }
}

extension Tensor {
    /// Whether operations on tracked tensors are recorded here.
    package static var recordsOperations: Bool { ForwardContext.current.recordsOperations }

    /// This tensor as a leaf whose gradient is requested.
    ///
    /// - Parameter accumulator: Where the gradient is added up; nil for one that ``Gradients`` hands out.
    /// - Returns: The same elements, as a leaf of the tape.
    public func trackingGradient(into accumulator: GradientAccumulator? = nil) -> Tensor {
        Tensor(storage, elementType, shape, strides, offset, node: GradientNode([], accumulator: accumulator, nil))
    }

    /// The accumulator of this tensor's gradient, if it is a leaf with an accumulator.
    var accumulator: GradientAccumulator? { node?.accumulator }

    /// This tensor as the result of an operation on `inputs`, with the formula of its gradient; untracked when no input is.
    ///
    /// - Parameters:
    ///   - inputs: What went in.
    ///   - recompute: Makes this tensor again from what `backward` keeps; nil where that costs more than memory.
    ///   - backward: Gives, for the gradient of this tensor, those of the inputs; nil for one that has none.
    /// - Returns: The same elements, tracked.
    package func tracked(
        _ inputs: [Tensor],
        recompute: (() -> Tensor)? = nil,
        _ backward: @escaping (Tensor) -> [Tensor?]
    ) -> Tensor {
        guard inputs.contains(where: \.isTracked), ForwardContext.current.recordsOperations else { return self }
        return Tensor(
            storage,
            elementType,
            shape,
            strides,
            offset,
            node: GradientNode(inputs.map(\.node), recompute: recompute, backward)
        )
    }
}
