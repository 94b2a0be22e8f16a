import Synchronization

/// An engine that keeps count of what another one does: how often, how long, and how many operations.
///
/// The results are those of the other engine to the last bit.
public final class MeasuringEngine: TensorEngine {
    /// The measured totals of one kind of work.
    public struct Work: Sendable, Equatable {
        /// The number of calls.
        public var calls = 0
        /// The duration, in seconds.
        public var seconds = 0.0
        /// Floating-point operations, an addition and a multiplication counting two; 0 for operations that are limited
        /// by memory.
        public var operations = 0.0
        /// The type of what is multiplied; nil for work without products.
        public var type: ElementType?

        /// The totals of two together.
        public static func + (left: Work, right: Work) -> Work {
            Work(
                calls: left.calls + right.calls,
                seconds: left.seconds + right.seconds,
                operations: left.operations + right.operations,
                type: left.type ?? right.type
            )
        }
    }

    private let base: any TensorEngine
    private let work = Mutex<[String: Work]>([:])

    /// An engine that measures `base`.
    public init(_ base: any TensorEngine) { self.base = base }

    /// The name of the engine that is measured.
    public var name: String { base.name }

    /// The work since the last call, by kind; for a product the kind has its sizes.
    public func takeWork() -> [String: Work] {
        work.withLock { work in
            defer { work = [:] }
            return work
        }
    }

    /// Operations per second of a large product: what others can be held against.
    ///
    /// - Parameters:
    ///   - type: float32 or bfloat16.
    ///   - size: Rows and columns of the square matrices.
    /// - Returns: The best of four, after one that warms up.
    public func peakOperationsPerSecond(_ type: ElementType, size: Int = 2048) -> Double {
        let (a, b) = (Tensor.zeros([size, size], type, on: base), Tensor.zeros([size, size], type, on: base))
        let out = Tensor.zeros([size, size], .float32, on: base)
        let times = (0..<5).map { _ in
            ContinuousClock().measure { base.multiply(a, b.transposed(), into: out, adding: false) }
        }
        let best = times.dropFirst().map { $0 / .seconds(1) }.min() ?? .infinity
        return 2 * Double(size * size * size) / best
    }

    private func measured(
        _ kind: @autoclosure () -> String,
        operations: Double = 0,
        type: ElementType? = nil,
        _ body: () -> Void
    ) {
        let seconds = ContinuousClock().measure(body) / .seconds(1)
        let kind = kind()
        work.withLock { work in
            work[kind, default: Work(type: type)].calls += 1
            work[kind]?.seconds += seconds
            work[kind]?.operations += operations
        }
    }

    /// Counts the operations of the scores and of the sum of values, half of them with a causal mask.
    private static func attentionOperations(_ operands: AttentionOperands) -> Double {
        4 * Double(operands.query.count * operands.key.shape[1]) * (operands.mask.isCausal ? 0.5 : 1)
    }

    // MARK: What is passed on

    /// Memory of the other engine.
    public func makeStorage(byteCount: Int, for engine: any TensorEngine) -> TensorStorage {
        base.makeStorage(byteCount: byteCount, for: engine)
    }

    /// Memory of the other engine.
    public func makeStorage(
        mapping bytes: UnsafeRawBufferPointer,
        owner: any AnyObject & Sendable,
        for engine: any TensorEngine
    ) -> TensorStorage {
        base.makeStorage(mapping: bytes, owner: owner, for: engine)
    }

    /// Memory of the other engine.
    public func makeStorage(for matrix: QuantizedMatrix, as type: ElementType, engine: any TensorEngine)
        -> TensorStorage
    {
        base.makeStorage(for: matrix, as: type, engine: engine)
    }

    /// See ``TensorEngine``.
    public func quantize(_ source: Tensor, into matrix: QuantizedMatrix) {
        measured("quantization") { base.quantize(source, into: matrix) }
    }

    /// See ``TensorEngine``; what the caller does with the bytes is not the engine's work.
    public func upload(_ tensor: Tensor, _ write: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        try base.upload(tensor, write)
    }

    /// See ``TensorEngine``; what the caller does with the bytes is not the engine's work.
    public func download(_ tensor: Tensor, _ read: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try base.download(tensor, read)
    }

    /// See ``TensorEngine``.
    public func copy(_ source: Tensor, into target: Tensor) {
        measured("copies and conversions") { base.copy(source, into: target) }
    }

