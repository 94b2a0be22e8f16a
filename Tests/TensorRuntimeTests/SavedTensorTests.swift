import Testing

@testable import TensorRuntime

/// What is made again on the way back instead of being kept.
@Suite struct SavedTensorTests {
    /// A norm, two products of what it gives, a gated product and its projection: the first half of an MLP.
    private func block(_ inputs: [Tensor], forget: Bool) -> (out: Tensor, middles: [WeakStorage]) {
        // A view has no way of being made again, so it is kept.
        func kept(_ tensor: Tensor) -> Tensor {
            forget ? tensor : tensor.reshaped(tensor.shape + [1]).reshaped(tensor.shape)
        }
        let form = RMSNormOptions(epsilon: 1e-6)
        let x = kept(inputs[0].rmsNorm(weight: inputs[1], form))
        let gates = x.projected([inputs[2], inputs[3]])
        let product = kept(gates[0].gatedActivation(gates[1], by: .silu))
        return (product.projected([inputs[4]])[0], [WeakStorage(x.storage), WeakStorage(product.storage)])
    }

    private struct WeakStorage {
        private(set) weak var storage: TensorStorage?
        init(_ storage: TensorStorage) { self.storage = storage }
    }

    @Test(arguments: Level.all, [ElementType.float32, .bfloat16])
    func madeAgainTheGradientsAreTheSameAndTheMemoryIsFreeInBetween(_ level: Level, _ type: ElementType) throws {
        func gradients(forget: Bool) throws -> [[Float]] {
            let inputs = [[9, 16], [16], [24, 16], [24, 16], [16, 24]].enumerated().map { index, shape in
                tensor(numbers(shape.reduce(1, *), seed: UInt64(index)), shape, type, on: level.engine)
                    .trackingGradient()
            }
            let (out, middles) = block(inputs, forget: forget)
            #expect(middles.allSatisfy { ($0.storage == nil) == forget })
            let gradients = Gradients(of: (out * out).sum())
            #expect(middles.allSatisfy { $0.storage == nil })
            return try inputs.map { try #require(gradients[$0]).floats() }
        }
        #expect(try gradients(forget: true) == gradients(forget: false))
    }
}
