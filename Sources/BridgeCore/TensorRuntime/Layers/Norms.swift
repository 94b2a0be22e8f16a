/// A root-mean-square norm with its weight.
public struct RMSNorm: Sendable {
    /// [width].
    public let weight: Parameter
    /// The treatment of the weight.
    public let form: RMSNormOptions

    /// A norm.
    public init(_ weight: Parameter, _ form: RMSNormOptions) {
        self.weight = weight
        self.form = form
    }

    /// Applies the norm over the last dimension.
    ///
    /// - Returns: The same shape, as `type`, or as the type of the weight.
    public func callAsFunction(_ x: Tensor, as type: ElementType? = nil) -> Tensor {
        x.rmsNorm(weight: weight.tensor, form, outputType: type ?? weight.tensor.elementType)
    }
}

/// A layer norm with weight and bias.
public struct LayerNorm: Sendable {
    /// [width].
    public let weight: Parameter
    /// [width].
    public let bias: Parameter
    /// The epsilon that is added to the variance.
    public let epsilon: Float

    /// A norm.
    public init(weight: Parameter, bias: Parameter, epsilon: Float) {
        self.weight = weight
        self.bias = bias
        self.epsilon = epsilon
    }

    /// Applies the norm over the last dimension.
    ///
    /// - Returns: The same shape, as the type of the weight.
    public func callAsFunction(_ x: Tensor) -> Tensor {
        x.layerNorm(
            weight: weight.tensor,
            bias: bias.tensor,
            epsilon: epsilon,
            outputType: weight.tensor.elementType
        )
    }
}
