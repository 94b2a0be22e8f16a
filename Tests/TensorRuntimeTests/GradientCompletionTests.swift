import TensorRuntime
import TestSupport
import Testing

/// When the gradient of a parameter is complete during a backward pass.
@Suite struct GradientCompletionTests {
    private let engine = TestEngine.cpu(threadCount: 1)

    private func parameter(_ name: String, _ shape: [Int]) -> Parameter {
        let count = shape.reduce(1, *)
        let values = (0..<count).map { Float(($0 * 7 + name.utf8.count) % 11) / 8 - 0.5 }
        let parameter = Parameter(name, Tensor(values, shape: shape, on: engine))
        parameter.isTrainable = true
        parameter.accumulateGradients()
        return parameter
    }

    /// The names in the order of completion, with the sums at that moment, and those parameters without any then.
    private func completions(
        _ parameters: [Parameter],
        _ loss: Tensor
    ) -> [(name: String, sum: [Float], empty: [String])] {
        var found: [(name: String, sum: [Float], empty: [String])] = []
        _ = Gradients(of: loss) { accumulator in
            let name = parameters.first { $0.accumulator === accumulator }?.name ?? "unknown"
            found.append(
                (name, accumulator.sum.floats(), parameters.filter { $0.accumulator?.isEmpty ?? true }.map(\.name))
            )
        }
        return found
    }

    private var input: Tensor { Tensor((0..<6).map { Float($0) / 4 - 0.5 }, shape: [2, 3], on: engine) }

    @Test func aParameterIsCompleteAfterItsLastUse() {
        let (first, second, gain) = (parameter("one", [5, 3]), parameter("two", [4, 5]), parameter("gain", [5]))
        let all = [first, second, gain]
        let norm = RMSNormOptions(epsilon: 1e-6)
        let loss = input.projected(first.tensor).rmsNorm(weight: gain.tensor, norm).projected(second.tensor).sum()
        let found = completions(all, loss)
        #expect(found.map(\.name) == ["two", "gain", "one"])
        #expect(found.map(\.empty) == [["one", "gain"], ["one"], []])
        #expect(found.map(\.sum) == [second, gain, first].map { $0.accumulator?.sum.floats() ?? [] })
    }

    @Test func aParameterWithTwoUsesIsCompleteOnceWithTheSumOfBoth() {
        let (shared, between) = (parameter("shared", [3, 3]), parameter("between", [3, 3]))
        let loss = input.projected(shared.tensor).projected(between.tensor).projected(shared.tensor).sum()
        let found = completions([shared, between], loss)
        #expect(found.map(\.name) == ["between", "shared"])
        #expect(found.last?.sum == shared.accumulator?.sum.floats())
    }

    @Test func aRecomputedBlockCompletesItsParameters() {
        let (inner, outer) = (parameter("inner", [5, 3]), parameter("outer", [2, 5]))
        func loss() -> Tensor {
            Tensor.recomputed([input.trackingGradient()]) { [$0[0].projected(inner.tensor)][0] }
                .projected(outer.tensor).sum()
        }
        let found = completions([inner, outer], loss())
        #expect(found.map(\.name) == ["outer", "inner"])
        let sums = found.map(\.sum)
        for parameter in [inner, outer] { parameter.accumulator?.clear() }
        let plain = input.trackingGradient().projected(inner.tensor).projected(outer.tensor).sum()
        #expect(completions([inner, outer], plain).map(\.sum) == sums)
    }
}
