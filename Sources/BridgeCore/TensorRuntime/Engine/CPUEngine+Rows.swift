import CTensorKernels

extension CPUEngine {
    /// See ``TensorEngine/gatherRows(_:_:into:)``.
    public func gatherRows(_ table: Tensor, _ rows: Tensor, into out: Tensor) {
        if let view = QuantizedView(table), out.elementType == table.elementType {
            return gatherRows(view, rows, into: out)
        }
        let table = dense(table)
        let byteCount = table.shape[1] * table.elementType.byteCount
        let (indices, target, source) = (rows.indexPointer, out.pointer, table.pointer)
        pool.split(rows.count, grain: max(1, 65536 / max(byteCount, 1))) { range in
            for position in range {
                (target + position * byteCount)
                    .copyMemory(from: source + Int(indices[position]) * byteCount, byteCount: byteCount)
            }
        }
    }

    /// See ``TensorEngine/scatterAddRows(_:_:into:)``.
    public func scatterAddRows(_ x: Tensor, _ rows: Tensor, into table: Tensor) {
        guard table.elementType == .float32, table.strides[1] == 1 else {
            Tensor.fail("scatterAddRows", "a float32 table with rows of unit stride was expected", table)
        }
        let x = dense(x)
        // Threads share the columns, not the rows: a row may come several times.
        pool.split(table.shape[1], grain: 256, multiple: 16) { columns in
            ctk_add_rows(
                isa,
                table.floatPointer + columns.lowerBound,
                table.strides[0],
                rows.indexPointer,
                rows.count,
                x.pointer + columns.lowerBound * x.elementType.byteCount,
                x.kernelType,
                x.shape[1],
                columns.count
            )
        }
    }
}
