import CTensorKernels

extension CPUEngine {
    /// See ``TensorEngine/gatherRows(_:_:into:)``.
    public func gatherRows(_ table: Tensor, _ rows: [Int32], into out: Tensor) {
        let table = table.contiguous()
        let byteCount = table.shape[1] * table.elementType.byteCount
        pool.split(rows.count, grain: max(1, 65536 / max(byteCount, 1))) { range in
            for position in range {
                (out.pointer + position * byteCount)
                    .copyMemory(from: table.pointer + Int(rows[position]) * byteCount, byteCount: byteCount)
            }
        }
    }

    /// See ``TensorEngine/scatterAddRows(_:_:into:)``.
    public func scatterAddRows(_ x: Tensor, _ rows: [Int32], into table: Tensor) {
        guard table.elementType == .float32, table.strides[1] == 1 else {
            Tensor.fail("scatterAddRows", "a float32 table with rows of unit stride was expected", table)
        }
        let x = x.contiguous()
        // Threads share the columns, not the rows: a row may come several times.
        pool.split(table.shape[1], grain: 256, multiple: 16) { columns in
            ctk_add_rows(
                isa,
                table.floatPointer + columns.lowerBound,
                table.strides[0],
                rows,
                rows.count,
                x.pointer + columns.lowerBound * x.elementType.byteCount,
                x.kernelType,
                x.shape[1],
                columns.count
            )
        }
    }
}
