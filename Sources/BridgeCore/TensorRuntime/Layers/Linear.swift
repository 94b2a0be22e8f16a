/// A linear layer, `x W^T + b`.
///
/// If the columns of W are sharded across the ranks of a tensor-parallel group, each rank computes a part of the sum,
/// and the model adds the parts up.
public final class Linear: @unchecked Sendable {
    /// [out, in].
    public let weight: Parameter
    /// [out].
    public let bias: Parameter?
    /// How the input is divided over ranks.
    public let input: Input

    /// How the input of a layer is divided over the ranks of a tensor-parallel group.
    public enum Input: Sendable {
        /// There is one rank, or all ranks compute the same.
        case whole
        /// Every rank has all of it and some of the rows of W: `ColumnParallelLinear`.
        case copied(any ProcessGroup)
        /// Each rank has some of its elements and some of the columns of W: `RowParallelLinear`.
        case divided(any ProcessGroup)
    }

    /// The adapter that is trained instead of the weight; nil for the layer alone.
    public var adapter: LowRankAdapter?

    /// The adapter, where layers apply theirs; see ``withoutAdapters(_:)``.
    var appliedAdapter: LowRankAdapter? { ForwardContext.current.appliesAdapters ? adapter : nil }

    /// A layer.
    public init(weight: Parameter, bias: Parameter? = nil, input: Input = .whole) {
        self.weight = weight
        self.bias = bias
        self.input = input
        weight.linear = self
    }

    /// The layer's parameters, without those of its adapter.
    public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// Applies the layer to `x` [..., in].
    ///
    /// - Returns: [..., out] as `type`, or as the type of `x`; this rank's part of the sum if the input is divided.
    public func callAsFunction(_ x: Tensor, as type: ElementType? = nil) -> Tensor {
        let terms = Self.terms(of: [self], for: x)
        var out = x.projected([weight.tensor], terms ?? [], outputType: type)[0]
        if terms == nil, let adapter = appliedAdapter {
            out = adapter.applied(to: out, adapter.projectedDown(x), weight: weight.tensor)
        }
        return bias.map { out + $0.tensor.cast(to: out.elementType) } ?? out
    }

    /// Applies several layers to the same `x`, reading all their weights in one pass.
    public static func applyAll(_ x: Tensor, _ layers: [Linear]) -> [Tensor] {
        var projectedDown: [ObjectIdentifier: LowRankAdapter.Projection] = [:]
        let terms = terms(of: layers, for: x)
        return zip(layers, x.projected(layers.map(\.weight.tensor), terms ?? [])).map { layer, out in
            var out = out
            if terms == nil, let adapter = layer.appliedAdapter {
                let key = ObjectIdentifier(adapter.input)
                let low = projectedDown[key] ?? adapter.projectedDown(x)
                projectedDown[key] = low
                out = adapter.applied(to: out, low, weight: layer.weight.tensor)
            }
            return layer.bias.map { out + $0.tensor } ?? out
        }
    }

    /// The most rows that are multiplied with the weights as they are in memory; sums of products copy them first.
    private static let fewRows = 64

    /// The adapters as terms of the layers' products, for rows whose products one sum makes; nil without any.
    private static func terms(of layers: [Linear], for x: Tensor) -> [LowRankTerm?]? {
        let adapters = layers.map(\.appliedAdapter)
        guard adapters.contains(where: { $0 != nil }), x.engine.sumsProducts(of: x.elementType),
            x.count > fewRows * x.size(ofDimension: -1), !ForwardContext.current.multipliesRowsAlone,
            layers.allSatisfy({ $0.weight.tensor.quantized == nil })
        else { return nil }
        let terms = adapters.map { $0?.term }
        return zip(adapters, terms).allSatisfy({ ($0 == nil) == ($1 == nil) }) ? terms : nil
    }
}
