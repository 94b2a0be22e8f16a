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
        let matrices = weights.map(\.detached.withUnitStride)
        if ForwardContext.current.multipliesRowsAlone {
            engine.project(eachRowOf: rows, matrices, into: outs)
        } else {
            engine.project(rows, matrices, into: outs)
        }
        let (leading, type) = (Array(shape.dropLast()), elementType)
        let (input, sum) = sharingGradient(count: weights.count)
        let kept = SavedTensor(self) { $0.reshaped([-1, width]).contiguous() }
        return zip(weights, outs).map { weight, out in
            let plain = weight.detached
            return out.reshaped(leading + [weight.shape[0]]).tracked([input, weight]) { gradient in
                let gradient = gradient.cast(to: type).reshaped([-1, plain.shape[0]]).contiguous()
                return [
                    sum.add(gradient, plain.withUnitStride)?.reshaped(leading + [width]),
                    weight.gradientOfWeight(gradient, kept.tensor),
                ]
            }
        }
    }

    /// A tensor that several products use instead of this one, so that each adds its part to one gradient.
    private func sharingGradient(count: Int) -> (Tensor, SharedGradient) {
        let sum = SharedGradient(isTracked: isTracked, isShared: count > 1)
        guard count > 1 else { return (self, sum) }
        let type = elementType
        // A step of its own, which comes after all products in the backward pass and finds the finished sum.
        return (detached.tracked([self]) { [$0.cast(to: type)] }, sum)
    }

    /// The gradient of a weight [n, k] whose rows' gradient is [m, n] for rows [m, k]; nil when it went into a sum.
    private func gradientOfWeight(_ gradient: Tensor, _ rows: @autoclosure () -> Tensor) -> Tensor? {
        guard isTracked else { return nil }
        if let accumulator {
            accumulator.addProduct(gradient.transposed(), rows())
            return nil
        }
        return gradient.transposed().matrixProduct(rows(), outputType: .float32)
    }

    /// `self + x W^T`, for `self` [..., n] without another owner, `x` [..., r] and a weight [n, r].
    ///
    /// The sum is made in the memory of `self`.
    public func addingProjection(of x: Tensor, _ weight: Tensor) -> Tensor {
        let (width, height) = (x.size(ofDimension: -1), size(ofDimension: -1))
        guard weight.shape == [height, width], x.elementType == weight.elementType,
            x.shape.dropLast() == shape.dropLast(), isContiguous
        else { Tensor.fail("addingProjection", "the shapes or types do not fit", self, x, weight) }
        let rows = x.detached.reshaped([-1, width]).contiguous()
        let plain = weight.detached
        let (matrix, sums) = (plain.transposed().withUnitStride, detached.reshaped([-1, height]))
        let step = ForwardContext.current.multipliesRowsAlone ? 1 : max(rows.shape[0], 1)
        for first in stride(from: 0, to: rows.shape[0], by: step) {
            let range = first..<first + step
            engine.multiply(rows.narrowed(0, to: range), matrix, into: sums.narrowed(0, to: range), adding: true)
        }
        return detached.tracked([self, x, weight]) { whole in
            let gradient = whole.cast(to: rows.elementType).reshaped([-1, height]).contiguous()
            return [
                whole,
                x.isTracked ? gradient.matrixProduct(plain.withUnitStride).reshaped(x.shape) : nil,
                weight.gradientOfWeight(gradient, rows),
            ]
        }
    }

    /// `self W^T + bias`.
    public func projected(_ weight: Tensor, bias: Tensor? = nil, outputType: ElementType? = nil) -> Tensor {
        let out = projected([weight], outputType: outputType)[0]
        return bias.map { out + $0.cast(to: out.elementType) } ?? out
    }
}

/// The gradient of what several products share: each adds its part to one sum.
private final class SharedGradient {
    private let isTracked, isShared: Bool
    private var sum: Tensor?

    init(isTracked: Bool, isShared: Bool) { (self.isTracked, self.isShared) = (isTracked, isShared) }

    /// Adds `gradient` [m, n] `weight` [n, k].
    ///
    /// - Returns: The sum, from the first call; the others add to it in place.
    func add(_ gradient: Tensor, _ weight: Tensor) -> Tensor? {
        guard isTracked else { return nil }
        guard isShared else { return gradient.matrixProduct(weight) }
        if let sum {
            sum.engine.multiply(gradient, weight, into: sum, adding: true)
            return nil
        }
        let sum = gradient.matrixProduct(weight, outputType: .float32)
        self.sum = sum
        return sum
    }
}
