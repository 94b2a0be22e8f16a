/// A weight of a model: numbers that stay from call to call and that training may change.
public final class Parameter: @unchecked Sendable {
    /// Its name among the model's parameters.
    public let name: String
    /// The numbers; tracked while the parameter is trained.
    public private(set) var tensor: Tensor

    /// The layer that multiplies by this parameter, if there is one.
    public internal(set) weak var linear: Linear?

    /// A parameter that is not trained.
    public init(_ name: String, _ tensor: Tensor) {
        self.name = name
        self.tensor = tensor.detached
    }

    /// Whether gradients are computed for it.
    public var isTrainable: Bool {
        get { tensor.isTracked }
        set {
            guard newValue != isTrainable else { return }
            tensor = newValue ? tensor.trackingGradient(into: accumulator) : tensor.detached
        }
    }

    /// Where the parameter's gradients are added up; nil where they are handed out by ``Gradients``.
    public private(set) var accumulator: GradientAccumulator?

    /// Adds up the gradients of this parameter from here on, over passes, until somebody clears the sum.
    ///
    /// - Returns: The sum, empty.
    @discardableResult
    public func accumulateGradients() -> GradientAccumulator {
        let accumulator = accumulator ?? GradientAccumulator(tensor.shape, on: tensor.engine)
        self.accumulator = accumulator
        if isTrainable { tensor = tensor.trackingGradient(into: accumulator) }
        return accumulator
    }

    /// Gives the parameter memory of its own where it lies in a file, or is to be of another type.
    ///
    /// - Parameter type: The type; nil for the one that it has.
    public func makeWritable(as type: ElementType? = nil) {
        let type = type ?? tensor.elementType
        guard tensor.storage.isReadOnly || tensor.elementType != type else { return }
        let copy = Tensor(uninitialized: tensor.shape, type, on: tensor.engine)
        tensor.engine.copy(tensor.detached, into: copy)
        tensor = isTrainable ? copy.trackingGradient(into: accumulator) : copy
    }

    /// Takes other numbers, of any shape; whoever shared the old ones keeps them.
    ///
    /// Gradients that were added up for the old ones are dropped.
    public func replace(with tensor: Tensor) {
        let wasTrainable = isTrainable
        accumulator = nil
        self.tensor = wasTrainable ? tensor.detached.trackingGradient(into: nil) : tensor.detached
    }
}
