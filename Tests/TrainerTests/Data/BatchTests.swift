import BridgeCore
import TensorRuntime
import TestSupport
import Testing
import Tokenizers
import Trainer

@Suite struct BatchTests {
    private func sample(_ range: ClosedRange<Int32>, trainedFrom first: Int32) -> TrainingSample {
        TrainingSample(tokens: Array(range), labels: range.map { $0 >= first ? $0 : -100 })
    }

    @Test func targetsAreTheNextTokensOfTheSample() throws {
        var options = CollatedBatch.Options()
        options.paddingToken = 99
        options.padToMultipleOf = 4
        let batch = try CollatedBatch(
            [sample(10...12, trainedFrom: 12), sample(20...24, trainedFrom: 20)],
            options: options
        )
        #expect(batch.batch == 2 && batch.length == 8)
        #expect(batch.tokens == [10, 11, 12, 99, 99, 99, 99, 99, 20, 21, 22, 23, 24, 99, 99, 99])
        let none: Int32 = -100
        #expect(
            batch.targets == [
                none, 12, none, none, none, none, none, none, 21, 22, 23, 24, none, none, none, none,
            ]
        )
        #expect(batch.isPresent == (0..<16).map { $0 < 3 || (8..<13).contains($0) })
        #expect(batch.positions == [0, 1, 2, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0])
        #expect(batch.segments == nil && batch.supervisedCount == 5)
        #expect(try CollatedBatch([sample(1...3, trainedFrom: 2)]).isPresent == nil)
    }

    @Test func samplesArePackedIntoTheFirstRowWithRoom() throws {
        var options = CollatedBatch.Options()
        options.packedLength = 7
        let samples = [
            sample(10...14, trainedFrom: 10), sample(20...23, trainedFrom: 22), sample(30...31, trainedFrom: 30),
            sample(40...42, trainedFrom: 0),
        ]
        let batch = try CollatedBatch(samples, options: options)
        // 5 + 2 tokens and 4 + 3.
        #expect(batch.batch == 2 && batch.length == 7 && batch.isPresent == nil)
        #expect(batch.tokens == [10, 11, 12, 13, 14, 30, 31, 20, 21, 22, 23, 40, 41, 42])
        #expect(batch.segments == [0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1])
        #expect(batch.positions == [0, 1, 2, 3, 4, 0, 1, 0, 1, 2, 3, 0, 1, 2])
        #expect(batch.targets == [11, 12, 13, 14, -100, 31, -100, -100, 22, 23, -100, 41, 42, -100])
        options.packedLength = 4
        expectError(mentioning: "5 tokens", "at most 4") { try CollatedBatch(samples, options: options) }
        options.packedLength = 7
        options.padToMultipleOf = 8
        let padded = try CollatedBatch(samples, options: options)
        #expect(padded.segments == [0, 0, 0, 0, 0, 1, 1, -1, 0, 0, 0, 0, 1, 1, 1, -1])
        #expect(padded.isPresent == (0..<16).map { $0 % 8 < 7 })
    }

    @Test func anInvalidBatchIsAnError() throws {
        expectError(mentioning: "0 samples") { try CollatedBatch([]) }
        expectError(mentioning: "labels") { try CollatedBatch([TrainingSample(tokens: [1], labels: [])]) }
        expectError(mentioning: "labels") { try CollatedBatch([TrainingSample(tokens: [], labels: [])]) }
        var options = CollatedBatch.Options()
        options.padToMultipleOf = .max
        expectError(mentioning: "pad_to_multiple_of") {
            try CollatedBatch([sample(1...3, trainedFrom: 1)], options: options)
        }
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func packedSamplesHaveTheLogitsThatTheyHaveAlone(_ name: String) throws {
        let engine = TestEngine.cpu(threadCount: 1)
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let model = try bridge.toModel(elementType: .float32, on: engine)
        let encoder = try DataSupport.encoder(bridge.processor())
        var samples: [TrainingSample] = []
        for (index, text) in ["What is that?", "And?", "A longer question, with more words in it."].enumerated() {
            let images: [ImageSource] =
                name == "mistral" || index == 1 ? [] : [.image(try DataSupport.noise(30 + index, 25, seed: index))]
            var conversation = Conversation(prompt: text, images: images)
            conversation.messages.append(.init(role: "assistant", content: "Answer \(index)."))
            samples.append(try encoder.encode(conversation))
        }
        var options = CollatedBatch.Options()
        options.packedLength = samples.reduce(0) { $0 + $1.tokens.count }
        options.padToMultipleOf = 16
        let packed = TrainingBatch(try CollatedBatch(samples, options: options), on: engine)
        #expect(packed.tokens.batch == 1)
        let vocabulary = bridge.toProvider().decoder.vocabSize
        let together = try model.forward(packed.tokens).logits.cast(to: .float32).floats()
        var start = 0
        for sample in samples {
            let alone = TrainingBatch(try CollatedBatch([sample]), on: engine)
            let expected = try model.forward(alone.tokens).logits.cast(to: .float32).floats()
            let largest = expected.map(abs).max() ?? 0
            let part = together[start * vocabulary..<start * vocabulary + expected.count]
            let error = zip(part, expected).map { abs($0 - $1) }.max() ?? .infinity
            #expect(largest > 0 && error <= 1e-5 * largest, "\(error) of \(largest)")
            start += sample.tokens.count
        }
    }

    @Test func everyEpochIsAnotherPermutation() throws {
        let order = try EpochSampler(count: 101, shuffles: true, seed: 3)
        let epochs = (0..<3).map { order.rows(from: $0 * 101, count: 101) }
        for epoch in epochs { #expect(epoch.sorted() == Array(0..<101)) }
        #expect(Set(epochs).count == 3 && !epochs.contains(Array(0..<101)))
        // A run that goes on in the middle, over the end of an epoch, in another process.
        let again = try EpochSampler(count: 101, shuffles: true, seed: 3)
        #expect(again.rows(from: 90, count: 150) == Array(epochs.joined().dropFirst(90).prefix(150)))
        #expect(try EpochSampler(count: 101, shuffles: true, seed: 4).rows(from: 0, count: 101) != epochs[0])
        #expect(try EpochSampler(count: 3, shuffles: false, seed: 4).rows(from: 2, count: 5) == [2, 0, 1, 2, 0])
        #expect(try EpochSampler(count: 1, shuffles: true, seed: 4).rows(from: 0, count: 2) == [0, 0])
        expectError(mentioning: "no samples") { try EpochSampler(count: 0, shuffles: true, seed: 0) }
    }

    @Test func aShuffleHasNoFavourites() throws {
        // Each of the six orders of three rows comes in a sixth of the epochs: 600 of 3600, with a deviation of 22.
        let order = try EpochSampler(count: 3, shuffles: true, seed: 11)
        var counts: [[Int]: Int] = [:]
        for epoch in 0..<3600 { counts[order.rows(from: 3 * epoch, count: 3), default: 0] += 1 }
        #expect(counts.count == 6 && counts.values.allSatisfy { abs($0 - 600) < 110 }, "\(counts)")
    }

    @Test func samplesAreTruncatedAfterTheirImagesOnly() throws {
        let image: Int32 = 7
        let text = TrainingSample(tokens: [1, 2, 3, 4, 5, 6], labels: [-100, -100, -100, 4, 5, 6])
        let early = TrainingSample(tokens: [1, image, image, 4, 5, 6], labels: [-100, -100, -100, 4, 5, 6])
        let fitter = try SampleTruncation(seqLength: 4, imageTokenID: 7)
        #expect(try fitter.fit(text).sample == TrainingSample(tokens: [1, 2, 3, 4], labels: [-100, -100, -100, 4]))
        #expect(try fitter.fit(early).outcome == .cut(2))
        let whole = try SampleTruncation(seqLength: 6, imageTokenID: 7).fit(text)
        #expect(whole.sample == text && whole.outcome == .whole)
        // The token behind the last feature ends the image, so the sample is cut behind it or not at all.
        let short = try SampleTruncation(seqLength: 3, imageTokenID: 7)
        expectError(mentioning: "6 tokens", "at most 3") { try short.fit(early) }
        let skipping = try SampleTruncation(seqLength: 3, imageTokenID: 7, tooLong: .skip)
        let skipped = try skipping.fit(early)
        #expect(skipped.outcome == .skipped && skipped.sample == TrainingSample(tokens: [1], labels: [-100]))

        var statistics = SampleStatistics()
        for (sample, outcome) in try [fitter.fit(text), fitter.fit(early), skipping.fit(early)] {
            statistics.count(sample, outcome)
        }
        statistics.count(TrainingSample(tokens: [1, 2], labels: [1, -100]), .whole)
        #expect(statistics.sampleCount == 4 && statistics.tokenCount == 10 && statistics.supervisedCount == 2)
        #expect(statistics.tooLong == 1 && statistics.cut == 2 && statistics.cutTokens == 4)
        #expect(statistics.withoutTrainedToken == 1)
        var sum = statistics
        sum += statistics
        #expect(sum.sampleCount == 8 && sum.cutTokens == 8 && sum.withoutTrainedToken == 2)
    }

    private struct Numbers: SampleSource {
        let count: Int
        func sample(at row: Int) throws -> TrainingSample {
            if row == 5 { throw BridgeError(.corruptInput, "row 5 is bad") }
            return TrainingSample(tokens: [Int32(row), 100], labels: [-100, 100])
        }
    }

    @Test func aMicroBatchFollowsFromItsPosition() throws {
        let preparer = try BatchCollator(
            source: Numbers(count: 8),
            order: EpochSampler(count: 8, shuffles: false, seed: 0),
            fitter: SampleTruncation(seqLength: 2, imageTokenID: nil)
        )
        let prepared = try preparer.prepare(from: 14, count: 3)
        #expect(prepared.batch.tokens == [6, 100, 7, 100, 0, 100])
        #expect(prepared.consumed == 17 && prepared.statistics.supervisedCount == 3)
        expectError(mentioning: "row 5 is bad") { try preparer.prepare(from: 4, count: 2) }
        expectError(mentioning: "created for 8", "has 7") {
            try BatchCollator(source: Numbers(count: 7), order: preparer.order, fitter: preparer.fitter)
        }
    }

    /// With two copies of the model each prepares its own micro-batches ahead, and none of the other's.
    @Test func aCopyPreparesItsOwnMicroBatchesOnly() throws {
        let source = Recorded(count: 40)
        let preparer = try BatchCollator(
            source: source,
            order: EpochSampler(count: 40, shuffles: false, seed: 0),
            fitter: SampleTruncation(seqLength: 2, imageTokenID: nil)
        )
        let loader = DataLoader(preparer, workers: 1, on: TestEngine.cpu(threadCount: 1), copies: 2)
        for micro in 0..<4 {
            // The second copy's micro-batches of three samples.
            let first = (2 * micro + 1) * 3
            let batch = try loader.batch(first: first, count: 3)
            #expect(batch.tokens.tokens == (first..<first + 3).flatMap { [Int32($0), 100] })
        }
        let rows = source.rows.value
        #expect(rows.allSatisfy { $0 / 3 % 2 == 1 })
        #expect(Set(rows).count == rows.count)
    }

    /// Rows that keep which of them were read.
    private struct Recorded: SampleSource {
        let count: Int
        let rows = Monitor<[Int]>([])
        func sample(at row: Int) -> TrainingSample {
            rows.update { $0.append(row) }
            return TrainingSample(tokens: [Int32(row), 100], labels: [-100, 100])
        }
    }
}
