import CTensorKernels

extension CPUEngine {
    /// Memory that refers to the numbers and factors.
    public func makeStorage(
        for matrix: QuantizedMatrix,
        as type: ElementType,
        engine: any TensorEngine
    ) -> TensorStorage {
        QuantizedStorage(matrix, as: type, engine: engine, maker: self)
    }

    /// See ``TensorEngine/quantize(_:into:)``.
    public func quantize(_ source: Tensor, into matrix: QuantizedMatrix) {
        guard source.shape == [matrix.rows, matrix.columns], source.strides[1] == 1 else {
            Tensor.fail("quantize", "rows of unit stride were expected", source)
        }
        let (values, scales) = (matrix.values.pointer, matrix.scales.pointer)
        pool.split(matrix.rows, grain: max(1, 65536 / max(matrix.columns, 1))) { rows in
            matrix.withKernelMatrix { kernelMatrix in
                ctk_quantize(
                    isa,
                    (values + rows.lowerBound * kernelMatrix.pointee.row_bytes).assumingMemoryBound(to: UInt8.self),
                    (scales + rows.lowerBound * kernelMatrix.pointee.scale_stride * 2)
                        .assumingMemoryBound(to: UInt16.self),
                    kernelMatrix,
                    source.pointer + rows.lowerBound * source.strides[0] * source.elementType.byteCount,
                    source.kernelType,
                    source.strides[0],
                    rows.count
                )
            }
        }
    }

    /// Writes columns of rows as floating-point numbers into a tensor of their shape, whose rows have unit stride.
    func dequantize(_ view: QuantizedView, columns: Range<Int>? = nil, into out: Tensor) {
        let columns = columns ?? 0..<view.matrix.columns
        view.matrix.withKernelMatrix { kernelMatrix in
            pool.split(view.rows.count, grain: max(1, 32768 / max(columns.count, 1))) { rows in
                ctk_dequantize(
                    isa,
                    out.pointer + rows.lowerBound * out.strides[0] * out.elementType.byteCount,
                    out.kernelType,
                    out.strides[0],
                    kernelMatrix,
                    view.rows.lowerBound + rows.lowerBound,
                    rows.count,
                    columns.lowerBound,
                    columns.count
                )
            }
        }
    }

    /// Rows of a quantized table, each as floating-point numbers.
    func gatherRows(_ view: QuantizedView, _ rows: Tensor, into out: Tensor) {
        let indices = rows.indexPointer
        view.matrix.withKernelMatrix { kernelMatrix in
            pool.split(rows.count, grain: max(1, 32768 / max(view.matrix.columns, 1))) { range in
                for position in range {
                    ctk_dequantize(
                        isa,
                        out.pointer + position * out.shape[1] * out.elementType.byteCount,
                        out.kernelType,
                        out.shape[1],
                        kernelMatrix,
                        view.rows.lowerBound + Int(indices[position]),
                        1,
                        0,
                        view.matrix.columns
                    )
                }
            }
        }
    }

    /// The bytes of weights that exist as floating-point numbers at a time, so that they stay in the cache.
    private static let panelByteCount = 4 << 20

    /// `out = left view^T`, or added to it: some rows of weights at a time, as floating-point numbers.
    func multiply(_ left: Tensor, rowsOf view: QuantizedView, into out: Tensor, adding: Bool) {
        let (k, type) = (view.matrix.columns, left.elementType)
        let height = max(64, Self.panelByteCount / (k * type.byteCount) / 64 * 64)
        let panel = Tensor(uninitialized: [min(height, view.rows.count), k], type, on: self)
        for first in stride(from: 0, to: view.rows.count, by: height) {
            let rows = first..<min(first + height, view.rows.count)
            let part = panel.narrowed(0, to: 0..<rows.count)
            let start = view.rows.lowerBound
            dequantize(QuantizedView(view.matrix, rows: start + rows.lowerBound..<start + rows.upperBound), into: part)
            multiply(left, part.transposed(), into: out.narrowed(1, to: rows), adding: adding)
        }
    }

    /// `out = left view`, or added to it: some columns of weights at a time, as floating-point numbers.
    func multiply(_ left: Tensor, columnsOf view: QuantizedView, into out: Tensor, adding: Bool) {
        let (n, k, type) = (view.rows.count, view.matrix.columns, left.elementType)
        let step = Int(CTK_QUANTIZED_BLOCK)
        let width = max(step, 2 * Self.panelByteCount / max(n * type.byteCount, 1) / step * step)
        let panel = Tensor(uninitialized: [n * min(width, k)], type, on: self)
        for first in stride(from: 0, to: k, by: width) {
            let columns = first..<min(first + width, k)
            let part = panel.narrowed(0, to: 0..<n * columns.count).reshaped([n, columns.count])
            dequantize(view, columns: columns, into: part)
            multiply(left, part, into: out.narrowed(1, to: columns), adding: adding)
        }
    }

