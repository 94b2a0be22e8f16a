extension Tensor {
    /// Rows of a table [N, D], in the order of `rows`, which may repeat: [rows.count, D].
    ///
    /// The gradient of the table is float32.
    public func rows(_ rows: [Int32]) -> Tensor {
        guard rank == 2, rows.allSatisfy({ $0 >= 0 && Int($0) < shape[0] }) else {
            Tensor.fail("rows", "a row is not in the table", self)
        }
        let out = makeTensor([rows.count, shape[1]])
        let table = detached.contiguous()
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
        let out = makeTensor(shape)
        engine.copy(detached, into: out)
        let plain = values.detached
        for (position, row) in rows.enumerated() {
            engine.copy(plain.at(position), into: out.at(Int(row)))
        }
        return out.tracked([self, values]) { gradient in
            let rest = gradient.makeTensor(gradient.shape)
            gradient.engine.copy(gradient, into: rest)
            for row in rows { gradient.engine.fill(rest.at(Int(row)), with: 0) }
            return [rest, gradient.rows(rows)]
        }
    }
}
