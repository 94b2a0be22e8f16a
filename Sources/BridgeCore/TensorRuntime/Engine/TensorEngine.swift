/// The interface between tensor operations and a machine.
///
/// An engine computes on memory and does not know gradients. Results are written into tensors that the operation has
/// created, of the shapes that each method specifies; inputs may have any strides unless a method documents otherwise.
/// Sums are kept in float32 whatever the element type. Floating-point tensors are float32 or bfloat16.
public protocol TensorEngine: AnyObject, Sendable {
    /// The engine's name, for reports.
    var name: String { get }

    /// New memory, 64-byte aligned, with unknown content.
    func makeStorage(byteCount: Int) -> TensorStorage

    /// Copies elements into a tensor of the same shape, converting between types.
    func copy(_ source: Tensor, into target: Tensor)
    /// Sets every element.
    func fill(_ target: Tensor, with value: Float)

    /// An operation on two tensors of the shape of `out`.
    func combine(_ operation: BinaryOperation, _ left: Tensor, _ right: Tensor, into out: Tensor)
    /// `x * scale + shift`, element by element.
    func affine(_ x: Tensor, scale: Float, shift: Float, into out: Tensor)
    /// A function of each element.
    func apply(_ function: ElementFunction, _ x: Tensor, into out: Tensor)
    /// `gradient * f'(x)`.
    func applyBackward(_ function: ElementFunction, _ x: Tensor, _ gradient: Tensor, into out: Tensor)
    /// `f(gate) * up`.
    func gated(_ function: ElementFunction, gate: Tensor, up: Tensor, into out: Tensor)
    /// The gradients of ``gated(_:gate:up:into:)``.
    func gatedBackward(
        _ function: ElementFunction,
        gate: Tensor,
        up: Tensor,
        gradient: Tensor,
        intoGate: Tensor,
        intoUp: Tensor
    )
    /// Sums over every dimension that has size 1 in `out` and more in `x`, times `scale`.
    func sum(_ x: Tensor, scale: Float, into out: Tensor)

    /// Matrix products `out[..., m, n] = left[..., m, k] right[..., k, n]`, or added to what is in `out`.
    ///
    /// Leading dimensions are equal. Each matrix has unit stride along one of its two dimensions.
    func multiply(_ left: Tensor, _ right: Tensor, into out: Tensor, adding: Bool)
    /// `outs[i][m, n_i] = x[m, k] weights[i][n_i, k]^T`: several matrices that the same rows go through.
    ///
    /// For few rows this is memory traffic, and one pass over all weights. `x` and `outs` are contiguous.
    func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor])

    /// Root-mean-square norm over the last dimension; `inverseRoot` gets `rsqrt(mean(x^2) + epsilon)`, float32, per row.
    func rmsNorm(_ x: Tensor, weight: Tensor, _ form: RMSNormOptions, into out: Tensor, inverseRoot: Tensor)
    /// The gradients of ``rmsNorm(_:weight:_:into:inverseRoot:)``; `intoGain` is float32, nil if it is not needed.
    func rmsNormBackward(
        _ x: Tensor,
        weight: Tensor,
        _ form: RMSNormOptions,
        inverseRoot: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?
    )
    /// Layer norm over the last dimension; `moments` gets mean and `rsqrt(variance + epsilon)`, float32 [rows, 2].
    func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into out: Tensor, moments: Tensor)
    /// The gradients of ``layerNorm(_:weight:bias:epsilon:into:moments:)``; those of weight and bias are float32.
    func layerNormBackward(
        _ x: Tensor,
        weight: Tensor,
        moments: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?,
        intoBias: Tensor?
    )

    /// Rotates the pairs (i, i + width / 2) of each head of `x` [B, T, H, K] by the angles whose cosines and sines are
    /// float32 [B or 1, T, K / 2]; backwards with `inverse`.
    func rotate(_ x: Tensor, cosines: Tensor, sines: Tensor, inverse: Bool, into out: Tensor)

    /// Attention without the score matrix.
    ///
    /// `query` and `out` are [B, T, H, K], `key` and `value` [B, S, G, K] with H a multiple of G: query head h reads head
    /// h / (H / G). The last dimension has unit stride. A query that sees no key gives zeros.
    /// `logSumExp` float32 [B, H, T] gets the logarithm of each softmax's denominator, for the backward pass.
    func attention(
        _ query: Tensor,
        _ key: Tensor,
        _ value: Tensor,
        mask: AttentionMask,
        scale: Float,
        into out: Tensor,
        logSumExp: Tensor?
    )
    /// The gradients of ``attention(_:_:_:mask:scale:into:logSumExp:)``, which gave `out` and `logSumExp`.
    func attentionBackward(
        _ query: Tensor,
        _ key: Tensor,
        _ value: Tensor,
        mask: AttentionMask,
        scale: Float,
        out: Tensor,
        logSumExp: Tensor,
        gradient: Tensor,
        intoQuery: Tensor,
        intoKey: Tensor,
        intoValue: Tensor
    )

    /// Updates the softmax statistics of rows with more columns, from `first` on: `logits` [N, C], float32.
    ///
    /// `largest` [N] is the largest so far, -infinity at first, `sums` [N] that of `exp(logit - largest)`, 0 at first;
    /// `chosen` [N] gets the logit of each row's target, when its column is processed. All are float32.
    func updateOnlineSoftmax(
        _ logits: Tensor,
        first: Int,
        targets: [Int32],
        largest: Tensor,
        sums: Tensor,
        chosen: Tensor
    )
    /// `(exp(logit - logSums) - [column is the target]) * weights`, row by row of `logits` [N, C], whose columns begin
    /// at `first`; `logSums` and `weights` are float32 [N].
    func softmaxGradient(
        _ logits: Tensor,
        first: Int,
        targets: [Int32],
        logSums: Tensor,
        weights: Tensor,
        into out: Tensor
    )
    /// `x * scale` where the random value of an element's index is not below `probability`, 0 elsewhere.
    func dropout(_ x: Tensor, probability: Float, stream: RandomStream, into out: Tensor)
    /// The sum of the squares of float32 values.
    func sumOfSquares(_ x: Tensor) -> Double
    /// A step of AdamW on contiguous float32 values; `model`, if there is one, gets them as its type.
    func adamW(_ values: Tensor, first: Tensor, second: Tensor, gradient: Tensor, model: Tensor?, _ step: AdamWStep)
    /// A step of gradient descent with momentum, likewise.
    func sgd(_ values: Tensor, velocity: Tensor, gradient: Tensor, model: Tensor?, _ step: SGDStep)

    /// Row `rows[i]` of `table` [N, D] becomes row i of `out` [rows.count, D].
    func gatherRows(_ table: Tensor, _ rows: [Int32], into out: Tensor)
    /// Adds row i of `x` [rows.count, D] to row `rows[i]` of `table` [N, D]; the same row may come several times.
    func scatterAddRows(_ x: Tensor, _ rows: [Int32], into table: Tensor)
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