    /// Rows as whole numbers, for products with a matrix or others of its format.
    private func prepare(_ x: Tensor, for matrix: QuantizedMatrix) -> Tensor {
        matrix.withKernelMatrix { kernelMatrix in
            let (m, k, size) = (x.shape[0], x.shape[1], ctk_prepared_size(kernelMatrix))
            let memory = Tensor(uninitialized: [m, size], .uint8, on: self)
            pool.split(m, grain: max(1, 4096 / k)) { rows in
                for row in rows {
                    let source = x.pointer + row * k * x.elementType.byteCount
                    ctk_prepare_row(isa, memory.pointer + row * size, source, x.kernelType, kernelMatrix)
                }
            }
            return memory
        }
    }

    /// Products of few rows with quantized weights, which are read once as whole numbers.
    ///
    /// Each row has the bits that it has alone.
    func project(few x: Tensor, _ views: [QuantizedView], into outs: [Tensor]) {
        let (m, few) = (x.shape[0], Int(CTK_FEW_ROWS))
        var known: [QuantizedFormat: Tensor] = [:]
        let inputs = views.map { view in
            let input = known[view.matrix.format] ?? prepare(x, for: view.matrix)
            known[view.matrix.format] = input
            return input
        }
        pool.split(views.map(\.rows.count), multiple: Self.streamedRows) { index, rows in
            let (view, out, input) = (views[index], outs[index], inputs[index])
            let (count, width) = (view.rows.count, out.elementType.byteCount)
            view.matrix.withKernelMatrix { kernelMatrix in
                kernelMatrix.pointee.values += view.rows.lowerBound * kernelMatrix.pointee.row_bytes
                kernelMatrix.pointee.scales += view.rows.lowerBound * kernelMatrix.pointee.scale_stride
                // More rows of x than a kernel takes find the weights in the cache.
                let height = m <= few ? rows.count : Self.streamedRows
                for row in stride(from: rows.lowerBound, to: rows.upperBound, by: height) {
                    for first in stride(from: 0, to: m, by: few) {
                        ctk_project_quantized(
                            isa,
                            out.pointer + first * count * width,
                            out.kernelType,
                            count,
                            input.pointer + first * input.shape[1],
                            min(few, m - first),
                            kernelMatrix,
                            row,
                            min(height, rows.upperBound - row)
                        )
                    }
                }
            }
        }
    }
}

extension QuantizedMatrix {
    /// The matrix as the kernels know it.
    fileprivate func withKernelMatrix<Result>(_ body: (UnsafeMutablePointer<ctk_quantized>) -> Result) -> Result {
        var matrix = format.kernelMatrix(values.pointer, scales.pointer, columns: columns)
        return withUnsafeMutablePointer(to: &matrix, body)
    }
}

extension QuantizedFormat {
    /// A matrix as the kernels know it.
    fileprivate func kernelMatrix(
        _ values: UnsafeMutableRawPointer?,
        _ scales: UnsafeMutableRawPointer,
        columns: Int
    ) -> ctk_quantized {
        ctk_quantized(
            values: values.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) },
            row_bytes: rowByteCount(columns),
            scales: scales.assumingMemoryBound(to: UInt16.self),
            scale_stride: groupCount(columns),
            columns: columns,
            bits: UInt32(bits),
            group: groupWidth(columns)
        )
    }

    /// Quantizes rows in memory without an engine, on the calling thread.
    ///
    /// - Parameters:
    ///   - source: Rows without gaps.
    ///   - rows: How many rows there are.
    ///   - columns: k, of whole groups.
    ///   - numbers: Memory for the numbers, ``rowByteCount(_:)`` for each row; nil for factors alone.
    ///   - factors: Memory for bfloat16 factors, ``groupCount(_:)`` for each row.
    package func quantize(
        _ source: UnsafePointer<Float>,
        rows: Int,
        columns: Int,
        numbers: UnsafeMutableRawPointer?,
        factors: UnsafeMutableRawPointer
    ) {
        var matrix = kernelMatrix(numbers, factors, columns: columns)
        ctk_quantize(
            ctk_best_isa(),
            numbers?.assumingMemoryBound(to: UInt8.self),
            factors.assumingMemoryBound(to: UInt16.self),
            &matrix,
            source,
            CTK_FLOAT32,
            columns,
            rows
        )
    }
}
