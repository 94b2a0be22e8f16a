import Foundation
import Testing

@testable import TensorRuntime

/// What training adds: losses, dropout, recomputation, sums of gradients, optimizers.
@Suite struct TrainingOperationTests {
    private let targets: [Int32] = [3, 0, 36, 17, 17]
    private let weights: [Float] = [0.5, 2, 1, 0.25, 1.5]

    /// The weighted sum of cross entropies of x [5, 6] and a weight [37, 6].
    private func crossEntropy(_ inputs: [[Double]]) -> [Double] {
        var loss = 0.0
        for row in 0..<5 {
            let logits = (0..<37).map { word in
                (0..<6).reduce(0.0) { $0 + inputs[0][row * 6 + $1] * inputs[1][word * 6 + $1] }
            }
            let sum = logits.reduce(0) { $0 + exp($1) }
            loss += Double(weights[row]) * (log(sum) - logits[Int(targets[row])])
        }
        return [loss]
    }

    @Test(arguments: Level.all, [nil, 5 * 4 * 10, 1] as [Int?])
    func theCrossEntropyFollowsItsFormulaInOneChunkAndInMany(_ level: Level, _ byteLimit: Int?) {
        let check = OperationCheck(
            shapes: [[5, 6], [37, 6]],
            operation: {
                try! $0[0].crossEntropy($0[1], targets: targets, weights: weights, byteLimit: byteLimit)
            },
            formula: crossEntropy
        )
        for layout in level.layouts {
            check.runBothTypes(on: level.engine, layout, float32Gradients: 1)
        }
    }

    @Test(arguments: Level.all) func largeLogitsDoNotOverflow(_ level: Level) throws {
        let x = tensor([300, -300], [1, 2], on: level.engine)
        let weight = tensor([1, 0, 0, 1, 0.5, 0.5], [3, 2], on: level.engine)
        let loss = try x.crossEntropy(weight, targets: [1], weights: [1])
        #expect(abs(loss.item - 600) < 0.01)
    }

    @Test(arguments: Level.all) func gradientsAreAddedUpWhereTheyAreAskedFor(_ level: Level) throws {
        let parameter = Parameter("weight", tensor(numbers(12, seed: 3), [3, 4], on: level.engine))
        parameter.isTrainable = true
        func loss(_ seed: UInt64) -> Tensor {
            let x = tensor(numbers(8, seed: seed), [2, 4], on: level.engine)
            // Rows of the table and the product with it: both uses count, as those of a tied embedding do.
            return (x.projected([parameter.tensor])[0] * parameter.tensor.rows([2, 0]).sum()).sum()
        }
        let expected = [1, 2].map { seed -> [Float] in
            let gradients = Gradients(of: loss(UInt64(seed)))
            return gradients[parameter.tensor]?.floats() ?? []
        }
        let sum = parameter.accumulateGradients()
        for seed in [1, 2] { #expect(Gradients(of: loss(UInt64(seed)))[parameter.tensor] == nil) }
        let wanted = zip(expected[0], expected[1]).map { Double($0 + $1) }
        expectClose(sum.sum.floats(), wanted, 1e-6)
        sum.clear()
        loss(1).backward()
        expectClose(sum.sum.floats(), expected[0].map(Double.init), 1e-6)
        sum.clear()
        sum.zeroIfEmpty()
        #expect(sum.sum.floats() == [Float](repeating: 0, count: 12))
    }

    @Test(arguments: Level.all) func severalProductsOfOneTensorShareItsGradient(_ level: Level) {
        let check = OperationCheck(
            shapes: [[5, 7], [3, 7], [4, 7], [2, 7]],
            operation: { inputs in
                let outs = inputs[0].projected(Array(inputs.dropFirst()))
                // The middle one has no gradient.
                return Tensor.concatenated([outs[0] * outs[0], outs[2]], dimension: 1)
            },
            formula: { inputs in
                func product(_ weight: [Double], _ row: Int) -> [Double] {
                    stride(from: 0, to: weight.count, by: 7).map { start in
                        (0..<7).reduce(0.0) { $0 + inputs[0][row * 7 + $1] * weight[start + $1] }
                    }
                }
                return (0..<5).flatMap { product(inputs[1], $0).map { $0 * $0 } + product(inputs[3], $0) }
            }
        )
        let inputs = check.shapes.indices.map {
            tensor(numbers(check.shapes[$0].reduce(1, *), seed: UInt64($0 + 1)), check.shapes[$0], on: level.engine)
                .trackingGradient()
        }
        #expect(
            Gradients(of: check.operation(inputs), seed: tensor(numbers(25, seed: 9), [5, 5], on: level.engine))[
                inputs[2]
            ] == nil
        )
        var rest = check
        rest.shapes.remove(at: 2)
        rest.operation = { check.operation([$0[0], $0[1], inputs[2].detached, $0[2]]) }
        rest.formula = { check.formula([$0[0], $0[1], [], $0[2]]) }
        rest.run(on: level.engine)
    }

