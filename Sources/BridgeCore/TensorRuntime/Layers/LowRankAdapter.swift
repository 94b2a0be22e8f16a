/// The first half of a low-rank adapter: dropout, then the projection of the input to the rank.
///
/// Layers whose matrices were one, such as query, key and value, may share it.
public final class LoRADownProjection: Sendable {
    /// A, [r, in].
    public let weight: Parameter
    /// The A of the start, [r, in]; see ``LowRankAdapter/start``.
    public let start: Parameter?
    /// The probability with which an element of the input is dropped.
    public let dropout: Float
    /// An input.
    public init(weight: Parameter, start: Parameter? = nil, dropout: Float = 0) {
        self.weight = weight
        self.start = start
        self.dropout = dropout
    }

    /// The columns of the whole input that this rank has, and their number in all; nil for all of them.
    private var columns: (part: Range<Int>, whole: Int)? {
        weight.shard.flatMap { $0.columns.count == $0.shape[1] ? nil : ($0.columns, $0.shape[1]) }
    }

    /// Whether elements of the input are dropped in this forward pass.
    var drops: Bool { dropout > 0 && ForwardContext.current.dropout != nil }

    /// The input after dropout.
    func dropped(_ x: Tensor) -> Tensor {
        guard dropout > 0, let stream = ForwardContext.current.dropout else { return x }
        let own = stream.named(weight.name)
        guard x.rank == 3, x.shape[0] > 1 else { return dropped(x, own) }
        // Each sample has a stream of its own, so that the length of a batch with its padding does not matter.
        let rows = (0..<x.shape[0]).map { row in
            dropped(x.narrowed(0, to: row..<row + 1), row == 0 ? own : own.named("row \(row)"))
        }
        return Tensor.concatenated(rows, dimension: 0)
    }

    /// One sample after dropout: what is dropped depends on the position in the whole input, not on the rank's part of it.
    private func dropped(_ x: Tensor, _ stream: RandomStream) -> Tensor {
        let tokens = ForwardContext.current.tokens
        guard tokens != nil || columns != nil else { return x.droppingOut(dropout, stream) }
        let width = columns?.whole ?? x.shape[x.rank - 1]
        let height = tokens?.whole ?? x.count / x.shape[x.rank - 1]
        let ones = Tensor(uninitialized: [height, width], .float32, on: x.engine)
        x.engine.fill(ones, with: 1)
        var mask = ones.droppingOut(dropout, stream)
        if let tokens { mask = mask.rows(tokens.part) }
        if let columns { mask = mask.narrowed(1, to: columns.part) }
        return (x.cast(to: .float32) * mask.contiguous().reshaped(x.shape)).cast(to: x.elementType)
    }
}

/// An adapter of a linear layer that is trained instead of its weight.
///
/// LoRA (Hu et al., arXiv 2106.09685): `x W^T + scale B A x`. With a magnitude it is DoRA (Liu et al., arXiv
/// 2402.09353): that sum, with each row of the merged weight normalised and scaled by its magnitude. The norm is a
/// constant in the backward pass, as in the paper's section 4.3.
public final class LowRankAdapter: Sendable {
    /// A.
    public let input: LoRADownProjection
    /// B, [out, r].
    public let output: Parameter
    /// The B of the start, [out, r], with the opposite sign; nil for an adapter that starts at zero.
    ///
    /// The start is what A and B were before training where they were taken from W, as with PiSSA (Meng et al.,
    /// arXiv 2404.02948): what the layer computes is that of `W - scale B0 A0` with the adapter, and W remains as it is.
    public let start: Parameter?
    /// DoRA's magnitude, [out]; nil for LoRA.
    public let magnitude: Parameter?
    /// The scale of the product; in double precision, so that alpha follows from it and the rank.
    public let scale: Double
    /// The ranks over which the columns of the weight are divided; nil when this rank has all of them.
    private let columnGroup: (any ProcessGroup)?

    /// An adapter.
    public init(
        input: LoRADownProjection,
        output: Parameter,
        start: Parameter? = nil,
        magnitude: Parameter? = nil,
        scale: Double,
        columnGroup: (any ProcessGroup)? = nil
    ) {
        self.columnGroup = columnGroup
        self.input = input
        self.output = output
        self.start = start
        self.magnitude = magnitude
        self.scale = scale
    }

    /// The rank: how many rows A has.
    public var rank: Int { input.weight.tensor.shape[0] }

    /// The parameters that are trained.
    public var trainedParameters: [Parameter] { [input.weight, output] + (magnitude.map { [$0] } ?? []) }

    /// The parameters, those of the start last, which are never trained.
    public var parameters: [Parameter] { trainedParameters + [input.start, start].compactMap(\.self) }

