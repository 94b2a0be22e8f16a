extension Tensor {
    /// Rows of a table [N, D], in the order of `rows`, which may repeat: [rows.count, D].
    ///
    /// The gradient of the table is float32.
    public func rows(_ rows: [Int32]) -> Tensor {
        guard rank == 2, rows.allSatisfy({ $0 >= 0 && Int($0) < shape[0] }) else {
            Tensor.fail("rows", "a row is not in the table", self)
        }
        let out = makeTensor([rows.count, shape[1]])
        let (table, rows) = (detached.contiguous(), Tensor(indices: rows, on: engine))
        engine.gatherRows(table, rows, into: out)
        return out.tracked([self]) { gradient in
            if let accumulator {
                accumulator.zeroIfEmpty()
                accumulator.scatterAddRows(gradient.contiguous(), rows)
                return [nil]
            }
            let result = Tensor.zeros(table.shape, .float32, on: table.engine)
            table.engine.scatterAddRows(gradient.contiguous(), rows, into: result)
            return [result]
        }
    }

    /// This matrix [N, D] with some of its rows, each named once, replaced by those of `values`.
    public func replacingRows(_ rows: [Int32], with values: Tensor) -> Tensor {
        guard rank == 2, values.shape == [rows.count, shape[1]], values.elementType == elementType,
            rows.allSatisfy({ $0 >= 0 && Int($0) < shape[0] })
        else { Tensor.fail("replacingRows", "the rows do not fit", self, values) }
        /// Rows of a table of all old rows and, behind them, of `others`: those that are replaced come from there.
        func merged(_ old: Tensor, _ others: Tensor, _ source: (Int) -> Int) -> Tensor {
            var order = (0..<Int32(old.shape[0])).map { $0 }
            for (position, row) in rows.enumerated() { order[Int(row)] = Int32(old.shape[0] + source(position)) }
            return Tensor.concatenated([old, others], dimension: 0).rows(order)
        }
        return merged(detached, values.detached) { $0 }.tracked([self, values]) { gradient in
            let zero = Tensor.zeros([1, gradient.shape[1]], gradient.elementType, on: gradient.engine)
            return [merged(gradient, zero) { _ in 0 }, gradient.rows(rows)]
        }
    }
}
