import Foundation
import Testing

@testable import TensorRuntime

/// Views, sums, rows and rotations: what moves or adds up numbers.
@Suite struct ShapeTests {
    @Test(arguments: Level.all, Layout.allCases)
    func viewsHaveTheNumbersOfTheirElements(_ level: Level, _ layout: Layout) {
        for type in [ElementType.float32, .bfloat16] {
            OperationCheck(
                shapes: [[2, 3, 4]],
                operation: { $0[0].permuted([2, 0, 1]) },
                formula: { input in (0..<24).map { input[0][$0 / 3 % 2 * 12 + $0 % 3 * 4 + $0 / 6] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
            OperationCheck(
                shapes: [[2, 3, 4]],
                operation: { $0[0].transposed().reshaped([4, -1]) },
                formula: { input in (0..<24).map { input[0][$0 / 12 * 12 + $0 % 3 * 4 + $0 / 3 % 4] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
            OperationCheck(
                shapes: [[5, 3]],
                operation: { $0[0].narrowed(0, to: 1..<4).narrowed(-1, to: 1..<3) },
                formula: { input in (0..<6).map { input[0][(1 + $0 / 2) * 3 + 1 + $0 % 2] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
            OperationCheck(
                shapes: [[2, 1, 3]],
                operation: { $0[0].expanded(to: [4, 2, 5, 3]) },
                formula: { input in (0..<120).map { input[0][$0 / 15 % 2 * 3 + $0 % 3] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
            OperationCheck(
                shapes: [[2, 3], [2, 1], [2, 2]],
                operation: { Tensor.concatenated($0, dimension: -1) },
                formula: { input -> [Double] in
                    let places = [
                        (0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (0, 3), (0, 4), (0, 5), (1, 1), (2, 2), (2, 3),
                    ]
                    return places.map { input[$0.0][$0.1] }
                }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
            OperationCheck(
                shapes: [[3, 4]],
                operation: { $0[0].at(2) },
                formula: { input in (0..<4).map { input[0][8 + $0] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
        }
    }

    /// The sums of [5, 3, 4] over the first and the last dimension.
    private func overMiddle(_ inputs: [[Double]]) -> [Double] {
        var sums = [0.0, 0, 0]
        for (place, value) in inputs[0].enumerated() { sums[place / 4 % 3] += value }
        return sums
    }

    @Test(arguments: Level.all, Layout.allCases)
    func sumsAndMeansRunOverTheirDimensions(_ level: Level, _ layout: Layout) {
        for type in [ElementType.float32, .bfloat16] {
            let tolerance = type == .float32 ? 1e-5 : bfloat16Tolerance
            OperationCheck(
                shapes: [[5, 3, 4]],
                operation: { $0[0].sum(over: [0, 2]) },
                formula: overMiddle
            ).run(on: level.engine, type, layout, tolerance: tolerance)
            OperationCheck(
                shapes: [[5, 3, 4]],
                operation: { $0[0].mean(over: [-1]) },
                formula: { input -> [Double] in
                    (0..<15).map { (row: Int) -> Double in input[0][row * 4..<row * 4 + 4].reduce(0, +) / 4 }
                }
            ).run(on: level.engine, type, layout, tolerance: tolerance)
            OperationCheck(
                shapes: [[5, 3, 4]],
                operation: { $0[0].summed(to: [3, 1]) },
                formula: overMiddle
            ).run(on: level.engine, type, layout, tolerance: tolerance)
            OperationCheck(
                shapes: [[3, 3, 2]],
                operation: { $0[0].sum() },
                formula: { [$0[0].reduce(0, +)] }
            ).run(on: level.engine, type, layout, tolerance: tolerance)
        }
    }

    @Test(arguments: Level.all)
    func longSumsKeepTheirPrecision(_ level: Level) {
        // One after the other in float32 they would lose some digits.
        let x = tensor(numbers(150_007, seed: 3).map { $0 + 40 }, [150_007], on: level.engine)
        let exact = x.floats().reduce(0) { $0 + Double($1) }
        expectClose([x.sum().item], [exact], 1e-6)
        let columns = x.narrowed(0, to: 0..<150_000).reshaped([50_000, 3])
        let values = x.floats()
        let sums = (0..<3).map { column in (0..<50_000).reduce(0) { $0 + Double(values[$1 * 3 + column]) } }
        expectClose(columns.sum(over: [0]).floats(), sums, 1e-6)
    }

    @Test(arguments: Level.all)
    func rowsAreTakenAndTheirGradientsAddedUp(_ level: Level) {
        let rows: [Int32] = [2, 0, 2, 2, 4]
        for (type, layout) in [ElementType.float32, .bfloat16].flatMap({ type in Layout.allCases.map { (type, $0) } }) {
            OperationCheck(
                shapes: [[5, 7]],
                operation: { $0[0].rows(rows) },
                formula: { input in rows.flatMap { input[0][Int($0) * 7..<Int($0) * 7 + 7] } }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance, gradientTypes: [.float32])
            OperationCheck(
                shapes: [[4, 3], [2, 3]],
                operation: { $0[0].replacingRows([3, 1], with: $0[1]) },
                formula: { input in
                    [input[0][0..<3], input[1][3..<6], input[0][6..<9], input[1][0..<3]].flatMap { $0 }
                }
            ).run(on: level.engine, type, layout, tolerance: bfloat16Tolerance)
        }
    }

    @Test(arguments: Level.all, [1, 2])
    func pairsAreRotatedByTheirAngles(_ level: Level, _ samples: Int) {
        let (tokens, heads, half) = (3, 2, 5)
        let angles = numbers(samples * tokens * half, seed: 5).map { $0 * 3 }
        let exact = RotaryAngles(
            cosines: Tensor(angles.map { cos($0) }, shape: [samples, tokens, half], on: level.engine),
            sines: Tensor(angles.map { sin($0) }, shape: [samples, tokens, half], on: level.engine)
        )
        for (type, layout) in [ElementType.float32, .bfloat16].flatMap({ type in Layout.allCases.map { (type, $0) } }) {
            OperationCheck(
                shapes: [[2, tokens, heads, 2 * half]],
                operation: { $0[0].applyingRotaryEmbedding(exact) },
                formula: { input in
                    input[0].indices.map { place in
                        let (i, row) = (place % (2 * half), place / (2 * half))
                        let (token, sample) = (row / heads % tokens, row / heads / tokens)
                        let angle = Double(angles[(min(sample, samples - 1) * tokens + token) * half + i % half])
                        let partner = input[0][row * 2 * half + (i + half) % (2 * half)]
                        return input[0][place] * cos(angle) + (i < half ? -partner : partner) * sin(angle)
                    }
                }
            ).run(on: level.engine, type, layout, tolerance: type == .float32 ? 1e-5 : bfloat16Tolerance)
        }
    }

    @Test(arguments: Level.all)
    func numbersAreConvertedBetweenAllTypes(_ level: Level) {
        let values: [Float] = [0, -1, 1.5, 0.0625, -448, 3.5, 96]
        for type in ElementType.allCases where type.isFloatingPoint {
            let there = Tensor(values, shape: [7], type, on: level.engine)
            #expect(there.elementType == type && there.floats() == values, "\(type)")
            let part = there.expanded(to: [3, 7]).transposed().narrowed(0, to: 1..<6)
            #expect(part.floats() == values[1..<6].flatMap { [$0, $0, $0] }, "\(type)")
        }
        OperationCheck(
            shapes: [[3, 5]],
            operation: { $0[0].cast(to: .bfloat16) },
            formula: { $0[0] }
        ).run(on: level.engine, .float32, .permuted, tolerance: bfloat16Tolerance)
    }
}