    @Test(arguments: Level.all) func aProjectionIsAddedInPlace(_ level: Level) {
        let check = OperationCheck(
            shapes: [[3, 5], [6, 5], [3, 2], [6, 2]],
            operation: { $0[0].projected([$0[1]])[0].addingProjection(of: $0[2], $0[3]) },
            formula: { inputs in
                func dot(_ left: [Double], _ row: Int, _ right: [Double], _ column: Int, _ width: Int) -> Double {
                    var sum = 0.0
                    for place in 0..<width { sum += left[row * width + place] * right[column * width + place] }
                    return sum
                }
                return (0..<18).map { place in
                    let (row, column) = (place / 6, place % 6)
                    return dot(inputs[0], row, inputs[1], column, 5) + dot(inputs[2], row, inputs[3], column, 2)
                }
            }
        )
        check.run(on: level.engine)
        check.run(
            on: level.engine,
            .bfloat16,
            tolerance: bfloat16Tolerance,
            gradientTypes: [.bfloat16, .float32, .bfloat16, .float32]
        )
    }

    @Test(arguments: Level.all) func whatIsComputedAgainHasTheSameGradients(_ level: Level) throws {
        func gradients(recomputing: Bool) throws -> [[Float]] {
            let x = tensor(numbers(15, seed: 1), [3, 5], on: level.engine).trackingGradient()
            let weight = tensor(numbers(20, seed: 2), [4, 5], on: level.engine).trackingGradient()
            let summed = Parameter("bias", tensor(numbers(4, seed: 3), [4], on: level.engine))
            summed.isTrainable = true
            let sum = summed.accumulateGradients()
            let body: ([Tensor]) -> Tensor = {
                ($0[0].projected([weight])[0] + summed.tensor).applying(.silu).applying(.tanh)
            }
            let out = recomputing ? Tensor.recomputed([x], body) : body([x])
            let found = Gradients(of: (out * out).sum())
            return [
                out.floats(), try #require(found[x]).floats(), try #require(found[weight]).floats(), sum.sum.floats(),
            ]
        }
        #expect(try gradients(recomputing: true) == gradients(recomputing: false))
    }

    @Test(arguments: Level.all) func dropoutKeepsTheMeanAndCoversEveryElement(_ level: Level) {
        let count = 40_000
        let x = Tensor([Float](repeating: 1, count: count), shape: [count], on: level.engine).trackingGradient()
        let stream = RandomStream(seed: 7, stream: 3)
        let out = x.droppingOut(0.25, stream)
        let values = out.floats()
        let kept = values.count { $0 != 0 }
        // Five standard deviations of the binomial distribution.
        #expect(abs(Double(kept) - 0.75 * Double(count)) < 5 * (Double(count) * 0.75 * 0.25).squareRoot())
        #expect(values.allSatisfy { $0 == 0 || abs($0 - 4 / 3) < 1e-6 })
        #expect(Gradients(of: out.sum())[x]?.floats() == values)
        #expect(x.droppingOut(0.25, stream).floats() == values)
        #expect(x.droppingOut(0.25, RandomStream(seed: 7, stream: 4)).floats() != values)
        // Neighbours are independent: pairs that are both kept come as often as chance has them.
        let pairs = (0..<count - 1).count { values[$0] != 0 && values[$0 + 1] != 0 }
        #expect(abs(Double(pairs) / Double(count) - 0.5625) < 0.02)
        #expect(values == Level.all[0].engine.dropped(count, 0.25, stream))
    }

