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
    var withUnitStride: Tensor {
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
        projected(weights, [], outputType: outputType)
    }

    /// `self W^T + scale (self A^T) B^T` for each weight W and its term, in one sum of products.
    ///
    /// - Parameters:
    ///   - weights: The matrices [n, k].
    ///   - terms: That of each weight, nil for a weight without one; empty for none at all.
    ///   - outputType: The type of the results; nil for that of `self`.
    /// - Returns: [..., n] for each weight.
    func projected(_ weights: [Tensor], _ terms: [LowRankTerm?], outputType: ElementType? = nil) -> [Tensor] {
        let width = size(ofDimension: -1)
        for weight in weights where weight.rank != 2 || weight.shape[1] != width || weight.elementType != elementType {
            Tensor.fail("projected", "the shapes or types do not fit", self, weight)
        }
        let rows = detached.reshaped([-1, width]).contiguous()
        let outs = weights.map { makeTensor([rows.shape[0], $0.shape[0]], outputType) }
        let matrices = weights.map(\.detached.withUnitStride)
        let low = LowRankProducts(of: rows, terms)
        if !terms.isEmpty {
            for (index, out) in outs.enumerated() { low.multiply(rows, matrices[index], at: index, into: out) }
        } else if ForwardContext.current.multipliesRowsAlone {
            engine.project(eachRowOf: rows, matrices, into: outs)
        } else {
            engine.project(rows, matrices, into: outs)
        }
        let leading = Array(shape.dropLast())
        let kept = SavedTensor(self) { $0.reshaped([-1, width]).contiguous() }
        let shaped = zip(weights, outs).map { $1.reshaped(leading + [$0.shape[0]]) }
        let gradients = ProjectionGradients(
            weights,
            low,
            of: kept,
            inputType: isTracked ? elementType : nil,
            leading: leading
        )
        let inputs = [self] + weights + low.parameters
        // With one weight its step does it all. Of several a step that comes after theirs in the backward pass finds all
        // gradients: the products share what is copied, and the sum of those for `self` needs no memory in between.
        guard weights.count > 1 else {
            return [
                shaped[0].tracked(inputs) { gradient in
                    _ = gradients.set(gradient, at: 0)
                    return gradients.finish()
                }
            ]
        }
        let last = detached.tracked(inputs) { _ in gradients.finish() }
        return shaped.enumerated().map { index, out in
            out.tracked([last]) { [gradients.set($0, at: index)] }
        }
    }

    /// The gradient of a weight [n, k] whose rows' gradient is [m, n] for rows [m, k]; nil when it went into a sum.
    func gradientOfWeight(_ gradient: Tensor, _ rows: Tensor) -> Tensor? {
        guard isTracked else { return nil }
        if let accumulator {
            accumulator.addProduct(gradient.transposed(), rows)
            return nil
        }
        return gradient.transposed().matrixProduct(rows, outputType: .float32)
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
