/// A linear layer, `x W^T + b`.
///
/// Where the ranks of a tensor-parallel group each hold some of the columns of W, each computes a part of the sum, and
/// the layer adds the parts up.
public final class Linear: Sendable {
    /// [out, in].
    public let weight: Parameter
    /// [out].
    public let bias: Parameter?
    /// The ranks over which the input width is divided; nil when every rank has all of it.
    public let inputGroup: (any ProcessGroup)?

    /// A layer.
    public init(weight: Parameter, bias: Parameter? = nil, inputGroup: (any ProcessGroup)? = nil) {
        self.weight = weight
        self.bias = bias
        self.inputGroup = inputGroup
    }

    /// The layer's parameters.
    public var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }

    /// Applies the layer to `x` [..., in].
    ///
    /// - Returns: [..., out] as `type`, or as the type of `x`.
    /// - Throws: What the group throws.
    public func callAsFunction(_ x: Tensor, as type: ElementType? = nil) throws -> Tensor {
        var out = x.projected([weight.tensor], outputType: type)[0]
        if let inputGroup { out = try out.summed(over: inputGroup) }
        return bias.map { out + $0.tensor.cast(to: out.elementType) } ?? out
    }

    /// Applies several layers to the same `x`, reading all their weights in one pass.
    public static func together(_ x: Tensor, _ layers: [Linear]) -> [Tensor] {
        zip(layers, x.projected(layers.map(\.weight.tensor))).map { layer, out in
            layer.bias.map { out + $0.tensor } ?? out
        }
    }
}

extension Tensor {
    /// The sum of the parts that the ranks of a group hold; its gradient is everybody's gradient.
    func summed(over group: any ProcessGroup) throws -> Tensor {
        guard group.size > 1 else { return self }
        let plain = detached.contiguous()
        try group.allReduceSum(plain)
        return plain.tracked([self]) { [$0] }
    }
}
