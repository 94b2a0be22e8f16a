import Foundation
import Testing

@testable import TensorRuntime

/// Norms over the last dimension.
@Suite struct NormTests {
    private func rows(_ values: [Double], of width: Int, _ body: ([Double]) -> [Double]) -> [Double] {
        stride(from: 0, to: values.count, by: width).flatMap { body(Array(values[$0..<$0 + width])) }
    }

    private func rmsFormula(_ form: RMSNormOptions, width: Int) -> ([[Double]]) -> [Double] {
        { inputs in
            self.rows(inputs[0], of: width) { row in
                let root = (row.reduce(0) { $0 + $1 * $1 } / Double(width) + Double(form.epsilon)).squareRoot()
                return zip(row, inputs[1]).map { $0 / root * ($1 + Double(form.gainOffset)) }
            }
        }
    }

    @Test(arguments: Level.all, Layout.allCases)
    func theRootMeanSquareNormFollowsItsFormula(_ level: Level, _ layout: Layout) {
        for width in [1, 16, 37] {
            for form in [
                RMSNormOptions(epsilon: 0.01), RMSNormOptions(epsilon: 0.02, gainOffset: 1, roundsBeforeGain: false),
            ] {
                let check = OperationCheck(
                    shapes: [[2, 3, width], [width]],
                    operation: { $0[0].rmsNorm(weight: $0[1], form) },
                    formula: rmsFormula(form, width: width)
                )
                check.runBothTypes(on: level.engine, layout, float32Gradients: 1)
            }
        }
    }

    @Test(arguments: Level.all)
    func theNormRoundsBeforeItsGainWhenAsked(_ level: Level) {
        // Some weights show the difference between one rounding and two, and there have to be such among them.
        let x = Tensor([3, 1], shape: [1, 2], .bfloat16, on: level.engine)
        var differing = 0
        for step in 0..<128 {
            let weight = 1 + Float(step) / 128
            let exact = [3 / Float(5).squareRoot(), 1 / Float(5).squareRoot()]
            func bfloat16(_ value: Float) -> Float { Tensor([value], shape: [1], .bfloat16, on: level.engine).item }
            let early = exact.map { bfloat16(bfloat16($0) * weight) }
            let late = exact.map { bfloat16($0 * weight) }
            let weights = Tensor([weight, weight], shape: [2], .bfloat16, on: level.engine)
            #expect(x.rmsNorm(weight: weights, RMSNormOptions(epsilon: 0, roundsBeforeGain: true)).floats() == early)
            #expect(x.rmsNorm(weight: weights, RMSNormOptions(epsilon: 0, roundsBeforeGain: false)).floats() == late)
            if early != late { differing += 1 }
        }
        #expect(differing > 10)
    }

    @Test(arguments: Level.all, Layout.allCases)
    func theLayerNormFollowsItsFormula(_ level: Level, _ layout: Layout) {
        for width in [16, 37] {
            let check = OperationCheck(
                shapes: [[2, 3, width], [width], [width]],
                operation: { $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 0.01) },
                formula: { inputs in
                    self.rows(inputs[0], of: width) { row in
                        let mean = row.reduce(0, +) / Double(width)
                        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
                        let root = (variance + 0.01).squareRoot()
                        return row.indices.map { (row[$0] - mean) / root * inputs[1][$0] + inputs[2][$0] }
                    }
                }
            )
            check.runBothTypes(on: level.engine, layout, float32Gradients: 2)
        }
    }

    @Test(arguments: Level.all)
    func manyRowsGiveTheSameGainsForAnyNumberOfThreads(_ level: Level) {
        let found = [1, 2, 3].map { threads in
            let engine = CPUEngine(threadCount: threads, libraries: nil, isa: level.isa)
            let x = tensor(numbers(3000 * 24, seed: 1), [3000, 24], on: engine).trackingGradient()
            let weight = tensor(numbers(24, seed: 2), [24], on: engine).trackingGradient()
            let gradients = Gradients(of: x.rmsNorm(weight: weight, RMSNormOptions(epsilon: 0.1)).sum())
            return gradients[weight]?.floats()
        }
        #expect(found[0] != nil && found[0] == found[1] && found[0] == found[2])
    }
}
