import BridgeCore
import Testing

/// Settings in epochs, by `ceil(epochs x samples / batch)`.
@Suite struct RecipeEpochTests {
    private func counted(_ settings: [String], _ samples: Int) throws -> Recipe {
        var recipe = Recipe(name: "run")
        try recipe.apply(settings)
        _ = recipe.countEpochs(of: samples)
        return recipe
    }

    @Test(
        arguments: [
            (3.0, 120, 8, 45), (1.5, 11, 4, 5), (0.5, 10, 8, 1), (0.001, 10, 8, 1), (1.0, 8, 8, 1), (1.0, 9, 8, 2),
            (1.0 / 3, 24, 8, 1), (10.0, 1, 32, 1),
        ] as [(Double, Int, Int, Int)]
    )
    func stepsFollowFromEpochs(_ epochs: Double, _ samples: Int, _ batch: Int, _ steps: Int) throws {
        let recipe = try counted(["train.num_epochs=\(epochs)", "train.global_batch_size=\(batch)"], samples)
        #expect(recipe.train.trainIters == steps)
    }

    /// `train_iters = train_samples // global_batch_size`: `update_train_iters` in megatron/training/training.py, 0.14.
    @Test(arguments: [(120, 8, 15), (127, 8, 15), (8, 8, 1), (1000, 1, 1000)])
    func stepsFollowFromSamples(_ samples: Int, _ batch: Int, _ steps: Int) throws {
        for known in [nil, 5, 1 << 20] {
            var recipe = Recipe(name: "run")
            try recipe.apply(["train.train_samples=\(samples)", "train.global_batch_size=\(batch)"])
            let note = "train.train_iters is \(steps): \(samples) samples in batches of \(batch)"
            #expect(recipe.countEpochs(of: known).contains(note))
            #expect(recipe.train.trainIters == steps)
        }
    }

    @Test func intervalsFollowToo() throws {
        let settings = ["train.evals_per_epoch=4", "checkpoint.saves_per_epoch=2", "train.global_batch_size=8"]
        let recipe = try counted(settings, 120)
        // An epoch is 15 steps.
        #expect(recipe.train.evalInterval == 4 && recipe.checkpoint.saveInterval == 8)
        #expect(recipe.train.trainIters == Recipe(name: "").train.trainIters)
    }

    @Test func theWarmUpOfAShortRunIsShortened() throws {
        var recipe = Recipe(name: "run")
        (recipe.train.trainIters, recipe.train.numEpochs, recipe.train.globalBatchSize) = (1000, 1, 8)
        recipe.scheduler.lrWarmupIters = 100
        let notes = recipe.countEpochs(of: 160)
        #expect(recipe.train.trainIters == 20 && recipe.scheduler.lrWarmupIters == 2)
        #expect(notes.count == 2)
    }

    @Test(arguments: [
        ("train.num_epochs=0", "train.num_epochs is 0.0"), ("train.train_samples=0", "train.train_samples is 0"),
        ("train.train_samples=7", "less than one batch of train.global_batch_size"),
        ("train.patience=0", "train.patience is 0"),
        ("dataset.val_set_size=1.5", "dataset.val_set_size is 1.5"),
        ("dataset.val_set_size=-0.1", "dataset.val_set_size is -0.1"),
    ])
    func wrongValuesAreNamed(_ setting: String, _ words: String) throws {
        var recipe = Recipe(name: "run")
        try recipe.apply([setting, "dataset.dataset_type=mock"])
        let problems = RecipeCheck(recipe).problems
        #expect(problems.contains { $0.contains(words) }, "\(problems)")
    }
}