    /// A and B of an adapter without a start that computes the same: those of the start are more rows and columns.
    public var matrices: (down: Tensor, up: Tensor) {
        guard let first = input.start, let start else { return (input.weight.tensor, output.tensor) }
        return (
            .concatenated([input.weight.tensor, first.tensor], dimension: 0),
            .concatenated([output.tensor, start.tensor], dimension: 1)
        )
    }

    /// The adapter as a term of the layer's own product; nil for one that is more than that, in this forward pass.
    var term: LowRankTerm? {
        guard !input.drops, input.start == nil, start == nil, magnitude == nil else { return nil }
        return LowRankTerm(down: input.weight.tensor, up: output.tensor, scale: Float(scale))
    }

    /// The common input of the adapters of several layers.
    struct Projection {
        var dropped: Tensor
        /// The products with A and, if there is one, with the A of the start.
        var product: Tensor
    }

    func projectedDown(_ x: Tensor) -> Projection {
        let dropped = input.dropped(x)
        guard let start = input.start else {
            return Projection(dropped: dropped, product: dropped.projected([input.weight.tensor])[0])
        }
        guard input.drops else { return Projection(dropped: dropped, product: x.projected([matrices.down])[0]) }
        // The start belongs to the layer, which uses the whole input.
        let products = [dropped.projected([input.weight.tensor])[0], x.projected([start.tensor])[0]]
        return Projection(dropped: dropped, product: .concatenated(products, dimension: -1))
    }

    /// The layer's output with the adapter's.
    ///
    /// - Parameters:
    ///   - out: `x W^T`, which has no other owner.
    ///   - low: The result of ``projectedDown(_:)``.
    ///   - weight: W.
    ///   - factor: What ``factor(for:)`` gives for W, where it is known already.
    /// - Returns: The shape and type of `out`.
    func applied(to out: Tensor, _ low: Projection, weight: Tensor, factor: Tensor? = nil) -> Tensor {
        let product = low.product * Float(scale)
        guard let factor = (factor ?? self.factor(for: weight))?.cast(to: out.elementType) else {
            return out.addingProjection(of: product, matrices.up)
        }
        guard input.drops else {
            return out.addingProjection(of: product, matrices.up) * factor
        }
        // Only the adapter uses the input after dropout: the layer itself uses the whole input.
        var (out, plain) = (out, low.dropped.projected([weight], outputType: out.elementType)[0])
        var own = product
        if let first = input.start, let start {
            let dimension = product.rank - 1
            own = product.narrowed(dimension, to: 0..<rank).contiguous()
            let first = low.dropped.projected([first.tensor])[0] * Float(scale)
            plain = plain.addingProjection(of: first, start.tensor)
            let rest = product.narrowed(dimension, to: rank..<product.shape[dimension]).contiguous()
            out = out.addingProjection(of: rest, start.tensor)
        }
        let added = own.projected([output.tensor], outputType: out.elementType)[0]
        return out + (plain + added) * factor - plain
    }

    /// DoRA's factor of each output, float32 [out]; nil for LoRA.
    func factor(for weight: Tensor) -> Tensor? {
        magnitude.map { $0.tensor.cast(to: .float32) / rowLengths(of: weight) }
    }

    /// The lengths of the rows of `W + scale B A`, float32 [out].
    public func rowLengths(of weight: Tensor) -> Tensor {
        merged(into: weight, scaled: false).rowLengths(over: columnGroup)
    }

    /// The weight with the adapter in it, float32 [out, in].
    ///
    /// - Parameters:
    ///   - weight: W.
    ///   - scaled: Whether DoRA's magnitude is in it too.
    /// - Returns: The sum.
    public func merged(into weight: Tensor, scaled: Bool = true) -> Tensor {
        let (down, up) = matrices
        let (a, b) = (down.detached, up.detached)
        let product = b.cast(to: .float32).matrixProduct(a.cast(to: .float32))
        let whole = weight.detached.dequantized.cast(to: .float32) + product * Float(scale)
        guard scaled, let magnitude else { return whole }
        let factor = magnitude.tensor.detached.cast(to: .float32) / whole.rowLengths(over: columnGroup)
        return whole * factor.reshaped([-1, 1])
    }
}

extension Tensor {
    /// The Euclidean lengths of the rows of a matrix, float32 [rows] whatever its type.
    public var rowLengths: Tensor { rowLengths(over: nil) }

    /// The same for a matrix whose columns are divided over ranks; its gradient is not defined then.
    package func rowLengths(over group: (any ProcessGroup)?) -> Tensor {
        let exact = cast(to: .float32)
        let squares = (exact * exact).sum(over: [1])
        // A group that failed throws at its next use.
        if let group, group.size > 1 { try? group.allReduceSum(squares) }
        return squares.applying(.squareRoot).reshaped([shape[0]])
    }
}
