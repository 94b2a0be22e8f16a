import CTensorKernels
import TestSupport
import Testing

@testable import TensorRuntime

/// An engine for each instruction set that this machine has, named after it.
struct Level: CustomTestStringConvertible, Sendable {
    let isa: ctk_isa
    let engine: CPUEngine

    var testDescription: String { String(cString: ctk_isa_name(isa)) }

    static let all = (0...UInt32(TestEngine.level.rawValue)).map { number in
        let isa = ctk_isa(number)
        return Level(isa: isa, engine: CPUEngine(threadCount: 2, libraries: nil, isa: isa))
    }

    /// The layouts to try: all where the most is at stake, one elsewhere, since finite differences are slow and most of
    /// what layouts change is not in a level's code.
    var layouts: [Layout] { isa == ctk_best_isa() || isa == CTK_PORTABLE ? Layout.allCases : [.narrowed] }
}

/// Ways in which the same numbers can lie in memory.
enum Layout: CaseIterable {
    case plain, permuted, narrowed
}

/// Numbers in [-1, 1) that depend on the seed and look random.
func numbers(_ count: Int, seed: UInt64) -> [Float] {
    (0..<count).map { index in
        var bits = (UInt64(index) &+ seed &* 1_000_003) &* 0x9e37_79b9_7f4a_7c15
        bits = (bits ^ bits >> 29) &* 0xbf58_476d_1ce4_e5b9
        return Float(bits >> 40) / Float(1 << 23) - 1
    }
}

/// A tensor with the given numbers, which lies in memory in the given way.
///
/// What lies between them is not a number.
func tensor(
    _ values: [Float],
    _ shape: [Int],
    _ type: ElementType = .float32,
    _ layout: Layout = .plain,
    on engine: any TensorEngine
) -> Tensor {
    let plain = Tensor(values, shape: shape, type, on: engine)
    switch layout {
    case .plain: return plain
    case .permuted:
        let order = Array(shape.indices.reversed())
        let turned = Tensor(uninitialized: order.map { shape[$0] }, type, on: engine)
        engine.copy(plain.permuted(order), into: turned)
        return turned.permuted(order)
    case .narrowed:
        let large = Tensor(uninitialized: shape.map { $0 + 3 }, type, on: engine)
        engine.fill(large, with: .nan)
        let view = shape.indices.reduce(large) { $0.narrowed($1, to: 1..<1 + shape[$1]) }
        engine.copy(plain, into: view)
        return view
    }
}

/// An operation beside its formula in float64, which is differentiated by finite differences.
struct OperationCheck {
    /// The shapes of the inputs.
    var shapes: [[Int]]
    /// Moves the numbers in [-1, 1) to where the operation is defined.
    var domain: (Float) -> Float = { $0 }
    /// The operation.
    var operation: ([Tensor]) -> Tensor
    /// The same of numbers in row-major order.
    var formula: ([[Double]]) -> [Double]

    /// Compares value and gradients of float32 inputs, then of bfloat16 ones with some gradients in float32.
    ///
    /// - Parameters:
    ///   - engine: What computes.
    ///   - layout: How the inputs lie in memory.
    ///   - float32Gradients: How many of the last inputs have gradients in float32 whatever their type.
    ///   - sourceLocation: Where the check is asked for.
    func runBothTypes(
        on engine: CPUEngine,
        _ layout: Layout,
        float32Gradients: Int = 0,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        run(on: engine, .float32, layout, sourceLocation: sourceLocation)
        let types = shapes.indices.map { $0 < shapes.count - float32Gradients ? ElementType.bfloat16 : .float32 }
        run(
            on: engine,
            .bfloat16,
            layout,
            tolerance: bfloat16Tolerance,
            gradientTypes: types,
            sourceLocation: sourceLocation
        )
    }

    /// Compares value and gradients, relative to the largest number.
    ///
    /// - Parameters:
    ///   - engine: What computes.
    ///   - type: The type of the inputs.
    ///   - layout: How the inputs lie in memory.
    ///   - tolerance: The largest error allowed.
    ///   - gradientTypes: The types of the inputs' gradients; nil for those of the inputs.
    ///   - sourceLocation: Where the check is asked for.
    func run(
        on engine: CPUEngine,
        _ type: ElementType = .float32,
        _ layout: Layout = .plain,
        tolerance: Double = 1e-5,
        gradientTypes: [ElementType]? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let inputs = shapes.enumerated().map { index, shape in
            let values = numbers(shape.reduce(1, *), seed: UInt64(index + 1)).map(domain)
            return tensor(values, shape, type, layout, on: engine).trackingGradient()
        }
        let exact = inputs.map { $0.floats().map(Double.init) }
        let result = operation(inputs)
        let expected = formula(exact)
        expectClose(result.floats(), expected, tolerance, "value", sourceLocation)

        let seed = tensor(numbers(result.count, seed: 99), result.shape, result.elementType, layout, on: engine)
        let gradients = Gradients(of: result, seed: seed)
        let weights = seed.floats().map(Double.init)
        for (index, input) in inputs.enumerated() {
            guard let gradient = gradients[input] else {
                Issue.record("input \(index) has no gradient", sourceLocation: sourceLocation)
                continue
            }
            #expect(gradient.shape == input.shape, sourceLocation: sourceLocation)
            #expect(gradient.elementType == gradientTypes?[index] ?? type, sourceLocation: sourceLocation)
            let slopes = exact[index].indices.map { place in
                func loss(_ step: Double) -> Double {
                    var moved = exact
                    moved[index][place] += step
                    return zip(formula(moved), weights).reduce(0) { $0 + $1.0 * $1.1 }
                }
                return (loss(1e-5) - loss(-1e-5)) / 2e-5
            }
            expectClose(gradient.floats(), slopes, tolerance, "gradient \(index)", sourceLocation)
        }
    }
}

/// Numbers are as expected, up to `tolerance` times the largest of them.
func expectClose(
    _ found: [Float],
    _ expected: [Double],
    _ tolerance: Double,
    _ what: String = "value",
    _ sourceLocation: SourceLocation = #_sourceLocation
) {
    guard found.count == expected.count else {
        Issue.record("\(what): \(found.count) numbers instead of \(expected.count)", sourceLocation: sourceLocation)
        return
    }
    let bound = tolerance * max(expected.map(abs).max() ?? 0, 1e-3)
    for (place, pair) in zip(found, expected).enumerated() where !(abs(Double(pair.0) - pair.1) <= bound) {
        let problem = "\(what)[\(place)] is \(pair.0), expected \(pair.1) within \(bound)"
        Issue.record("\(problem)", sourceLocation: sourceLocation)
        return
    }
}

/// The tolerance of operations that round to bfloat16 a few times: its numbers are 2^-8 apart, relative to their size.
let bfloat16Tolerance = 0.02