    /// See ``TensorEngine``.
    public func fill(_ target: Tensor, with value: Float) { measured("fills") { base.fill(target, with: value) } }

    /// See ``TensorEngine``.
    public func combine(_ operation: BinaryOperation, _ left: Tensor, _ right: Tensor, into out: Tensor) {
        measured("sums and products of elements") { base.combine(operation, left, right, into: out) }
    }

    /// See ``TensorEngine``.
    public func affine(_ x: Tensor, scale: Float, shift: Float, into out: Tensor) {
        measured("sums and products of elements") { base.affine(x, scale: scale, shift: shift, into: out) }
    }

    /// See ``TensorEngine``.
    public func apply(_ function: ElementFunction, _ x: Tensor, into out: Tensor) {
        measured("functions") { base.apply(function, x, into: out) }
    }

    /// See ``TensorEngine``.
    public func applyBackward(_ function: ElementFunction, _ x: Tensor, _ gradient: Tensor, into out: Tensor) {
        measured("functions, backward") { base.applyBackward(function, x, gradient, into: out) }
    }

    /// See ``TensorEngine``.
    public func gated(_ function: ElementFunction, gate: Tensor, up: Tensor, into out: Tensor) {
        measured("gating") { base.gated(function, gate: gate, up: up, into: out) }
    }

    /// See ``TensorEngine``.
    public func gatedBackward(
        _ function: ElementFunction,
        gate: Tensor,
        up: Tensor,
        gradient: Tensor,
        intoGate: Tensor,
        intoUp: Tensor
    ) {
        measured("gating, backward") {
            base.gatedBackward(
                function,
                gate: gate,
                up: up,
                gradient: gradient,
                intoGate: intoGate,
                intoUp: intoUp
            )
        }
    }

    /// See ``TensorEngine``.
    public func sum(_ x: Tensor, scale: Float, into out: Tensor) {
        measured("reductions") { base.sum(x, scale: scale, into: out) }
    }

    /// See ``TensorEngine``.
    public func multiply(_ left: Tensor, _ right: Tensor, into out: Tensor, adding: Bool) {
        measuredProduct([left], right) { base.multiply(left, right, into: out, adding: adding) }
    }

    /// See ``TensorEngine``.
    public func multiply(_ lefts: [Tensor], _ right: Tensor, into outs: [Tensor], adding: [Bool]) {
        measuredProduct(lefts, right) { base.multiply(lefts, right, into: outs, adding: adding) }
    }

    /// See ``TensorEngine``.
    public func multiplySum(_ lefts: [Tensor], _ rights: [Tensor], into out: Tensor) {
        measuredProduct(lefts, rights[0], isSum: true) { base.multiplySum(lefts, rights, into: out) }
    }

    /// See ``TensorEngine``.
    public func sumsProducts(of type: ElementType) -> Bool { base.sumsProducts(of: type) }

    /// Products of several left matrices, with one right one or, in a sum, each with its own.
    private func measuredProduct(_ lefts: [Tensor], _ right: Tensor, isSum: Bool = false, _ body: () -> Void) {
        func all(_ dimension: Int) -> Int { lefts.reduce(0) { $0 + $1.size(ofDimension: dimension) } }
        let m = isSum ? lefts[0].size(ofDimension: -2) : all(-2)
        let (k, n) = (isSum ? all(-1) : lefts[0].size(ofDimension: -1), right.size(ofDimension: -1))
        measured(
            "product \(m) x \(k) x \(n)",
            operations: 2 * Double(lefts.reduce(0) { $0 + $1.count }) * Double(n),
            type: right.elementType,
            body
        )
    }

