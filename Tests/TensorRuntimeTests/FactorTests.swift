import Foundation
import TestSupport
import Testing

@testable import TensorRuntime

/// Bases of parts of a matrix's spaces, and the loss of a layer with an adapter.
@Suite struct FactorTests {
    private let engine = TestEngine.cpu(threadCount: 2)

    /// A matrix with the singular values 9, 5, 2, 1 and reflections as its vectors: H diag H'.
    private func matrix(_ height: Int, _ width: Int) -> (numbers: [Double], left: [[Double]], right: [[Double]]) {
        func reflection(_ size: Int, _ shift: Double) -> [[Double]] {
            let vector = (0..<size).map { cos(Double($0) * 1.7 + shift) }
            let length = vector.reduce(0) { $0 + $1 * $1 }
            return (0..<size).map { row in
                (0..<size).map { (row == $0 ? 1 : 0) - 2 * vector[row] * vector[$0] / length }
            }
        }
        let (left, right, values) = (reflection(height, 0.3), reflection(width, 1.1), [9.0, 5, 2, 1])
        let numbers = (0..<height).flatMap { row in
            (0..<width).map { column in
                values.indices.reduce(0.0) { $0 + left[row][$1] * values[$1] * right[column][$1] }
            }
        }
        return (numbers, left, right)
    }

    @Test(arguments: [(7, 12), (12, 7), (6, 6)]) func theLargestSingularVectorsSpanThatOfTheFormula(
        _ height: Int,
        _ width: Int
    ) throws {
        let (numbers, left, right) = matrix(height, width)
        let tensor = Tensor(numbers.map { Float($0) }, shape: [height, width], on: engine)
        let basis = try #require(tensor.leadingSingularVectors(2))
        #expect(basis.isOfRows == (height > width))
        let known = basis.isOfRows ? right : left
        let size = basis.isOfRows ? width : height
        let found = basis.vectors.floats()
        for column in 0..<2 {
            let product = (0..<size).reduce(0.0) { $0 + known[$1][column] * Double(found[$1 * 2 + column]) }
            #expect(abs(abs(product) - 1) < 1e-5)
        }
        #expect(abs(basis.decay - 2.0 / 5) < 1e-5)
        #expect(try #require(tensor.leadingSingularVectors(min(height, width))).decay == 0)
        #expect(tensor.leadingSingularVectors(min(height, width) + 1) == nil)
    }

    @Test func numbersThatAreNotFiniteHaveNoVectors() {
        let tensor = Tensor([1, .nan, 2, .infinity], shape: [2, 2], on: engine)
        #expect(tensor.leadingSingularVectors(1) == nil)
    }

    @Test func theFirstColumnsAreSpannedByTheirBasis() throws {
        // The third column depends on the first two.
        let columns: [[Float]] = [[3, 4, 0, 0], [1, 1, 1, 0], [4, 5, 1, 0], [0, 2, 5, 7]]
        let numbers = (0..<4).flatMap { row in columns.map { $0[row] } }
        let basis = try #require(Tensor(numbers, shape: [4, 4], on: engine).leadingColumnBasis(3)).vectors.floats()
        func column(_ index: Int) -> [Float] { (0..<4).map { basis[$0 * 3 + index] } }
        func product(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        #expect(column(0) == [0.6, 0.8, 0, 0])
        #expect(abs(product(column(1), column(1)) - 1) < 1e-6 && abs(product(column(0), column(1))) < 1e-6)
        #expect(column(2) == [0, 0, 0, 0])
    }

    /// The weighted cross entropies with the adapter in the weight, by the formula of LoRA and of DoRA.
    private func loss(_ inputs: [[Double]], magnitudes: Bool) -> Double {
        let (x, w, a, b) = (inputs[0], inputs[1], inputs[2], inputs[3])
        var total = 0.0
        for row in 0..<5 {
            let logits = (0..<9).map { out -> Double in
                let weight = (0..<6).map { column in
                    w[out * 6 + column] + 1.5 * (0..<2).reduce(0.0) { $0 + b[out * 2 + $1] * a[$1 * 6 + column] }
                }
                let length = weight.reduce(0) { $0 + $1 * $1 }.squareRoot()
                let plain = (0..<6).reduce(0.0) { $0 + x[row * 6 + $1] * weight[$1] }
                return magnitudes ? plain * inputs[4][out] / length : plain
            }
            let sum = logits.reduce(0) { $0 + exp($1) }
            total += Double(Self.weights[row]) * (log(sum) - logits[Int(Self.targets[row])])
        }
        return total
    }

    private static let targets: [Int32] = [3, 0, 8, 5, 5]
    private static let weights: [Float] = [0.5, 2, 1, 0.25, 1.5]

    @Test(arguments: [false, true], [nil, 2 * 9 * 4, 1] as [Int?])
    func theLossOfAnAdaptedLayerFollowsItsFormula(_ magnitudes: Bool, _ byteLimit: Int?) throws {
        let sizes = [[5, 6], [9, 6], [2, 6], [9, 2], [9]]
        let inputs = sizes.enumerated().map { number, shape in
            (0..<shape.reduce(1, *)).map { sin(Double($0) * 0.7 + Double(number)) + (number == 4 ? 2 : 0) }
        }
        let tensors = zip(inputs, sizes).map { Tensor($0.map { Float($0) }, shape: $1, on: engine) }
        let layer = Linear(weight: Parameter("w", tensors[1]))
        let adapter = LowRankAdapter(
            input: LoRADownProjection(weight: Parameter("a", tensors[2])),
            output: Parameter("b", tensors[3]),
            magnitude: magnitudes ? Parameter("m", tensors[4]) : nil,
            scale: 1.5
        )
        for parameter in adapter.parameters { parameter.isTrainable = true }
        layer.adapter = adapter
        let rows = tensors[0].trackingGradient()
        let loss = try layer.crossEntropy(rows, targets: Self.targets, weights: Self.weights, byteLimit: byteLimit)
        #expect(abs(Double(loss.item) - self.loss(inputs, magnitudes: magnitudes)) < 1e-5)
        let gradients = Gradients(of: loss)
        var places: [(Int, Tensor)] = [(0, rows), (3, adapter.output.tensor)]
        // The length that DoRA divides by counts as a number, so A's differences are not its gradient.
        if let magnitude = adapter.magnitude {
            places.append((4, magnitude.tensor))
        } else {
            places.append((2, adapter.input.weight.tensor))
        }
        for (number, tensor) in places where !(magnitudes && number == 3) {
            let gradient = try #require(gradients[tensor]).floats()
            for index in inputs[number].indices {
                var (up, down) = (inputs, inputs)
                up[number][index] += 1e-5
                down[number][index] -= 1e-5
                let expected = (self.loss(up, magnitudes: magnitudes) - self.loss(down, magnitudes: magnitudes)) / 2e-5
                #expect(abs(Double(gradient[index]) - expected) < 2e-4, "\(number) \(index)")
            }
        }
    }
}
