/// A weight of a model: numbers that stay from call to call and that training may change.
public final class Parameter: @unchecked Sendable {
    /// Its name among the model's parameters.
    public let name: String
    /// The numbers; tracked while the parameter is trained.
    public private(set) var tensor: Tensor

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
            tensor = newValue ? tensor.trackingGradient() : tensor.detached
        }
    }
}
