import BridgeCore
import Testing

/// The rules between settings.
@Suite struct RecipeCheckTests {
    private func sound() throws -> Recipe {
        var recipe = Recipe(name: "sound")
        try recipe.apply(["checkpoint.pretrained_checkpoint=model"])
        return recipe
    }

    @Test func aSoundRecipeHasNoProblem() throws { #expect(RecipeCheck(try sound()).problems.isEmpty) }

    @Test(arguments: [
        (["train.global_batch_size=31", "train.micro_batch_size=2"], "train.global_batch_size is 31"),
        (["train.micro_batch_size=0"], "train.micro_batch_size is 0"),
        (["train.train_iters=50"], "scheduler.lr_warmup_iters is 50"),
        (["scheduler.lr_decay_iters=20"], "scheduler.lr_warmup_iters is 50"),
        (["scheduler.lr_warmup_fraction=1"], "scheduler.lr_warmup_fraction is 1.0"),
        (
            ["scheduler.lr_decay_fraction=0.02"],
            "scheduler.lr_warmup_iters is 50, expected 0 or more and less than the decay steps of scheduler.lr_decay_fraction, which are 20"
        ),
        (["scheduler.lr_decay_fraction=0"], "scheduler.lr_decay_fraction is 0.0"),
        (
            ["scheduler.lr_decay_style=WSD", "scheduler.lr_wsd_decay_fraction=1.5"],
            "scheduler.lr_wsd_decay_fraction is 1.5"
        ),
        (
            ["train.metric_for_best_model=rewards/margins"],
            "train.metric_for_best_model is rewards/margins, which only pairs of answers have"
        ),
        (
            ["preference.loss_type=dpo", "train.metric_for_best_model=token_accuracy"],
            "train.metric_for_best_model is token_accuracy, which pairs of answers do not have"
        ),
        (["optimizer.min_lr=1"], "optimizer.min_lr is 1.0"),
        (["optimizer.lr=0"], "optimizer.lr is 0.0"),
        (["optimizer.adam_beta2=1"], "optimizer.adam_beta2 is 1.0"),
        (["scheduler.lr_decay_style=WSD"], "scheduler.lr_wsd_decay_iters is not set"),
        (["scheduler.end_weight_decay=0.2"], "scheduler.weight_decay_incr_style is constant"),
        (["dataset.seq_length=2048"], "dataset.seq_length is 2048"),
        (["dataset.dataset_type=preloaded"], "dataset.train_data_path is empty"),
        (["checkpoint.pretrained_checkpoint="], "checkpoint.pretrained_checkpoint is empty"),
        (
            [
                "model.freeze_language_model=true", "model.freeze_vision_model=true",
                "model.freeze_vision_projection=true",
            ],
            "nothing is trainable"
        ),
        (["peft.vision_lora=true"], "peft.vision_lora is true"),
        (["peft.scheme=lora", "peft.dim=0"], "peft.dim is 0"),
        (["peft.scheme=lora", "peft.dropout=1"], "peft.dropout is 1.0"),
        (["peft.scheme=dora", "peft.target_modules=[]"], "peft.target_modules is empty"),
        (
            ["peft.scheme=lora", "peft.target_modules=[linear_qkv]", "peft.exclude_modules=[linear_qkv]"],
            "peft.exclude_modules excludes all"
        ),
        (
            ["peft.scheme=lora", "peft.vision_lora=true", "model.freeze_vision_model=true"],
            "peft.vision_lora and model.freeze_vision_model are both true"
        ),
        (["peft.scheme=lora", "model.freeze_language_model=true"], "the language model is frozen"),
    ])
    func oneBrokenRuleIsOneProblem(_ settings: [String], _ beginning: String) throws {
        var recipe = try sound()
        try recipe.apply(settings)
        let problems = RecipeCheck(recipe).problems
        #expect(problems.contains { $0.hasPrefix(beginning) }, "\(problems)")
        #expect(throws: BridgeError.self) { try RecipeCheck(recipe).validate() }
    }

    @Test func allProblemsAreListedAtOnce() throws {
        var recipe = Recipe(name: "broken")
        try recipe.apply(["train.global_batch_size=31", "optimizer.min_lr=1", "dataset.seq_length=1"])
        #expect(RecipeCheck(recipe, dataParallelSize: 2).problems.count == 4)
    }

    @Test func whatCannotBeUsedIsListedWithTheBrokenRules() throws {
        var recipe = Recipe(name: "broken")
        let refusals = recipe.applyUsable([
            "optimizer.min_lr=1", "dataset.seq_length=x", "model.seq_length=5", "train.nothing=1",
        ])
        #expect(recipe.model.seqLength == 5)
        let problems = RecipeCheck(recipe, refusals: refusals).problems
        // That the two lengths differ follows from the one that could not be set.
        #expect(problems.count == 4, "\(problems)")
        #expect(problems[0] == "dataset.seq_length is 'x', expected a whole number")
        #expect(problems[1].hasPrefix("train.nothing is not a setting"))
        #expect(problems[2].hasPrefix("optimizer.min_lr is 1.0"))
        #expect(problems[3].hasPrefix("checkpoint.pretrained_checkpoint is empty"))
    }

    @Test func aFrozenLanguageModelHasATowerWithAdapters() throws {
        var recipe = try sound()
        try recipe.apply(["peft.scheme=lora", "model.freeze_language_model=true", "peft.vision_lora=true"])
        #expect(RecipeCheck(recipe).problems.isEmpty)
    }

    @Test func aFamilyThatReadsTextHasNothingToTrainBesidesItsLanguageModel() throws {
        var recipe = try sound()
        let text = RecipeTemplate.Abilities(readsImages: false, packsSequences: false)
        try recipe.apply(["model.freeze_language_model=true"])
        #expect(RecipeCheck(recipe).problems.isEmpty)
        #expect(RecipeCheck(recipe, abilities: text).problems.first?.hasPrefix("nothing is trainable") ?? false)
        try recipe.apply(["peft.scheme=lora", "peft.vision_lora=true", "dataset.pack_sequences_in_batch=true"])
        #expect(RecipeCheck(recipe).problems.isEmpty)
        #expect(RecipeCheck(recipe, abilities: text).problems.count == 2)
    }

    @Test func packedRowsHoldASampleAndExcludeOtherPacking() throws {
        var recipe = try sound()
        let length = recipe.dataset.seqLength
        try recipe.apply(["dataset.packed_sequence_size=\(length)"])
        #expect(RecipeCheck(recipe).problems.isEmpty)
        #expect(recipe.rowLength == length)
        // Megatron Bridge's value for none.
        try recipe.apply(["dataset.packed_sequence_size=-1", "dataset.pack_sequences_in_batch=true"])
        #expect(RecipeCheck(recipe).problems.isEmpty && recipe.rowLength == recipe.model.seqLength)
        try recipe.apply(["dataset.packed_sequence_size=\(length - 1)", "preference.loss_type=dpo"])
        let found = RecipeCheck(recipe, abilities: .init(packsSequences: false)).problems
        let problems = found.filter { $0.hasPrefix("dataset.packed_sequence_size ") }
        #expect(problems.count == 4, "\(problems)")
        #expect(problems[0].contains("less than dataset.seq_length, which is \(length)"))
        #expect(problems[1].contains("set dataset.pack_sequences_in_batch=false"))
        #expect(problems[2].contains("pairs are not packed"))
        #expect(problems[3].contains("this family cannot keep the samples of a row apart"))
    }

    @Test func extremeNumbersAreProblemsAndNotCrashes() throws {
        for field in RecipeTable.fields where field.expectation.hasPrefix("a whole number") {
            for text in ["9223372036854775807", "-9223372036854775807"] {
                var recipe = try sound()
                if field.set(text: text, in: &recipe) == nil, field.key != "rng.seed" {
                    #expect(!RecipeCheck(recipe, dataParallelSize: .max).problems.isEmpty, "\(field.key)")
                }
            }
        }
    }
}