    /// See ``TensorEngine``.
    public func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        let n = weights.reduce(0) { $0 + $1.shape[0] }
        measured(
            "projection \(x.shape[0]) x \(x.shape[1]) x \(n)",
            operations: 2 * Double(x.count) * Double(n),
            type: x.elementType
        ) { base.project(x, weights, into: outs) }
    }

    /// See ``TensorEngine``.
    public func rmsNorm(_ x: Tensor, weight: Tensor, _ form: RMSNormOptions, into out: Tensor, inverseRoot: Tensor) {
        measured("norms") { base.rmsNorm(x, weight: weight, form, into: out, inverseRoot: inverseRoot) }
    }

    /// See ``TensorEngine``.
    public func rmsNormBackward(
        _ x: Tensor,
        weight: Tensor,
        _ form: RMSNormOptions,
        inverseRoot: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?
    ) {
        measured("norms, backward") {
            base.rmsNormBackward(
                x,
                weight: weight,
                form,
                inverseRoot: inverseRoot,
                gradient: gradient,
                into: out,
                intoGain: intoGain
            )
        }
    }

    /// See ``TensorEngine``.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into out: Tensor, moments: Tensor)
    {
        measured("norms") {
            base.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: out, moments: moments)
        }
    }

    /// See ``TensorEngine``.
    public func layerNormBackward(
        _ x: Tensor,
        weight: Tensor,
        moments: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?,
        intoBias: Tensor?
    ) {
        measured("norms, backward") {
            base.layerNormBackward(
                x,
                weight: weight,
                moments: moments,
                gradient: gradient,
                into: out,
                intoGain: intoGain,
                intoBias: intoBias
            )
        }
    }

    /// See ``TensorEngine``.
    public func rotate(_ x: Tensor, cosines: Tensor, sines: Tensor, inverse: Bool, into out: Tensor) {
        measured("rotations") { base.rotate(x, cosines: cosines, sines: sines, inverse: inverse, into: out) }
    }

    /// See ``TensorEngine``.
    public func attention(_ operands: AttentionOperands, into out: Tensor, logSumExp: Tensor?) {
        measured(
            "attention",
            operations: Self.attentionOperations(operands),
            type: operands.query.elementType
        ) { base.attention(operands, into: out, logSumExp: logSumExp) }
    }

    /// See ``TensorEngine``.
    public func attentionBackward(
        _ operands: AttentionOperands,
        out: Tensor,
        logSumExp: Tensor,
        gradient: Tensor,
        into gradients: AttentionGradients
    ) {
        // Five products, two in the forward pass.
        measured(
            "attention, backward",
            operations: 2.5 * Self.attentionOperations(operands),
            type: operands.query.elementType
        ) { base.attentionBackward(operands, out: out, logSumExp: logSumExp, gradient: gradient, into: gradients) }
    }

    /// See ``TensorEngine``.
    public func updateOnlineSoftmax(_ softmax: OnlineSoftmax, with columns: LogitColumns) {
        measured("cross entropy") { base.updateOnlineSoftmax(softmax, with: columns) }
    }

    /// See ``TensorEngine``.
    public func softmaxGradient(_ columns: LogitColumns, logSums: Tensor, weights: Tensor, into out: Tensor) {
        measured("cross entropy, backward") {
            base.softmaxGradient(columns, logSums: logSums, weights: weights, into: out)
        }
    }

    /// See ``TensorEngine``.
    public func dropout(_ x: Tensor, probability: Float, stream: RandomStream, into out: Tensor) {
        measured("dropout") { base.dropout(x, probability: probability, stream: stream, into: out) }
    }

    /// See ``TensorEngine``.
    public func sumOfSquares(_ x: Tensor, into out: Tensor) {
        measured("norm of the gradient") { base.sumOfSquares(x, into: out) }
    }

    /// See ``TensorEngine``.
    public func adamW(
        _ values: Tensor,
        first: Tensor,
        second: Tensor,
        gradient: Tensor,
        model: Tensor?,
        _ step: AdamWStep
    ) {
        measured("optimizer") {
            base.adamW(values, first: first, second: second, gradient: gradient, model: model, step)
        }
    }

    /// See ``TensorEngine``.
    public func sgd(
        _ values: Tensor,
        velocity: Tensor,
        gradient: Tensor,
        model: Tensor?,
        _ step: SGDStep
    ) {
        measured("optimizer") {
            base.sgd(values, velocity: velocity, gradient: gradient, model: model, step)
        }
    }

    /// See ``TensorEngine``.
    public func gatherRows(_ table: Tensor, _ rows: Tensor, into out: Tensor) {
        measured("rows of tables") { base.gatherRows(table, rows, into: out) }
    }

    /// See ``TensorEngine``.
    public func scatterAddRows(_ x: Tensor, _ rows: Tensor, into table: Tensor) {
        measured("rows of tables") { base.scatterAddRows(x, rows, into: table) }
    }
}
