import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Training on samples that are packed before the run.
@Suite struct PackedRunTests {
    private static let models = ["mistral", "ministral3", "gemma3"]

    private static func packed(_ name: String, _ data: String) -> Recipe {
        var recipe = PreparedSupport.recipe(name, data)
        (recipe.dataset.packedSequenceSize, recipe.dataset.packingAlgorithm) = (320, .firstFitDecreasing)
        recipe.train.microBatchSize = 1
        return recipe
    }

    /// The loss of all samples, the mean over their supervised tokens, and the gradient are those of one sample per row.
    @Test(arguments: models, [["assistant"], ["user", "assistant"]])
    func packedSamplesHaveTheLossOfUnpackedOnes(_ name: String, _ roles: [String]) throws {
        let directory = try TemporaryDirectory()
        let data = try PreparedSupport.rows(directory, images: name != "mistral")
        var (packed, plain) = (Self.packed(name, data), PreparedSupport.recipe(name, data))
        (packed.dataset.rolesToTrain, plain.dataset.rolesToTrain) = (roles, roles)
        let rows = try PreparedSupport.opener(packed).training().count
        #expect(rows < 8)
        func steps(_ recipe: Recipe, _ counts: [Int]) throws -> LayoutTests.Steps {
            let opener = try PreparedSupport.opener(recipe)
            let collator = try opener.preparer(opener.training(), shuffles: false)
            return try LayoutTests.run(name, .init(), in: SingleRankWorld(), steps: 3) { engine in
                var first = 0
                return try counts.map { count in
                    defer { first += count }
                    return TrainingBatch(try collator.prepare(from: first, count: count).batch, on: engine)
                }
            }
        }
        let expected = try steps(plain, [4, 4, 4])
        let found = try steps(packed, Array(repeating: 1, count: rows))
        for step in 0..<3 {
            let (loss, norm) = (expected.losses[step], expected.norms[step])
            #expect(abs(found.losses[step] - loss) <= 1e-5 * loss, "loss \(step)")
            #expect(abs(found.norms[step] - norm) <= 1e-5 * norm, "norm \(step)")
        }
        let images = try PreparedSupport.opener(packed).training()
        let counts = try (0..<rows).map { try images.samples(at: $0).reduce(0) { $0 + $1.images.count } }
        #expect(counts.reduce(0, +) == (name == "mistral" ? 0 : 4))
    }

    /// The second half of a run of packed and prepared data equals that of an uninterrupted run on the data itself.
    @Test(arguments: [("mistral", Recipe.PEFTSection.Scheme.none), ("gemma3", .lora)])
    func aResumedRunHasTheBitsOfAnUninterruptedOne(_ name: String, _ scheme: Recipe.PEFTSection.Scheme) throws {
        let directory = try TemporaryDirectory()
        let data = try PreparedSupport.rows(directory, images: name != "mistral")
        var recipe = Self.packed(name, data)
        (recipe.dataset.packingAlgorithm, recipe.train.globalBatchSize) = (.firstFitShuffle, 2)
        (recipe.peft.scheme, recipe.peft.dim, recipe.peft.dropout) = (scheme, 4, 0.2)
        recipe.checkpoint.save = directory.path("whole")
        let whole = try PreparedSupport.run(recipe)
        #expect(try whole.trainer.run().end == .done)

        try PreparedSupport.prepare(recipe, in: directory.path("prepared"))
        recipe.dataset.preparedPath = directory.path("prepared")
        recipe.checkpoint.save = directory.path("parts")
        let first = try PreparedSupport.run(recipe)
        #expect(try first.trainer.run { first.log.steps.count == 2 }.iteration == 2)
        let second = try PreparedSupport.run(recipe)
        #expect(try second.trainer.run().iteration == 4)
        #expect(first.log.losses + second.log.losses == whole.log.losses)
        #expect(Set(whole.log.losses).count == 4)
        #expect(PreparedSupport.weights(second.run) == PreparedSupport.weights(whole.run))
    }

    @Test func batchesAndEpochsCountRows() throws {
        let directory = try TemporaryDirectory()
        let data = try PreparedSupport.rows(directory, images: false)
        var recipe = Self.packed("mistral", data)
        (recipe.train.numEpochs, recipe.train.globalBatchSize) = (2, 1)
        (recipe.train.evalInterval, recipe.train.evalIters) = (2, 1)
        recipe.dataset.valSetSize = 3
        let opener = try PreparedSupport.opener(recipe)
        let sources = try opener.sources(validates: true)
        let rows = sources.training.count
        #expect(
            sources.notes.count == 2
                && sources.notes[0].hasPrefix("training: 9 samples packed into \(rows) rows of 320")
        )
        #expect(sources.notes[1].hasPrefix("\(data): 3 samples packed into 1 row of 320"))
        let run = try PreparedSupport.run(recipe)
        #expect(run.run.sampleCount == rows)
        #expect(try run.trainer.run().iteration == 2 * rows)
        #expect(!run.log.validations.isEmpty)
    }
}
