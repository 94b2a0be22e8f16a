import CTensorKernels

extension CPUEngine {
    /// Up to this many rows are multiplied while the weights are streamed from memory; more are multiplied by a
    /// library.
    private static let fewRows = 4
    /// The same for weights that are quantized: to make floating-point numbers of them takes as long as some rows.
    private static let fewQuantizedRows = 8
    /// The rows of weights that a thread takes together; a multiple of those that a kernel does.
    static let streamedRows = 16

    /// See ``TensorEngine/multiply(_:_:into:adding:)``.
    public func multiply(_ left: Tensor, _ right: Tensor, into out: Tensor, adding: Bool) {
        let rank = left.rank
        let k = left.shape[rank - 1]
        guard out.count > 0 else { return }
        guard k > 0 else { return adding ? () : fill(out, with: 0) }
        if right.quantized != nil, rank == 2 {
            if let view = QuantizedView(right) { return multiply(left, columnsOf: view, into: out, adding: adding) }
            if let view = QuantizedView(right.transposed()) {
                return multiply(left, rowsOf: view, into: out, adding: adding)
            }
        }
        guard let library = libraries.first(where: { $0.supports(inputs: left.elementType, output: out.elementType) })
        else { return multiplyByConverting(left, right, into: out, adding: adding) }
        let matrices = Batches(left, right, out)
        for matrix in 0..<matrices.count {
            library.multiply(matrices.product(left, right, out, matrix, adding), on: pool)
        }
    }

    /// See ``TensorEngine``.
    public func multiply(_ lefts: [Tensor], _ right: Tensor, into outs: [Tensor], adding: [Bool]) {
        let products = zip(lefts, outs).enumerated().map { plainProduct($1.0, right, $1.1, adding: adding[$0]) }
        if let library = library(for: products) {
            return library.multiply(products.compactMap(\.self), on: pool)
        }
        for (index, left) in lefts.enumerated() { multiply(left, right, into: outs[index], adding: adding[index]) }
    }

    /// See ``TensorEngine``.
    public func multiplySum(_ lefts: [Tensor], _ rights: [Tensor], into out: Tensor) {
        let products = zip(lefts, rights).map { plainProduct($0, $1, out, adding: false) }
        if let library = library(for: products) as? any SummingLibrary {
            return library.multiplySum(products.compactMap(\.self), on: pool)
        }
        // Each product is added to the sum of those before.
        let isExact = lefts.count == 1 || out.elementType == .float32
        let sum = isExact ? out : out.makeTensor(out.shape, .float32)
        for (index, (left, right)) in zip(lefts, rights).enumerated() {
            multiply(left, right, into: sum, adding: index > 0)
        }
        if !isExact { copy(sum, into: out) }
    }

    /// See ``TensorEngine``.
    public func sumsProducts(of type: ElementType) -> Bool {
        libraries.first { $0.supports(inputs: type, output: type) } is any SummingLibrary
    }

    /// A product of two matrices of floating-point numbers; nil for another one, or an empty one.
    private func plainProduct(_ left: Tensor, _ right: Tensor, _ out: Tensor, adding: Bool) -> MatrixProduct? {
        guard left.rank == 2, right.rank == 2, right.quantized == nil, out.count > 0, left.shape[1] > 0 else {
            return nil
        }
        return Batches(left, right, out).product(left, right, out, 0, adding)
    }

    /// The library of products that all have the same types; nil when there is none, or a product is missing.
    private func library(for products: [MatrixProduct?]) -> (any MatrixLibrary)? {
        guard products.count > 1, products.allSatisfy({ $0 != nil }), let first = products[0],
            products.allSatisfy({ $0?.inputType == first.inputType && $0?.outputType == first.outputType })
        else { return nil }
        return libraries.first { $0.supports(inputs: first.inputType, output: first.outputType) }
    }

    /// Products of types that no library takes, in float32.
    private func multiplyByConverting(_ left: Tensor, _ right: Tensor, into out: Tensor, adding: Bool) {
        func exact(_ tensor: Tensor) -> Tensor {
            guard tensor.elementType != .float32 else { return tensor }
            let converted = Tensor(uninitialized: tensor.shape, .float32, on: self)
            copy(tensor, into: converted)
            return converted
        }
        guard libraries.contains(where: { $0.supports(inputs: .float32, output: .float32) }) else {
            Tensor.fail("multiply", "no library multiplies these types", left, right, out)
        }
        let target = exact(out)
        multiply(exact(left), exact(right), into: target, adding: adding)
        if out.elementType != .float32 { copy(target, into: out) }
    }