    @Test(arguments: Level.all) func adamWFollowsItsFormula(_ level: Level) {
        let count = 1037
        var (p, m, v) = (
            numbers(count, seed: 1).map(Double.init), [Double](repeating: 0, count: count),
            [Double](repeating: 0, count: count)
        )
        let values = tensor(numbers(count, seed: 1), [count], on: level.engine)
        let (first, second) = (
            Tensor.zeros([count], .float32, on: level.engine), Tensor.zeros([count], .float32, on: level.engine)
        )
        let model = Tensor.zeros([count], .bfloat16, on: level.engine)
        for step in 1...4 {
            let g = numbers(count, seed: UInt64(10 + step))
            let numbers = AdamWStep(
                gradientScale: 0.5,
                rate: 0.01,
                beta1: 0.9,
                beta2: 0.95,
                epsilon: 1e-5,
                weightDecay: 0.1,
                count: step
            )
            level.engine.adamW(
                values,
                first: first,
                second: second,
                gradient: tensor(g, [count], on: level.engine),
                model: model,
                numbers
            )
            for i in 0..<count {
                let gradient = Double(g[i]) * 0.5
                m[i] = 0.9 * m[i] + 0.1 * gradient
                v[i] = 0.95 * v[i] + 0.05 * gradient * gradient
                let root = (v[i] / (1 - pow(0.95, Double(step)))).squareRoot() + 1e-5
                p[i] = p[i] * (1 - 0.01 * 0.1) - 0.01 * m[i] / (1 - pow(0.9, Double(step))) / root
            }
        }
        expectClose(values.floats(), p, 1e-6)
        expectClose(first.floats(), m, 1e-6)
        expectClose(second.floats(), v, 1e-6)
        #expect(model.floats() == values.cast(to: .bfloat16).floats())
    }

    @Test(arguments: Level.all) func gradientDescentFollowsItsFormula(_ level: Level) {
        let count = 53
        var (p, v) = (numbers(count, seed: 1).map(Double.init), [Double](repeating: 0, count: count))
        let values = tensor(numbers(count, seed: 1), [count], on: level.engine)
        let velocity = Tensor.zeros([count], .float32, on: level.engine)
        for step in 1...3 {
            let g = numbers(count, seed: UInt64(10 + step))
            level.engine.sgd(
                values,
                velocity: velocity,
                gradient: tensor(g, [count], on: level.engine),
                model: nil,
                SGDStep(gradientScale: 2, rate: 0.1, momentum: 0.8, weightDecay: 0.05)
            )
            for i in 0..<count {
                v[i] = 0.8 * v[i] + 2 * Double(g[i]) + 0.05 * p[i]
                p[i] -= 0.1 * v[i]
            }
        }
        expectClose(values.floats(), p, 1e-6)
    }

    @Test(arguments: Level.all) func squaresAreAddedUpWithoutLoss(_ level: Level) {
        let values = numbers(200_003, seed: 4)
        let expected = values.reduce(0.0) { $0 + Double($1) * Double($1) }
        func found(_ values: [Float]) -> Double {
            let sum = Tensor(uninitialized: [], .float64, on: level.engine)
            level.engine.sumOfSquares(tensor(values, [values.count], on: level.engine), into: sum)
            return sum.doubles()[0]
        }
        #expect(abs(found(values) - expected) < 1e-6 * expected)
        #expect(found([1, .infinity]) == .infinity)
        #expect(found([1, .nan]).isNaN)
    }
}

extension CPUEngine {
    fileprivate func dropped(_ count: Int, _ probability: Float, _ stream: RandomStream) -> [Float] {
        Tensor([Float](repeating: 1, count: count), shape: [count], on: self).droppingOut(probability, stream).floats()
    }
}
