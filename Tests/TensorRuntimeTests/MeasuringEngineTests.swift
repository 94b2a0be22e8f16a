import TestSupport
import Testing

@testable import TensorRuntime

/// An engine that measures another one.
@Suite struct MeasuringEngineTests {
    /// A loss through most of what a layer does, and its gradients.
    private func gradients(on engine: any TensorEngine) throws -> [[Float]] {
        let x = tensor(numbers(2 * 6 * 8, seed: 1), [2, 6, 8], on: engine).trackingGradient()
        let weight = tensor(numbers(8, seed: 2), [8], on: engine).trackingGradient()
        let weights = (3...5).map { tensor(numbers(64, seed: $0), [8, 8], on: engine).trackingGradient() }
        let labels = AttentionMask.Labels(positions: (0..<2).flatMap { _ in (0..<6).map(Int32.init) })
        let heads = x.rmsNorm(weight: weight, RMSNormOptions(epsilon: 1e-6)).projected(weights).map {
            $0.reshaped([2, 6, 2, 4])
        }
        let mask = AttentionMask(isCausal: true, queries: labels, keys: labels)
        let attended = heads[0].scaledDotProductAttention(to: heads[1], heads[2], mask: mask, scale: 0.5).reshaped([
            2, 6, 8,
        ])
        let loss = (attended.gatedActivation(x, by: .silu).applying(.tanh) * 2).sum()
        let found = Gradients(of: loss)
        return try ([x, weight] + weights).map { try #require(found[$0]).floats() } + [[loss.item]]
    }

    @Test func resultsEqualThoseOfTheOtherEngineAndProductsAreCounted() throws {
        let plain = TestEngine.cpu(threadCount: 2)
        let measuring = MeasuringEngine(plain)
        let expected = try gradients(on: plain)
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try gradients(on: measuring) == expected)
        let seconds = (clock.now - start) / .seconds(1)
        let work = measuring.takeWork()
        // 12 rows through three matrices of 8 x 8, two operations for each of their elements.
        #expect(work["projection 12 x 8 x 24"]?.operations == Double(2 * 12 * 8 * 24))
        #expect(work["projection 12 x 8 x 24"]?.calls == 1)
        // Backward: the gradient of each weight, and that of the rows as one sum of three products.
        #expect(work["product 8 x 12 x 8"]?.calls == 3 && work["product 12 x 24 x 8"]?.calls == 1)
        #expect(work["product 12 x 24 x 8"]?.operations == Double(2 * 12 * 24 * 8))
        // Two products of [6, 4] and [4, 6] for each of 4 heads, of whose results half is in sight; backward there are five.
        #expect(work["attention"]?.operations == Double(2 * 2 * 4 * 6 * 4 * 6) / 2)
        #expect(work["attention, backward"]?.operations == Double(5 * 2 * 4 * 6 * 4 * 6) / 2)
        #expect(work["attention"]?.type == .float32 && work["norms"]?.type == nil)
        // The operations follow one another, so that their times add up to less than that of all.
        let measured = work.values.reduce(0) { $0 + $1.seconds }
        #expect(measured > 0 && measured <= seconds, "\(measured) of \(seconds)")
        #expect(measuring.takeWork().isEmpty)
        #expect(measuring.name == plain.name)
        #expect(measuring.peakOperationsPerSecond(.float32, size: 64) > 0)
    }
}
