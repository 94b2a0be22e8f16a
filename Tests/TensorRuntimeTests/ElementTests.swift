import Foundation
import Testing

@testable import TensorRuntime

/// Operations on each element: values against formulas, gradients against finite differences of the formulas.
@Suite struct ElementTests {
    /// `f(a, b)` for the shapes [3, 1, 5] and [4, 1], which stretch to [3, 4, 5].
    private func broadcast(_ operation: @escaping (Double, Double) -> Double) -> ([[Double]]) -> [Double] {
        { inputs in
            (0..<60).map { operation(inputs[0][$0 / 20 * 5 + $0 % 5], inputs[1][$0 / 5 % 4]) }
        }
    }

    @Test(arguments: Level.all, Layout.allCases)
    func arithmeticBroadcastsDimensions(_ level: Level, _ layout: Layout) {
        func check(_ operation: @escaping (Tensor, Tensor) -> Tensor, _ formula: @escaping (Double, Double) -> Double) {
            let check = OperationCheck(
                shapes: [[3, 1, 5], [4, 1]],
                domain: { $0 > 0 ? $0 + 0.5 : $0 - 0.5 },
                operation: { operation($0[0], $0[1]) },
                formula: broadcast(formula)
            )
            check.runBothTypes(on: level.engine, layout)
        }
        check(+, +)
        check(-, -)
        check(*, *)
        check(/, /)
    }

    private static func formula(_ function: ElementFunction, _ x: Double) -> Double {
        switch function {
        case .silu: x / (1 + exp(-x))
        case .gelu: x / 2 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .relu: max(x, 0)
        case .tanh: tanh(x)
        case .exponential: exp(x)
        case .logarithm: log(x)
        case .squareRoot: x.squareRoot()
        }
    }

    @Test(arguments: Level.all, ElementFunction.allCases)
    func functionsFollowTheirFormulas(_ level: Level, _ function: ElementFunction) {
        let isPositive = [.logarithm, .squareRoot].contains(function)
        for layout in level.layouts {
            let check = OperationCheck(
                shapes: [[3, 37]],
                domain: { isPositive ? $0 * 1.5 + 2 : $0 * 4 },
                operation: { $0[0].applying(function) },
                formula: { $0[0].map { Self.formula(function, $0) } }
            )
            check.runBothTypes(on: level.engine, layout)
        }
    }

    @Test(arguments: Level.all, ElementFunction.allCases)
    func functionsAreGoodToAFewUnits(_ level: Level, _ function: ElementFunction) {
        // Every magnitude, each number against its own size.
        let values = stride(from: -45, through: 6.5, by: 0.0371).map { Float(Foundation.exp2($0)) }
        let isPositive = [.logarithm, .squareRoot].contains(function)
        let inputs = isPositive ? values : values + values.map { -$0 }
        let found = Tensor(inputs, shape: [inputs.count], on: level.engine).applying(function).floats()
        for (x, y) in zip(inputs, found) {
            let exact = Self.formula(function, Double(x))
            // GELU subtracts from 1, as every implementation in float32 does, and what is left has its absolute error.
            let size = [.gelu, .geluTanh].contains(function) ? max(abs(exact), abs(Double(x)) / 2) : abs(exact)
            let bound = max(size * 1e-6, 1e-37)
            #expect(
                abs(Double(y) - exact) <= bound || Float(exact) == y,
                "\(function)(\(x)) is \(y), expected \(exact)"
            )
        }
    }

    @Test(arguments: Level.all)
    func functionsKeepWhatIsNotANumber(_ level: Level) {
        for function in ElementFunction.allCases where function != .relu {
            let found = Tensor([.nan, 1], shape: [2], on: level.engine).applying(function).floats()
            #expect(found[0].isNaN && !found[1].isNaN, "\(function)")
        }
        let exponentials = Tensor([-.infinity, .infinity, -200, 200], shape: [4], on: level.engine)
            .applying(.exponential).floats()
        #expect(exponentials == [0, .infinity, 0, .infinity])
        let logarithms = Tensor([0, .infinity, -1], shape: [3], on: level.engine).applying(.logarithm).floats()
        #expect(logarithms[0] == -.infinity && logarithms[1] == .infinity && logarithms[2].isNaN)
    }

    @Test(arguments: Level.all, ElementFunction.allCases)
    func gatesFollowTheirFormulas(_ level: Level, _ function: ElementFunction) {
        for layout in level.layouts {
            let check = OperationCheck(
                shapes: [[5, 19], [5, 19]],
                domain: { $0 + 1.25 },
                operation: { $0[0].gatedActivation($0[1], by: function) },
                formula: { inputs in zip(inputs[0], inputs[1]).map { Self.formula(function, $0) * $1 } }
            )
            check.runBothTypes(on: level.engine, layout)
        }
    }

    @Test(arguments: Level.all, Layout.allCases)
    func affineScalesAndShifts(_ level: Level, _ layout: Layout) {
        let check = OperationCheck(
            shapes: [[7, 3, 2]],
            operation: { $0[0].affine(scale: -2.5, shift: 0.75) },
            formula: { $0[0].map { $0 * -2.5 + 0.75 } }
        )
        check.runBothTypes(on: level.engine, layout)
    }
}
