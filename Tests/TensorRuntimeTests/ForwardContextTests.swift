import Foundation
import TensorRuntime
import Testing

@Suite struct ForwardContextTests {
    private let engine = CPUEngine(threadCount: 1)

    private func adapter(dropout: Float) -> LowRankAdapter {
        LowRankAdapter(
            input: LoRADownProjection(
                weight: Parameter("a", Tensor([0.3, -0.7, 0.9, 0.2, 0.5, -0.4], shape: [2, 3], on: engine)),
                dropout: dropout
            ),
            output: Parameter("b", Tensor([0.8, -0.6], shape: [1, 2], on: engine)),
            scale: 1.5
        )
    }

    private func layer(dropout: Float) -> Linear {
        let layer = Linear(weight: Parameter("w", Tensor([1.1, -0.2, 0.6], shape: [1, 3], on: engine)))
        layer.adapter = adapter(dropout: dropout)
        return layer
    }

    private var x: Tensor { Tensor((0..<48).map { Float($0 % 7) - 2.5 }, shape: [16, 3], on: engine) }

    @Test func nothingIsRecordedWithoutGradients() {
        let x = Tensor([2], shape: [1], on: engine).trackingGradient()
        #expect((x * x).isTracked)
        let y = withoutGradients { x * x }
        #expect(!y.isTracked && y.floats() == [4])
        #expect((x * x).isTracked, "the closure's end restores recording")
    }

    @Test func backwardAddsToAccumulators() {
        let parameter = Parameter("w", Tensor([3], shape: [1], on: engine))
        parameter.isTrainable = true
        let sum = parameter.accumulateGradients()
        // d(w^2)/dw = 2 w, twice.
        for _ in 0..<2 { (parameter.tensor * parameter.tensor).sum().backward() }
        #expect(sum.sum.floats() == [12])
    }

    @Test func dropoutIsThatOfTheStreamAndOnlyInsideOfItsClosure() {
        let (dropping, plain) = (layer(dropout: 0.5), layer(dropout: 0))
        let stream = RandomStream(seed: 3, stream: 8)
        let expected = plain(x).floats()
        #expect(dropping(x).floats() == expected)
        let first = withDropout(stream) { dropping(x).floats() }
        #expect(first != expected)
        #expect(withDropout(stream) { dropping(x).floats() } == first)
        #expect(withDropout(RandomStream(seed: 4, stream: 8)) { dropping(x).floats() } != first)
        #expect(dropping(x).floats() == expected)
    }

    @Test func recomputationDropsWhatTheForwardPassDropped() throws {
        let layer = layer(dropout: 0.5)
        let parameters = try #require(layer.adapter).parameters
        for parameter in parameters { parameter.isTrainable = true }
        func gradients(recomputed: Bool) throws -> [[Float]] {
            let out = withDropout(RandomStream(seed: 5, stream: 1)) {
                recomputed ? Tensor.recomputed([x]) { layer($0[0]) } : layer(x)
            }
            // The backward pass is outside of the closure, as in a training step.
            let found = Gradients(of: (out * out).sum())
            return try parameters.map { try #require(found[$0.tensor]).floats() }
        }
        #expect(try gradients(recomputed: true) == gradients(recomputed: false))
    }

    /// A layer whose adapter has a start is the layer of `W - scale B0 A0` with an adapter that has none.
    @Test(arguments: [false, true], [0, 0.5] as [Float])
    func anAdapterWithAStartIsOneOfTheRestOfTheWeight(_ magnitudes: Bool, _ dropout: Float) throws {
        func tensor(_ seed: Int, _ shape: [Int]) -> Tensor {
            Tensor((0..<shape[0] * shape[1]).map { sin(Float($0 * (seed + 3) + seed)) }, shape: shape, on: engine)
        }
        let (weight, first, second) = (tensor(1, [4, 3]), tensor(2, [2, 3]), tensor(3, [4, 2]))
        func layer(hasStart: Bool) -> Linear {
            let rest = weight - second.matrixProduct(first) * 1.5
            let layer = Linear(weight: Parameter("w", hasStart ? weight : rest))
            layer.adapter = LowRankAdapter(
                input: LoRADownProjection(
                    weight: Parameter("a", tensor(4, [2, 3])),
                    start: hasStart ? Parameter("a0", first) : nil,
                    dropout: dropout
                ),
                output: Parameter("b", tensor(5, [4, 2])),
                start: hasStart ? Parameter("b0", second * -1) : nil,
                magnitude: magnitudes ? Parameter("m", tensor(6, [1, 4]).reshaped([4])) : nil,
                scale: 1.5
            )
            for parameter in layer.adapter?.trainedParameters ?? [] { parameter.isTrainable = true }
            return layer
        }
        let (one, other) = (layer(hasStart: true), layer(hasStart: false))
        func results(_ layer: Linear) throws -> [[Float]] {
            let x = x.trackingGradient()
            let out = withDropout(RandomStream(seed: 5, stream: 1)) { layer(x) }
            let gradients = Gradients(of: (out * out).sum())
            let tensors = [x] + (try #require(layer.adapter)).trainedParameters.map(\.tensor)
            return try [out.floats()] + tensors.map { try #require(gradients[$0]).floats() }
        }
        for (found, expected) in zip(try results(one), try results(other)) {
            let scale = expected.map(abs).max() ?? 0
            #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-5 * scale })
        }
        #expect(withoutAdapters { one(x).floats() } == Linear(weight: Parameter("w", weight))(x).floats())
        #expect(one.adapter?.parameters.filter(\.isTrainable).count == (magnitudes ? 3 : 2))
    }
}
