import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// The noise on embeddings (NEFTune), seen through the loss and the gradient of the embedding.
@Suite struct EmbeddingNoiseTests {
    private let engine = TestEngine.cpu(threadCount: 1)

    private func model() throws -> any CausalModel {
        try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).toModel(elementType: .float32, on: engine)
    }

    /// The embeddings that a pass sees, from the output of a stage without layers: the difference of two streams.
    private func loss(_ model: any CausalModel, _ batch: TrainingBatch, alpha: Float, stream: UInt64) throws -> Double {
        let random = RandomStream(seed: 3, stream: stream << 20)
        return try withDropout(random, embeddingNoise: alpha) {
            Double(try model.loss(batch.tokens, targets: batch.targets).item)
        }
    }

    private func batch(_ rows: [[Int32]]) throws -> TrainingBatch {
        let samples = rows.map { TrainingSample(tokens: $0, labels: $0) }
        return TrainingBatch(try CollatedBatch(samples), on: engine)
    }

    @Test func noiseChangesTrainingAndNothingElse() throws {
        let (model, batch) = (try model(), try batch([[1, 5, 9, 30, 44, 8]]))
        let plain = Double(try model.loss(batch.tokens, targets: batch.targets).item)
        #expect(try loss(model, batch, alpha: 0, stream: 1) == plain)
        let noisy = try loss(model, batch, alpha: 50, stream: 1)
        #expect(noisy != plain)
        #expect(try loss(model, batch, alpha: 50, stream: 1) == noisy)
        #expect(try loss(model, batch, alpha: 50, stream: 2) != noisy)
    }

    /// The noise of a sample is its own: neither padding nor the samples beside it change it.
    @Test func aSampleHasTheSameNoiseInEveryBatch() throws {
        let model = try model()
        let (short, long): ([Int32], [Int32]) = ([1, 5, 9], [1, 7, 12, 13, 90, 15, 16])
        let together = try loss(model, try batch([short, long]), alpha: 20, stream: 4)
        // The second row of a batch has a stream of its own, so only the first row can be compared alone.
        var padded = TrainingSample(tokens: short, labels: short)
        let first = try loss(model, try batch([short]), alpha: 20, stream: 4)
        padded.labels = short
        let silent = TrainingSample(tokens: long, labels: long.map { _ in -100 })
        let beside = TrainingBatch(try CollatedBatch([padded, silent]), on: engine)
        let same = try loss(model, beside, alpha: 20, stream: 4)
        #expect(abs(same - first) < 1e-5 * first)
        #expect(together > first)
    }

    /// The deviation of uniform noise of magnitude m is m / sqrt(3), and no number is above m.
    @Test func theMagnitudeIsThatOfThePaper() throws {
        let model = try model()
        let tokens = [Int32](repeating: 7, count: 64)
        let batch = try batch([tokens])
        let width = model.decoder.configuration.hiddenSize
        let alpha: Float = 5
        let random = RandomStream(seed: 9, stream: 0)
        let plain = try model.forward(batch.tokens, keepsHiddenStates: true).hiddenStates[0].floats()
        let noisy = try withDropout(random, embeddingNoise: alpha) {
            try model.forward(batch.tokens, keepsHiddenStates: true).hiddenStates[0].floats()
        }
        let limit = Double(alpha) / Double(64 * width).squareRoot()
        let noise = zip(noisy, plain).map { Double($0 - $1) }
        let deviation = (noise.reduce(0) { $0 + $1 * $1 } / Double(noise.count)).squareRoot()
        #expect(noise.allSatisfy { abs($0) <= limit * (1 + 1e-4) })
        #expect(abs(deviation - limit / 3.0.squareRoot()) < 0.03 * limit)
        #expect(abs(noise.reduce(0, +) / Double(noise.count)) < 0.03 * limit)
    }
}
