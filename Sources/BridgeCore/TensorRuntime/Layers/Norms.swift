/// A root-mean-square norm with its gain.
public struct RMSNorm: Sendable {
    /// [width].
    public let gain: Parameter
    /// How the gain is applied.
    public let form: RMSNormForm

    /// A norm.
    public init(_ gain: Parameter, _ form: RMSNormForm) {
        self.gain = gain
        self.form = form
    }

    /// Applies the norm over the last dimension.
    ///
    /// - Returns: The same shape, as `type`, or as the type of the gain.
    public func callAsFunction(_ x: Tensor, as type: ElementType? = nil) -> Tensor {
        x.rmsNorm(gain: gain.tensor, form, outputType: type ?? gain.tensor.elementType)
    }
}

/// A layer norm with gain and bias.
public struct LayerNorm: Sendable {
    /// [width].
    public let gain: Parameter
    /// [width].
    public let bias: Parameter
    /// What is added to the variance.
    public let epsilon: Float

    /// A norm.
    public init(gain: Parameter, bias: Parameter, epsilon: Float) {
        self.gain = gain
        self.bias = bias
        self.epsilon = epsilon
    }

    /// Applies the norm over the last dimension.
    ///
    /// - Returns: The same shape, as the type of the gain.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        x.layerNorm(
            gain: gain.tensor,
            bias: bias.tensor,
            epsilon: epsilon,
            outputType: gain.tensor.elementType
        )
    }
}
