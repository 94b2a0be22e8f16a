extension Tensor {
    /// The matrix product of [..., m, k] and [..., k, n] with equal leading dimensions.
    public func matrixProduct(_ right: Tensor, outputType: ElementType? = nil) -> Tensor {
        guard rank >= 2, right.rank == rank, shape.dropLast(2) == right.shape.dropLast(2),
            shape[rank - 1] == right.shape[rank - 2], elementType == right.elementType
        else { Tensor.fail("matrixProduct", "the shapes or types do not fit", self, right) }
        let out = makeTensor(shape.dropLast() + [right.shape[rank - 1]], outputType)
        let (a, b) = (detached.withUnitStride, right.detached.withUnitStride)
        engine.multiply(a, b, into: out, adding: false)
        return out.tracked([self, right]) { gradient in
            let gradient = gradient.cast(to: a.elementType)
            return [
                self.isTracked ? gradient.matrixProduct(b.transposed()) : nil,
                right.isTracked ? a.transposed().matrixProduct(gradient) : nil,
            ]
        }
    }

    /// This matrix, or a copy of it when it has unit stride along neither of its two last dimensions.
    private var withUnitStride: Tensor {
        let fits = strides[rank - 1] == 1 || strides[rank - 2] == 1
        return fits ? self : contiguous()
    }

    /// `self W^T` for `self` [..., k] and each weight [n, k]: what a linear layer computes, for several at once.
    ///
    /// - Parameters:
    ///   - weights: The matrices.
    ///   - outputType: The type of the results; nil for that of `self`.
    /// - Returns: [..., n] for each weight. The gradients of weights are float32, whatever their type.
    public func projected(_ weights: [Tensor], outputType: ElementType? = nil) -> [Tensor] {
        let width = size(ofDimension: -1)
        for weight in weights where weight.rank != 2 || weight.shape[1] != width || weight.elementType != elementType {
            Tensor.fail("projected", "the shapes or types do not fit", self, weight)
        }
        let rows = detached.reshaped([-1, width]).contiguous()
        let outs = weights.map { makeTensor([rows.shape[0], $0.shape[0]], outputType) }
        engine.project(rows, weights.map(\.detached.withUnitStride), into: outs)
        let leading = Array(shape.dropLast())
        return zip(weights, outs).map { weight, out in
            let plain = weight.detached
            return out.reshaped(leading + [weight.shape[0]]).tracked([self, weight]) { gradient in
                let gradient = gradient.cast(to: rows.elementType).reshaped([-1, plain.shape[0]]).contiguous()
                return [
                    self.isTracked
                        ? gradient.matrixProduct(plain.withUnitStride).reshaped(leading + [width]) : nil,
                    weight.isTracked ? gradient.transposed().matrixProduct(rows, outputType: .float32) : nil,
                ]
            }
        }
    }

    /// `self W^T + bias`.
    public func projected(_ weight: Tensor, bias: Tensor? = nil, outputType: ElementType? = nil) -> Tensor {
        let out = projected([weight], outputType: outputType)[0]
        return bias.map { out + $0.cast(to: out.elementType) } ?? out
    }
}
