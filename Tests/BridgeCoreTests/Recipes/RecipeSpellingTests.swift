import BridgeCore
import Testing

/// Settings that Megatron Bridge renamed, under both names.
@Suite struct RecipeSpellingTests {
    /// The old and the new key of each renamed setting, and two values.
    static let renamed = [
        ("train.eval_iters", "validation.eval_iters", "7", "9"),
        ("train.eval_interval", "validation.eval_interval", "7", "9"),
        ("dataset.maker_name", "dataset.source.dataset_name", "cord_v2", "medpix"),
        ("dataset.maker_name", "dataset.source.schema_adapter", "cord_v2", "medpix"),
        ("dataset.path_or_dataset", "dataset.source.path_or_dataset", "one", "two"),
        ("dataset.pack_sequences_in_batch", "dataset.enable_in_batch_packing", "true", "false"),
        ("dataset.packed_sequence_size", "dataset.packed_sequence_specs.packed_sequence_size", "4096", "8192"),
        ("dataset.packed_sequence_size", "dataset.offline_packing_specs.packed_sequence_size", "4096", "8192"),
        ("dataset.prepared_path", "dataset.dataset_prepared_path", "one", "two"),
    ]

    @Test(arguments: renamed)
    func bothSpellingsMeanTheSame(_ old: String, _ new: String, _ value: String, _ other: String) throws {
        var (one, two, neither) = (Recipe(name: "a"), Recipe(name: "a"), Recipe(name: "a"))
        // The default is one of the two values of a truth value.
        try neither.apply(["\(old)=\(other)"])
        try one.apply(["\(old)=\(value)"])
        try two.apply(["\(new)=\(value)"])
        #expect(one == two && one != neither)
        let section = new.split(separator: ".").dropLast().map { "\($0): {" }.joined()
        let close = String(repeating: "}", count: new.split(separator: ".").count - 1)
        let text = "\(section)\(new.split(separator: ".").last ?? ""): \(value)\(close)\n"
        #expect(try Recipe(yaml: text, name: "a") == one)
    }

    @Test(arguments: renamed)
    func bothSpellingsAtOnceWithDifferentValuesAreAnError(
        _ old: String,
        _ new: String,
        _ value: String,
        _ other: String
    ) throws {
        let sentence = "\(old) is \(value) and \(new) is \(other), but they are the same setting; give one of them"
        var recipe = Recipe(name: "a")
        let error = #expect(throws: BridgeError.self) { try recipe.apply(["\(old)=\(value)", "\(new)=\(other)"]) }
        #expect(error?.code == .badArgument && error?.message == sentence)
        // The same value twice is not a conflict, and neither is a second value of one spelling.
        try recipe.apply(["\(old)=\(value)", "\(new)=\(value)"])
        try recipe.apply(["\(new)=\(value)", "\(new)=\(other)"])
    }

    /// Settings of packing that every run has are accepted, others are refused with what to set.
    @Test(arguments: ["packed_sequence_specs", "offline_packing_specs"])
    func furtherSettingsOfPackingAreAcceptedOrExplained(_ specs: String) throws {
        var recipe = Recipe(name: "a")
        try recipe.apply([
            "dataset.\(specs).packed_sequence_size=4096", "dataset.\(specs).pad_cu_seqlens=false",
            "dataset.\(specs).pad_seq_to_mult=1", "dataset.enable_offline_packing=false",
        ])
        #expect(recipe.dataset.packedSequenceSize == 4096)
        for (setting, words) in [
            ("packed_train_data_path=a.npy", "dataset.dataset_type=tokenized"), ("pad_seq_to_mult=8", "no padding"),
            ("tokenizer_model_name=a", "that of the model"),
        ] {
            let error = #expect(throws: BridgeError.self) { try recipe.apply(["dataset.\(specs).\(setting)"]) }
            #expect(error?.message.contains("is not supported: ") == true && error?.message.contains(words) == true)
        }
    }

    @Test func aFileWithBothSpellingsIsRefusedWithTheLine() {
        let text = "train:\n  eval_iters: 3\nvalidation:\n  eval_iters: 4\n"
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        #expect(
            error?.names == [
                "run.yaml:4: train.eval_iters is 3 and validation.eval_iters is 4, but they are the same setting; "
                    + "give one of them"
            ]
        )
    }

    @Test func aSettingThatIsNotAvailableIsAcceptedWithTheValueThatEveryRunHas() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply([
            "model.virtual_pipeline_model_parallel_size=None", "model.sequence_parallel=False",
            "model.expert_model_parallel_size=1", "model.calculate_per_token_loss=True",
        ])
        #expect(recipe == Recipe(name: "a"))
        #expect(try Recipe(yaml: "model: {sequence_parallel: false}", name: "a") == recipe)
        let error = #expect(throws: BridgeError.self) {
            try recipe.apply(["model.expert_model_parallel_size=2"])
        }
        #expect(
            error?.message
                == "model.expert_model_parallel_size is not supported: no supported model has experts"
        )
    }

    @Test func aSettingThatIsGivenTwiceIsReported() {
        let given = ["optimizer.lr=1", "train.seed=3", "optimizer.lr=2", "train.seed=3", "optimizer.lr=4"]
        #expect(Recipe.repetitions(in: given) == ["optimizer.lr is given 3 times; 4 is used, not 1, 2"])
        #expect(Recipe.repetitions(in: ["optimizer.lr=1", "train.seed=3", "no setting"]).isEmpty)
    }

    @Test func aFileThatNamesARecipeForOneModeTakesItsScheme() throws {
        let template = RecipeTemplate.modes(
            stem: "model",
            hfPath: "org/model",
            summary: "",
            sft: .init(tensorSize: 2, pipelineSize: 3, lr: 5e-4, minLR: 6e-5),
            peft: .init(lr: 7e-4, minLR: 8e-5)
        ) { $0.train.microBatchSize = 4 }
        #expect(template.map(\.name) == ["model_sft_config", "model_peft_config"])
        #expect(
            template.map(\.aliases) == [["model_sft_6gpu_h100_bf16_config"], ["model_peft_1gpu_h100_bf16_config"]]
        )
        let recipe = try Recipe(yaml: "recipe: model_peft_config", name: "a") { _, scheme in
            try template[1].recipe(peft: scheme)
        }
        #expect(recipe.peft.scheme == .lora && recipe.optimizer.lr == 7e-4 && recipe.optimizer.minLR == 8e-5)
        let error = #expect(throws: BridgeError.self) { try template[0].recipe(peft: .dora) }
        #expect(
            error?.message
                == "model_sft_config does not support the adapter scheme dora, expected none; 'bridge recipes list' shows the "
                + "other recipes"
        )
    }
}
