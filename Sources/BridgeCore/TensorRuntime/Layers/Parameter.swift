/// A weight of a model, which training may change.
public final class Parameter: @unchecked Sendable {
    /// Its name among the model's parameters.
    public let name: String
    /// The values; tracked while the parameter is trained.
    ///
    /// While other ranks' rows of it are on their way, this waits for them.
    public private(set) var tensor: Tensor {
        get {
            awaitValues?()
            return values
        }
        set { values = newValue }
    }
    private var values: Tensor

    /// Waits until the values may be read; nil for a parameter that only this rank changes.
    ///
    /// A distributed optimizer gathers the rows that other ranks have updated while the next forward pass runs.
    public var awaitValues: (() -> Void)?

    /// The layer that multiplies by this parameter, if there is one.
    public internal(set) weak var linear: Linear?

    /// The part of the whole matrix that it is; nil for all of it.
    public let shard: ParameterShard?
    /// What has to be done to its gradient because other ranks have parts of it; nil for nothing.
    public var gradientReduction: GradientReduction?

    /// A parameter that is not trained.
    ///
    /// - Parameters:
    ///   - name: Its name among the model's parameters.
    ///   - tensor: The values.
    ///   - shard: The part of the whole matrix that they are; nil for all of it.
    public init(_ name: String, _ tensor: Tensor, shard: ParameterShard? = nil) {
        self.name = name
        values = tensor.detached
        self.shard = shard
    }

    /// Whether this rank stands for the parameter where it is counted once, as in norms and checkpoints.
    public var isOwner: Bool { shard?.isOwner ?? true }

    /// Whether gradients are computed for it.
    public var isTrainable: Bool {
        get { tensor.isTracked }
        set {
            guard newValue != isTrainable else { return }
            tensor = newValue ? tensor.trackingGradient(into: accumulator) : tensor.detached
        }
    }

    /// The accumulator of the parameter's gradients; nil if ``Gradients`` returns them.
    public private(set) var accumulator: GradientAccumulator?

    /// Accumulates the gradients of this parameter over passes, until the sum is cleared.
    ///
    /// - Returns: The sum, empty.
    @discardableResult
    public func accumulateGradients() -> GradientAccumulator {
        let accumulator = accumulator ?? GradientAccumulator(tensor.shape, on: tensor.engine)
        self.accumulator = accumulator
        if isTrainable { tensor = tensor.trackingGradient(into: accumulator) }
        return accumulator
    }

    /// Gives the parameter its own memory if it is mapped from a file, or if its type has to change.
    ///
    /// - Parameter type: The type; nil for the one that it has.
    public func makeWritable(as type: ElementType? = nil) {
        let type = type ?? tensor.elementType
        guard tensor.storage.isReadOnly || tensor.elementType != type else { return }
        let copy = Tensor(uninitialized: tensor.shape, type, on: tensor.engine)
        tensor.engine.copy(tensor.detached, into: copy)
        tensor = isTrainable ? copy.trackingGradient(into: accumulator) : copy
    }

    /// Replaces the values, by a tensor of any shape; other owners of the old values keep them.
    ///
    /// Gradients that were added up for the old ones are dropped.
    public func replace(with tensor: Tensor) {
        let wasTrainable = isTrainable
        accumulator = nil
        self.tensor = wasTrainable ? tensor.detached.trackingGradient(into: nil) : tensor.detached
    }
}