    /// See ``TensorEngine/project(_:_:into:)``.
    public func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        project(x, weights, into: outs, rowsAlone: false)
    }

    /// See ``TensorEngine/project(eachRowOf:_:into:)``.
    public func project(eachRowOf x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        project(x, weights, into: outs, rowsAlone: true)
    }

    /// The kernels for few rows give each row the bits that it has alone, whatever the number of rows; a library does not.
    private func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor], rowsAlone: Bool) {
        let (m, k) = (x.shape[0], x.shape[1])
        guard m > 0 else { return }
        let views = (rowsAlone || m <= Self.fewQuantizedRows) && k > 0 ? weights.map { QuantizedView($0) } : []
        if views.contains(where: { $0 != nil }) {
            let quantized = zip(views, outs).compactMap { view, out in view.map { ($0, out) } }
            project(few: x, quantized.map(\.0), into: quantized.map(\.1))
            let others = weights.indices.filter { views[$0] == nil }
            return project(x, others.map { weights[$0] }, into: others.map { outs[$0] }, rowsAlone: rowsAlone)
        }
        let isStreamed = weights.allSatisfy { $0.strides[1] == 1 && $0.quantized == nil }
        if rowsAlone || m <= Self.fewRows, isStreamed, k > 0 { return stream(x, weights, into: outs) }
        for rows in rowsAlone ? (0..<m).map({ $0..<$0 + 1 }) : [0..<m] {
            for (weight, out) in zip(weights, outs) {
                multiply(x.narrowed(0, to: rows), weight.transposed(), into: out.narrowed(0, to: rows), adding: false)
            }
        }
    }

    /// Products of rows with weights of unit stride, which are read from memory once.
    private func stream(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        let (m, k, few) = (x.shape[0], x.shape[1], Self.fewRows)
        pool.split(weights.map { $0.shape[0] }, multiple: Self.streamedRows) { index, rows in
            let (weight, out) = (weights[index], outs[index])
            // More rows of x than a kernel takes find the weights in the cache.
            let height = m <= few ? rows.count : Self.streamedRows
            for row in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
                for first in stride(from: 0, to: m, by: few) {
                    ctk_project_rows(
                        isa,
                        out.pointer + (first * weight.shape[0] + row) * out.elementType.byteCount,
                        out.kernelType,
                        weight.shape[0],
                        x.pointer + first * k * x.elementType.byteCount,
                        min(few, m - first),
                        weight.pointer + row * weight.strides[0] * weight.elementType.byteCount,
                        weight.strides[0],
                        min(height, rows.upperBound - row),
                        k,
                        x.kernelType
                    )
                }
            }
        }
    }
}

extension Tensor {
    /// The type's number in the C kernels, for tensors that are computed with.
    var kernelType: ctk_type {
        guard let type = elementType.kernelType else { fail("kernel", "a floating-point tensor was expected") }
        return type
    }

    private func fail(_ operation: String, _ problem: String) -> Never { Tensor.fail(operation, problem, self) }
}

/// The matrices in the leading dimensions of three tensors.
private struct Batches {
    let count: Int
    private let sizes: [Int]

    init(_ left: Tensor, _ right: Tensor, _ out: Tensor) {
        sizes = Array(left.shape.dropLast(2))
        count = sizes.reduce(1, *)
    }

    func product(_ left: Tensor, _ right: Tensor, _ out: Tensor, _ matrix: Int, _ adds: Bool) -> MatrixProduct {
        let rank = left.rank
        var product = MatrixProduct(
            m: left.shape[rank - 2],
            n: right.shape[rank - 1],
            k: left.shape[rank - 1],
            a: operand(left, matrix),
            b: operand(right, matrix),
            c: operand(out, matrix),
            inputType: left.elementType,
            outputType: out.elementType,
            adds: adds
        )
        product.c.columnStride = 1
        return product
    }

    private func operand(_ tensor: Tensor, _ matrix: Int) -> MatrixProduct.Operand {
        var position = 0
        var rest = matrix
        for dimension in sizes.indices.reversed() {
            position += rest % sizes[dimension] * tensor.strides[dimension]
            rest /= sizes[dimension]
        }
        return MatrixProduct.Operand(
            pointer: tensor.pointer + position * tensor.elementType.byteCount,
            rowStride: tensor.strides[tensor.rank - 2],
            columnStride: tensor.strides[tensor.rank - 1]
        )
    }
}
