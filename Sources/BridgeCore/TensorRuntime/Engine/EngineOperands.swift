/// The operands of attention.
///
/// `query` is [B, T, H, K], `key` and `value` are [B, S, G, K] with H a multiple of G: query head h reads head h / (H / G).
/// The last dimension has unit stride.
public struct AttentionOperands: Sendable {
    /// What is compared with the keys.
    public let query: Tensor
    /// What queries are compared with.
    public let key: Tensor
    /// What is summed up.
    public let value: Tensor
    /// Which keys each query sees.
    public let mask: AttentionMask
    /// The factor of scores.
    public let scale: Float
}

/// Where the gradients of attention go, each of the shape of its operand.
public struct AttentionGradients: Sendable {
    /// That of the queries.
    public let query: Tensor
    /// That of the keys.
    public let key: Tensor
    /// That of the values.
    public let value: Tensor
}

/// Some columns of the logits of N rows, and the column that each row should have chosen.
public struct LogitColumns: Sendable {
    /// float32 [N, C].
    public let logits: Tensor
    /// The first column's index among all.
    public let first: Int
    /// int32 [N], counted among all columns.
    public let targets: Tensor
}

/// The statistics of the softmax of N rows whose logits come some columns at a time, all float32 [N].
public struct OnlineSoftmax: Sendable {
    /// The largest logit so far; -infinity at first.
    public let largest: Tensor
    /// The sum of `exp(logit - largest)`; 0 at first.
    public let sums: Tensor
    /// The logit of each row's target, once its column was processed.
    public let chosen: Tensor
}

/// Binary operations on elements.
public enum BinaryOperation: Sendable, CaseIterable {
    case add, subtract, multiply, divide
}

/// Functions of one number.
public enum ElementFunction: String, Sendable, CaseIterable {
    /// `x / (1 + exp(-x))`.
    case silu
    /// `x / 2 (1 + erf(x / sqrt 2))`.
    case gelu
    /// GELU by `tanh(sqrt(2 / pi) (x + 0.044715 x^3))`.
    case geluTanh
    /// `max(x, 0)`.
    case relu
    /// The hyperbolic tangent.
    case tanh
    /// The exponential.
    case exponential
    /// The natural logarithm.
    case logarithm
    /// The square root.
    case squareRoot
}

/// The treatment of an RMS norm's weight.
public struct RMSNormOptions: Sendable, Hashable {
    /// The epsilon that is added to the mean square.
    public let epsilon: Float
    /// The offset that is added to the weight: 1 where weights are stored as their distance from 1.
    public let gainOffset: Float
    /// Whether the normalised number is rounded to the element type before it is multiplied by the weight.
    ///
    /// Of the norms in transformers 5.23 most round first and some multiply first.
    public let roundsBeforeGain: Bool

    /// A form.
    public init(epsilon: Float, gainOffset: Float = 0, roundsBeforeGain: Bool = true) {
        self.epsilon = epsilon
        self.gainOffset = gainOffset
        self.roundsBeforeGain = roundsBeforeGain
    }
}

/// The hyperparameters of a step of AdamW (Loshchilov and Hutter, arXiv 1711.05101).
public struct AdamWStep: Sendable, Equatable {
    /// The factor of gradients.
    public var gradientScale: Float
    /// The learning rate.
    public var rate: Double
    /// The decay rate of the mean.
    public var beta1: Double
    /// The decay rate of the mean square.
    public var beta2: Double
    /// The epsilon that is added to the root of the mean square.
    public var epsilon: Double
    /// The weight decay, which is multiplied by the learning rate.
    public var weightDecay: Double
    /// The number of the step, from 1 on.
    public var count: Int

    /// A step.
    public init(
        gradientScale: Float = 1,
        rate: Double,
        beta1: Double,
        beta2: Double,
        epsilon: Double,
        weightDecay: Double,
        count: Int
    ) {
        self.gradientScale = gradientScale
        self.rate = rate
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
        self.count = count
    }
}

/// The hyperparameters of a step of gradient descent with momentum.
public struct SGDStep: Sendable, Equatable {
    /// The factor of gradients.
    public var gradientScale: Float
    /// The learning rate.
    public var rate: Float
    /// The momentum.
    public var momentum: Float
    /// The weight decay: the factor of the values that are added to their gradient.
    public var weightDecay: Float

    /// A step.
    public init(gradientScale: Float = 1, rate: Float, momentum: Float, weightDecay: Float) {
        self.gradientScale = gradientScale
        self.rate = rate
        self.momentum = momentum
        self.weightDecay = weightDecay
    }
}
