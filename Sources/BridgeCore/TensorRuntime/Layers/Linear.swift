/// A linear layer, `x W^T + b`.
///
/// If the columns of W are sharded across the ranks of a tensor-parallel group, each rank computes a part of the sum,
/// and the layer adds the parts up.
public final class Linear: @unchecked Sendable {
    /// [out, in].
    public let weight: Parameter
    /// [out].
    public let bias: Parameter?
    /// The ranks over which the input size is sharded; nil when every rank has all of it.
    public let inputGroup: (any ProcessGroup)?
    /// The adapter that is trained instead of the weight; nil for the layer alone.
    public var adapter: LowRankAdapter?

    /// A layer.
    public init(weight: Parameter, bias: Parameter? = nil, inputGroup: (any ProcessGroup)? = nil) {
        self.weight = weight
        self.bias = bias
        self.inputGroup = inputGroup
        weight.linear = self
    }

    /// The layer's parameters, without those of its adapter.
    public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// Applies the layer to `x` [..., in].
    ///
    /// - Returns: [..., out] as `type`, or as the type of `x`.
    /// - Throws: What the group throws.
    public func callAsFunction(_ x: Tensor, as type: ElementType? = nil) throws -> Tensor {
        var out = x.projected([weight.tensor], outputType: type)[0]
        if let adapter { out = adapter.applied(to: out, adapter.projectedDown(x), weight: weight.tensor) }
        if let inputGroup { out = try out.summed(over: inputGroup) }
        return bias.map { out + $0.tensor.cast(to: out.elementType) } ?? out
    }

    /// Applies several layers to the same `x`, reading all their weights in one pass.
    public static func applyAll(_ x: Tensor, _ layers: [Linear]) -> [Tensor] {
        var projectedDown: [ObjectIdentifier: LowRankAdapter.Projection] = [:]
        return zip(layers, x.projected(layers.map(\.weight.tensor))).map { layer, out in
            var out = out
            if let adapter = layer.adapter {
                let key = ObjectIdentifier(adapter.input)
                let low = projectedDown[key] ?? adapter.projectedDown(x)
                projectedDown[key] = low
                out = adapter.applied(to: out, low, weight: layer.weight.tensor)
            }
            return layer.bias.map { out + $0.tensor } ?? out
        }
    }
}

extension Tensor {
    /// The sum of the parts of the ranks of a group; its gradient is the gradient of each rank.
    func summed(over group: any ProcessGroup) throws -> Tensor {
        guard group.size > 1 else { return self }
        let plain = detached.contiguous()
        try group.allReduceSum(plain)
        return plain.tracked([self]) { [$0] }
    }
}
