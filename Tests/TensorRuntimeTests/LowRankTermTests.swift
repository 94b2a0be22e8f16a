import TestSupport
import Testing

@testable import TensorRuntime

/// Layers with adapters, whose terms are part of the layers' products where one sum makes both.
@Suite struct LowRankTermTests {
    /// A matrix of numbers that bfloat16 has.
    private struct Matrix {
        let rows, columns: Int
        var values: [Double]

        init(_ rows: Int, _ columns: Int, _ values: [Double]) {
            (self.rows, self.columns, self.values) = (rows, columns, values)
        }

        init(_ rows: Int, _ columns: Int, seed: UInt64) {
            let rounded = numbers(rows * columns, seed: seed).map {
                Double(Float(bitPattern: $0.bitPattern & 0xffff_0000))
            }
            self.init(rows, columns, rounded)
        }

        var transposed: Matrix {
            Matrix(columns, rows, (0..<values.count).map { values[$0 % rows * columns + $0 / rows] })
        }

        static func * (left: Matrix, right: Matrix) -> Matrix {
            let values = (0..<left.rows * right.columns).map { place in
                (0..<left.columns).reduce(0.0) {
                    $0 + left.values[place / right.columns * left.columns + $1]
                        * right.values[$1 * right.columns + place % right.columns]
                }
            }
            return Matrix(left.rows, right.columns, values)
        }

        static func * (factor: Double, matrix: Matrix) -> Matrix {
            Matrix(matrix.rows, matrix.columns, matrix.values.map { factor * $0 })
        }

        static func + (left: Matrix, right: Matrix) -> Matrix {
            Matrix(left.rows, left.columns, zip(left.values, right.values).map(+))
        }

        func tensor(on engine: any TensorEngine) -> Tensor {
            Tensor(values.map(Float.init), shape: [rows, columns], .bfloat16, on: engine)
        }
    }

    private func parameter(_ name: String, _ matrix: Matrix, _ engine: any TensorEngine) -> Parameter {
        let parameter = Parameter(name, matrix.tensor(on: engine))
        parameter.isTrainable = true
        parameter.accumulateGradients()
        return parameter
    }

    /// Two layers whose adapters have one A or two, and one without an adapter.
    @Test(arguments: Level.all, [true, false])
    func termsAreThoseOfTheFormula(_ level: Level, _ sharesInput: Bool) {
        let (rows, width, rank, scale, engine) = (70, 96, 8, 0.5, level.engine)
        let x = Matrix(rows, width, seed: 1)
        let weights = [40, 33, 9].map { Matrix($0, width, seed: UInt64($0)) }
        let downs = sharesInput ? [Matrix(rank, width, seed: 5)] : [5, 6].map { Matrix(rank, width, seed: $0) }
        let ups = weights.dropLast().map { Matrix($0.rows, rank, seed: UInt64(100 + $0.rows)) }
        let inputs = downs.enumerated().map { LoRADownProjection(weight: parameter("A\($0)", $1, engine)) }
        let outputs = ups.enumerated().map { parameter("B\($0)", $1, engine) }
        let layers = weights.enumerated().map { index, weight in
            let layer = Linear(weight: Parameter("W\(index)", weight.tensor(on: engine)))
            guard index < ups.count else { return layer }
            layer.adapter = LowRankAdapter(
                input: inputs[min(index, inputs.count - 1)],
                output: outputs[index],
                scale: scale
            )
            return layer
        }
        let source = x.tensor(on: engine).trackingGradient()
        let outs = Linear.applyAll(source, layers)
        let seeds = weights.map { Matrix(rows, $0.rows, seed: UInt64(200 + $0.rows)) }
        var loss: Tensor?
        for (out, seed) in zip(outs, seeds) {
            let part = (out.cast(to: .float32) * seed.tensor(on: engine).cast(to: .float32)).sum()
            loss = loss.map { $0 + part } ?? part
        }
        let gradients = loss.map { Gradients(of: $0) }

        var ofInput = seeds[2] * weights[2]
        var ofDowns = downs.map { Matrix($0.rows, width, [Double](repeating: 0, count: $0.rows * width)) }
        for (index, up) in ups.enumerated() {
            let shared = min(index, downs.count - 1)
            let low = x * downs[shared].transposed
            let exact = x * weights[index].transposed + scale * (low * up.transposed)
            expectClose(outs[index].floats(), exact.values, 0.01, "result \(index)")
            let ofLow = scale * (seeds[index] * up)
            ofInput = ofInput + seeds[index] * weights[index] + ofLow * downs[shared]
            ofDowns[shared] = ofDowns[shared] + ofLow.transposed * x
            let ofUp = scale * (seeds[index].transposed * low)
            expectClose(outputs[index].accumulator?.sum.floats() ?? [], ofUp.values, 0.01, "gradient of B \(index)")
        }
        expectClose(outs[2].floats(), (x * weights[2].transposed).values, 0.01, "the layer without an adapter")
        for (index, expected) in ofDowns.enumerated() {
            expectClose(
                inputs[index].weight.accumulator?.sum.floats() ?? [],
                expected.values,
                0.01,
                "gradient of A \(index)"
            )
        }
        expectClose(gradients?[source]?.floats() ?? [], ofInput.values, 0.01, "gradient of the input")
    }

    /// A result that the loss does not use, and a weight that is used twice.
    @Test(arguments: Level.all)
    func unusedResultsAndRepeatedWeightsHaveTheirGradients(_ level: Level) {
        let x = Matrix(5, 24, seed: 1)
        let first = Matrix(7, 24, seed: 2)
        let second = Matrix(6, 24, seed: 3)
        let (one, two) = (parameter("one", first, level.engine), parameter("two", second, level.engine))
        let source = x.tensor(on: level.engine).trackingGradient()
        let outs = source.projected([one.tensor, two.tensor, one.tensor], outputType: .float32)
        let gradients = Gradients(of: outs[0].sum() + outs[2].sum())
        let ones = Matrix(5, 7, [Double](repeating: 1, count: 35))
        expectClose(gradients[source]?.floats() ?? [], (2 * (ones * first)).values, 0.01)
        expectClose(one.accumulator?.sum.floats() ?? [], (2 * (ones.transposed * x)).values, 0.01)
        #expect(two.accumulator?.isEmpty == true)
        // Without an accumulator the gradient is handed out.
        let leaves = [first, second].map { $0.tensor(on: level.engine).trackingGradient() }
        let again = source.detached.projected([leaves[0], leaves[1], leaves[0]], outputType: .float32)
        let found = Gradients(of: again[0].sum() + again[2].sum())
        expectClose(found[leaves[0]]?.floats() ?? [], (2 * (ones.transposed * x)).values, 0.01)
        #expect(found[leaves[1]] == nil)
    }
}
