/// Other shapes over the same memory. Gradients flow through all of them.
extension Tensor {
    private func view(_ shape: [Int], _ strides: [Int], offset: Int = 0, _ backward: @escaping (Tensor) -> Tensor)
        -> Tensor
    {
        let node = node.map { GradientNode([$0]) { [backward($0)] } }
        return Tensor(storage, elementType, shape, strides, self.offset + offset, node: node)
    }

    private func dimension(_ index: Int) -> Int { index < 0 ? rank + index : index }

    /// The same elements in row-major order without gaps; a copy only where they are not.
    public func contiguous() -> Tensor {
        guard !isContiguous else { return self }
        let copy = makeTensor(shape)
        engine.copy(detached, into: copy)
        return copy.tracked([self]) { [$0] }
    }

    /// The same elements under another shape; one size may be -1 and follows from the others.
    public func reshaped(_ shape: [Int]) -> Tensor {
        var shape = shape
        if let free = shape.firstIndex(of: -1) {
            let known = -shape.reduce(1, *)
            shape[free] = known == 0 ? 0 : count / known
        }
        guard shape.reduce(1, *) == count else {
            Tensor.fail("reshaped", "\(shape) has another number of elements", self)
        }
        if shape == self.shape { return self }
        let old = self.shape
        if let strides = strides(for: shape) { return view(shape, strides) { $0.reshaped(old) } }
        let plain = contiguous()
        return plain.view(shape, Self.rowMajorStrides(shape)) { $0.reshaped(old) }
    }

    /// Strides under which another shape shows the same elements, where no copy is needed.
    private func strides(for target: [Int]) -> [Int]? {
        if isContiguous { return Self.rowMajorStrides(target) }
        // Contiguous runs of dimensions can be divided differently; each has to be consumed completely.
        var runs: [(count: Int, stride: Int)] = []
        for index in shape.indices where shape[index] != 1 {
            if let last = runs.last, last.stride == strides[index] * shape[index] {
                runs[runs.count - 1] = (last.count * shape[index], strides[index])
            } else {
                runs.append((shape[index], strides[index]))
            }
        }
        var result = [Int](repeating: 1, count: target.count)
        var run = runs.count - 1
        var (left, step) = run >= 0 ? runs[run] : (1, 1)
        for index in target.indices.reversed() {
            if target[index] == 1 { continue }
            if left == 1 {
                run -= 1
                guard run >= 0 else { return nil }
                (left, step) = runs[run]
            }
            guard left % target[index] == 0 else { return nil }
            result[index] = step
            step *= target[index]
            left /= target[index]
        }
        return left == 1 && run <= 0 ? result : nil
    }

    /// The dimensions in another order: dimension i of the result is dimension `order[i]` of this.
    public func permuted(_ order: [Int]) -> Tensor {
        var inverse = order
        for (index, source) in order.enumerated() { inverse[source] = index }
        return view(order.map { shape[$0] }, order.map { strides[$0] }) { $0.permuted(inverse) }
    }

    /// Two dimensions exchanged; by default the last two.
    public func transposed(_ first: Int = -2, _ second: Int = -1) -> Tensor {
        var order = Array(shape.indices)
        order.swapAt(dimension(first), dimension(second))
        return permuted(order)
    }

    /// A part of one dimension.
    public func narrowed(_ index: Int, to range: Range<Int>) -> Tensor {
        let index = dimension(index)
        guard range.lowerBound >= 0, range.upperBound <= shape[index] else {
            Tensor.fail("narrowed", "\(range) is not in dimension \(index)", self)
        }
        var part = shape
        part[index] = range.count
        let whole = shape
        return view(part, strides, offset: range.lowerBound * strides[index]) { gradient in
            let result = Tensor.zeros(whole, gradient.elementType, on: gradient.engine)
            gradient.engine.copy(gradient, into: result.narrowed(index, to: range))
            return result
        }
    }

    /// One index of a dimension, which is removed.
    public func at(_ position: Int, ofDimension index: Int = 0) -> Tensor {
        let index = dimension(index)
        var rest = shape
        rest.remove(at: index)
        return narrowed(index, to: position..<position + 1).reshaped(rest)
    }

    /// The bytes of a tensor without gaps, as uint8 in one dimension; gradients stop here.
    package var bytes: Tensor {
        guard isContiguous else { Tensor.fail("bytes", "a tensor without gaps was expected", self) }
        return Tensor(storage: storage, elementType: .uint8, shape: [byteCount], offset: offset * elementType.byteCount)
    }

    /// Dimensions of size 1 expanded to a shape, without a copy; missing ones are added in front.
    public func expanded(to target: [Int]) -> Tensor {
        if target == shape { return self }
        let added = target.count - rank
        guard added >= 0 else { Tensor.fail("expanded", "\(target) has fewer dimensions", self) }
        let strides = target.indices.map { index -> Int in
            guard index >= added else { return 0 }
            let size = shape[index - added]
            guard size == target[index] || size == 1 else { Tensor.fail("expanded", "\(target) does not fit", self) }
            return size == target[index] ? self.strides[index - added] : 0
        }
        let old = shape
        return view(target, strides) { $0.summed(to: old) }
    }

    /// The concatenation of tensors along a dimension.
    public static func concatenated(_ parts: [Tensor], dimension index: Int) -> Tensor {
        guard parts.count != 1, let first = parts.first else { return parts[0] }
        let index = first.dimension(index)
        var shape = first.shape
        shape[index] = parts.reduce(0) { $0 + $1.shape[index] }
        let result = first.makeTensor(shape)
        var start = 0
        var ranges: [Range<Int>] = []
        for part in parts {
            let range = start..<start + part.shape[index]
            first.engine.copy(part.detached, into: result.narrowed(index, to: range))
            ranges.append(range)
            start = range.upperBound
        }
        return result.tracked(parts) { gradient in ranges.map { gradient.narrowed(index, to: $0) } }
    }
}
