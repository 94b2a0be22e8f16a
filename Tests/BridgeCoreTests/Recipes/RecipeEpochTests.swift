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

    /// Steps `ceil(k x samples / parts / batch)`, where each whole epoch ends with one.
    @Test(arguments: [
        (45, 7, 3, 1, [7, 13, 20]), (120, 8, 2, 4, [4, 8, 12, 15, 19, 23, 27, 30]), (10, 10, 3, 1, [1, 2, 3]),
        (5, 2, 2, 4, [1, 2, 3, 4, 5]), (64, 4, 1, 2, [8, 16]),
    ]) func thePartsOfEpochsEndInSteps(_ samples: Int, _ batch: Int, _ epochs: Int, _ parts: Int, _ steps: [Int]) throws
    {
        let recipe = try counted(
            [
                "train.num_epochs=\(epochs)", "train.global_batch_size=\(batch)", "train.evals_per_epoch=\(parts)",
                "checkpoint.saves_per_epoch=\(parts)", "train.eval_iters=1",
            ],
            samples
        )
        let expected = Set((1...epochs * parts).map { (Double($0 * samples) / Double(parts * batch)).rounded(.up) })
        #expect(expected == Set(steps.map(Double.init)))
        let all = Array(1...recipe.train.trainIters)
        #expect(all.filter { recipe.validates(after: $0, samples: samples) } == steps)
        #expect(all.filter { recipe.saves(after: $0, samples: samples) } == steps)
    }

    @Test func theLastStepIsValidatedUnlessValidationIsOff() throws {
        func steps(_ settings: String...) throws -> [Int] {
            var recipe = Recipe(name: "run")
            try recipe.apply(["train.train_iters=7"] + settings)
            return (1...7).filter { recipe.validates(after: $0, samples: nil) }
        }
        #expect(try steps("train.eval_interval=3", "train.eval_iters=1") == [3, 6, 7])
        #expect(try steps("train.eval_interval=30", "train.eval_iters=1") == [7])
        #expect(try steps("train.eval_interval=0", "train.eval_iters=1") == [])
        #expect(try steps("train.eval_interval=3", "train.eval_iters=0") == [])
    }

    /// The share of the warm-up is that of the recommended recipe at every length, and what is set is kept.
    @Test func theWarmUpHasNoJump() throws {
        let recommended = Recipe(name: "run")
        let (steps, warmup) = (recommended.train.trainIters, recommended.scheduler.lrWarmupIters)
        #expect(warmup > 0 && steps > 200)
        var last = 0
        for count in 1...2 * steps {
            var recipe = recommended
            recipe.train.trainIters = count
            let notes = recipe.followTrainIters(of: recommended, changed: ["train.train_iters"])
            let found = recipe.scheduler.lrWarmupIters
            #expect(found == warmup * count / steps && found - last <= 1)
            #expect(notes.isEmpty == (found == warmup))
            last = found
            var given = recommended
            given.train.trainIters = count
            let keys: Set = ["train.train_iters", "scheduler.lr_warmup_iters"]
            #expect(given.followTrainIters(of: recommended, changed: keys).isEmpty)
            #expect(given.scheduler.lrWarmupIters == warmup)
        }
        // That of a user's file is shortened where it does not fit.
        for (count, expected) in [(warmup + 1, warmup), (warmup, warmup * warmup / steps), (3 * steps, warmup)] {
            var recipe = recommended
            recipe.train.trainIters = count
            _ = recipe.followTrainIters(of: recommended, changed: ["train.train_iters"], own: Recipe.keysOfPhases)
            #expect(recipe.scheduler.lrWarmupIters == expected)
        }
    }

    @Test func theWarmUpOfARecommendedRecipeFollowsEpochs() throws {
        var recipe = Recipe(name: "run")
        (recipe.train.trainIters, recipe.train.numEpochs, recipe.train.globalBatchSize) = (1000, 1, 8)
        recipe.scheduler.lrWarmupIters = 100
        _ = recipe.countEpochs(of: 1600, scalesWarmup: true)
        #expect(recipe.train.trainIters == 200 && recipe.scheduler.lrWarmupIters == 20)
        recipe.scheduler.lrWarmupIters = 100
        _ = recipe.countEpochs(of: 1608)
        #expect(recipe.train.trainIters == 201 && recipe.scheduler.lrWarmupIters == 100)
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
