/// The interface between tensor operations and a machine.
///
/// An engine computes on memory and does not know gradients. Results are written into tensors that the operation has
/// created, of the shapes that each method specifies; inputs may have any strides unless a method documents otherwise.
/// Sums are kept in float32 whatever the element type. Floating-point tensors are float32 or bfloat16; indices and labels
/// are int32 tensors without gaps.
///
/// The memory may be out of the host's reach, as that of a GPU: only ``upload(_:_:)`` and
/// ``download(_:_:)`` take bytes from the host and to it. An operation may return before its result is there; those after
/// it see the result, and ``download(_:_:)`` waits for it. The methods for memory may be called on any thread.
public protocol TensorEngine: AnyObject, Sendable {
    /// The engine's name, for reports.
    var name: String { get }

    /// New memory, 64-byte aligned, with unknown content.
    ///
    /// - Parameters:
    ///   - byteCount: The size.
    ///   - engine: The engine of the tensors in it: this one, or one that passes its work on to this one.
    /// - Returns: The memory, which comes back when it is released.
    func makeStorage(byteCount: Int, for engine: any TensorEngine) -> TensorStorage
    /// Read-only memory with the content of host memory, which is used in place if the engine can.
    ///
    /// - Parameters:
    ///   - bytes: The content, such as a part of a mapped file.
    ///   - owner: What the bytes belong to; they do not change while it is retained.
    ///   - engine: As in ``makeStorage(byteCount:for:)``.
    /// - Returns: The memory.
    func makeStorage(
        mapping bytes: UnsafeRawBufferPointer,
        owner: any AnyObject & Sendable,
        for engine: any TensorEngine
    ) -> TensorStorage
    /// Read-only memory of a quantized matrix, whose tensors count as floating-point ones.
    ///
    /// - Parameters:
    ///   - matrix: Numbers and factors.
    ///   - type: The type of the tensors.
    ///   - engine: As in ``makeStorage(byteCount:for:)``.
    /// - Returns: The memory.
    func makeStorage(for matrix: QuantizedMatrix, as type: ElementType, engine: any TensorEngine) -> TensorStorage
    /// Makes the numbers and factors of a matrix from `source` of its shape, whose rows have unit stride.
    func quantize(_ source: Tensor, into matrix: QuantizedMatrix)
    /// Calls `write` with host memory for all bytes of a tensor without gaps, which then are the tensor's.
    ///
    /// The memory's content is unknown at first; on the processor it is the tensor's own.
    func upload(_ tensor: Tensor, _ write: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows
    /// Calls `read` with the bytes of a tensor without gaps in host memory; on the processor, the tensor's own.
    func download(_ tensor: Tensor, _ read: (UnsafeRawBufferPointer) throws -> Void) rethrows

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
    /// Products of matrices with one right matrix: `outs[i][m_i, n] = lefts[i][m_i, k] right[k, n]`, or added to `outs[i]`.
    func multiply(_ lefts: [Tensor], _ right: Tensor, into outs: [Tensor], adding: [Bool])
    /// `out[m, n]` is the sum of `lefts[i][m, k_i] rights[i][k_i, n]`, with sums in float32.
    func multiplySum(_ lefts: [Tensor], _ rights: [Tensor], into out: Tensor)
    /// Whether ``multiplySum(_:_:into:)`` of this type writes `out` once, and not each product.
    func sumsProducts(of type: ElementType) -> Bool
    /// `outs[i][m, n_i] = x[m, k] weights[i][n_i, k]^T`: several matrices that the same rows go through.
    ///
    /// For few rows this is memory traffic, and one pass over all weights. `x` and `outs` are contiguous.
    func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor])
    /// The same, with the bits for each row of `x` that ``project(_:_:into:)`` gives for the row alone.
    func project(eachRowOf x: Tensor, _ weights: [Tensor], into outs: [Tensor])

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

    /// Attention without the score matrix; `out` is [B, T, H, K]. A query that sees no key gives zeros.
    ///
    /// `logSumExp` float32 [B, H, T] gets the logarithm of each softmax's denominator, for the backward pass.
    func attention(_ operands: AttentionOperands, into out: Tensor, logSumExp: Tensor?)
    /// The gradients of ``attention(_:into:logSumExp:)``, which gave `out` and `logSumExp`.
    func attentionBackward(
        _ operands: AttentionOperands,
        out: Tensor,
        logSumExp: Tensor,
        gradient: Tensor,
        into gradients: AttentionGradients
    )

    /// Updates the softmax statistics of rows with more columns.
    func updateOnlineSoftmax(_ softmax: OnlineSoftmax, with columns: LogitColumns)
    /// `(exp(logit - logSums) - [column is the target]) * weights`, row by row; `logSums` and `weights` are float32 [N].
    func softmaxGradient(_ columns: LogitColumns, logSums: Tensor, weights: Tensor, into out: Tensor)
    /// `x * scale` where the random value of an element's index is not below `probability`, 0 elsewhere.
    func dropout(_ x: Tensor, probability: Float, stream: RandomStream, into out: Tensor)
    /// The sum of the squares of float32 values, as one float64 number.
    func sumOfSquares(_ x: Tensor, into out: Tensor)
    /// A step of AdamW on contiguous float32 values; `model`, if there is one, gets them as its type.
    func adamW(_ values: Tensor, first: Tensor, second: Tensor, gradient: Tensor, model: Tensor?, _ step: AdamWStep)
    /// A step of gradient descent with momentum, likewise.
    func sgd(_ values: Tensor, velocity: Tensor, gradient: Tensor, model: Tensor?, _ step: SGDStep)

    /// Row `rows[i]` of `table` [N, D] becomes row i of `out` [n, D], for n indices `rows`.
    func gatherRows(_ table: Tensor, _ rows: Tensor, into out: Tensor)
    /// Adds row i of `x` [n, D] to row `rows[i]` of `table` [N, D]; the same row may come several times.
    func scatterAddRows(_ x: Tensor, _ rows: Tensor, into table: Tensor)
}

extension TensorEngine {
    /// One row after the other.
    public func project(eachRowOf x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        for row in 0..<x.shape[0] {
            project(x.narrowed(0, to: row..<row + 1), weights, into: outs.map { $0.narrowed(0, to: row..<row + 1) })
        }
    }
}
