import BridgeCore
import JSONTree
import TestSupport
import Testing

/// Keys, files and arguments of recipes.
@Suite struct RecipeTableTests {
    /// A value that differs from what a field has.
    private func other(than json: JSON, for field: RecipeField) -> [JSON] {
        switch json {
        case .bool(let value): [.bool(!value)]
        case .number(let number): [.number(JSONNumber((number.integer ?? 1) + 3)), 0.375]
        case .array: [["one", "tw.o*", "3"], [0.25, 2]]
        case .null: [17, 0.375]
        case .object: []
        case .string:
            // The names in "a, b or c", else any text with all that YAML could take for something else.
            field.expectation == "a string"
                ? ["true: #'\"1e3 \n ü"]
                : field.expectation.split(whereSeparator: { " ,".contains($0) }).map { .string(String($0)) }
        }
    }

    @Test func aRecipeWithEverySettingChangedComesBackFromYAMLAndJSON() throws {
        var recipe = Recipe(name: "start")
        for field in RecipeTable.fields {
            let before = field.value(of: recipe)
            for value in other(than: before, for: field) where value != before {
                if field.set(value, in: &recipe) == nil { break }
            }
            #expect(field.value(of: recipe) != before, "\(field.key) is not changed")
        }
        #expect(recipe.differences(from: Recipe(name: "start")).count == RecipeTable.fields.count)
        #expect(try Recipe(yaml: recipe.yaml(), name: "recipe.yaml") == recipe)
        let json = String(decoding: recipe.json.text(), as: UTF8.self)
        #expect(try Recipe(yaml: json, name: "recipe.json") == recipe)
    }

    @Test func everyStoredSettingHasAKey() throws {
        var count = 2
        for section in Mirror(reflecting: Recipe(name: "a")).children where section.label != "name" {
            let fields = Mirror(reflecting: section.value)
            if fields.displayStyle == .struct, section.label != "hfPath" {
                count += fields.children.count
            } else if section.label != "hfPath" {
                count += 1
            }
        }
        #expect(RecipeTable.fields.count == count)
        #expect(Set(RecipeTable.fields.map(\.key)).count == count)
    }

    /// The command line of Megatron Bridge 0.3's `peft.sh` for both families with images.
    @Test func theOverridesOfMegatronBridgeAreAccepted() throws {
        var recipe = Recipe(name: "a")
        try recipe.apply([
            "checkpoint.pretrained_checkpoint=/models/a", "model.seq_length=2048", "train.train_iters=50",
            "train.global_batch_size=16", "train.micro_batch_size=2", "train.eval_iters=10", "optimizer.lr=2e-4",
            "optimizer.min_lr=2e-5", "scheduler.lr_warmup_iters=11", "checkpoint.save=/results/1e3",
            "logger.log_interval=1", "logger.wandb_project=project", "logger.wandb_exp_name=true",
            "dataset.maker_name=make_raven_dataset", "dataset.seq_length=2048",
            "model.tensor_model_parallel_size=2", "model.pipeline_model_parallel_size=4",
            "validation.eval_interval=5", "peft.target_modules=[linear_qkv, '*.linear_fc1']",
        ])
        #expect(recipe.checkpoint.pretrainedCheckpoint == "/models/a")
        #expect(recipe.model.seqLength == 2048 && recipe.dataset.seqLength == 2048)
        #expect(recipe.train.trainIters == 50 && recipe.train.globalBatchSize == 16)
        #expect(recipe.train.microBatchSize == 2 && recipe.train.evalIters == 10 && recipe.train.evalInterval == 5)
        #expect(recipe.optimizer.lr == 2e-4 && recipe.optimizer.minLR == 2e-5)
        #expect(recipe.scheduler.lrWarmupIters == 11)
        #expect(recipe.checkpoint.save == "/results/1e3")
        #expect(recipe.logger.logInterval == 1 && recipe.logger.wandbProject == "project")
        #expect(recipe.logger.wandbExpName == "true")
        #expect(recipe.dataset.makerName == "make_raven_dataset")
        #expect(recipe.model.tensorModelParallelSize == 2 && recipe.model.pipelineModelParallelSize == 4)
        #expect(recipe.peft.targetModules == ["linear_qkv", "*.linear_fc1"])
    }

    @Test(arguments: [
        ("train.global_batch_size=abc", "train.global_batch_size is 'abc', expected a whole number"),
        ("train.global_batch_size=1.5", "train.global_batch_size is '1.5', expected a whole number"),
        ("train.global_batch_size=", "train.global_batch_size is '', expected a whole number"),
        (
            "train.global_batch_size=99999999999999999999",
            "train.global_batch_size is '99999999999999999999', expected a whole number"
        ),
        ("optimizer.lr=nan", "optimizer.lr is 'nan', expected a finite number"),
        ("rng.seed=-1", "rng.seed is '-1', expected a whole number that is not negative"),
        ("dataset.shuffle=7", "dataset.shuffle is '7', expected true or false"),
        ("peft.scheme=qlora", "peft.scheme is 'qlora', expected none, lora or dora"),
        ("train.globl_batch_size=3", "train.globl_batch_size is not a setting, did you mean train.global_batch_size?"),
        ("global_batch_size=3", "global_batch_size is not a setting, did you mean train.global_batch_size?"),
        ("train.iters=3", "train.iters is not a setting, did you mean train.train_iters?"),
        ("model.lr=3", "model.lr is not a setting, did you mean optimizer.lr?"),
        ("zzz.zzz=3", "zzz.zzz is not a setting; 'bridge recipes settings' lists them all"),
        (
            "train=3",
            "train is a section and has no value of its own, expected one of its settings, such as train.eval_interval"
        ),
        (
            "peft.target_modules=linear_qkv",
            "peft.target_modules is 'linear_qkv', expected a list, each of it a string"
        ),
        ("peft.target_modules=[a,,b]", "peft.target_modules is '[a,,b]', expected a list, each of it a string"),
        ("peft.target_modules=['a]", "peft.target_modules is '['a]', expected a list, each of it a string"),
        ("peft.target_modules=[[a]]", "peft.target_modules is '[[a]]', expected a list, each of it a string"),
        ("train.manual_gc=true", "train.manual_gc is not supported: there is no garbage collector"),
        ("=3", "'=3' is not a setting, expected section.key=value"),
        ("--fast", "'--fast' is not a setting, expected section.key=value"),
    ])
    func aWrongArgumentIsExplained(_ argument: String, _ sentence: String) throws {
        let error = #expect(throws: BridgeError.self) {
            var recipe = Recipe(name: "a")
            try recipe.apply([argument])
        }
        #expect(error?.message == sentence)
    }

    @Test func allMistakesOfAFileAreListedWithTheirLines() throws {
        let text = """
            train:
              global_batch_size: abc
              trainiters: 5
            profiling: {use_pytorch_profiler: true}
            optimizer:
              lr: 5e-6
            """
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        #expect(error?.code == .badArgument)
        #expect(
            error?.names == [
                "run.yaml:2: train.global_batch_size is 'abc', expected a whole number",
                "run.yaml:3: train.trainiters is not a setting, did you mean train.train_iters?",
                "run.yaml:4: profiling.use_pytorch_profiler is not supported: the profilers of CUDA and torch do not support this program",
            ]
        )
    }

    @Test(arguments: [
        "", "a", "[1, 2]", "train: [", "train:\n\tlr: 1", "a: &a [1]\nb: *a", String(repeating: "[", count: 100_000),
        "a: " + String(repeating: "{a: ", count: 50_000), String(repeating: "- ", count: 100_000),
        (0..<2000).map { String(repeating: " ", count: $0) + "a:\n" }.joined(), "a: *b",
        "train: {train_iters: 1, train_iters: 2}",
        String(repeating: "x", count: 1 << 21), "train: \u{0}",
    ])
    func aFileWithoutARecipeIsRefused(_ text: String) throws {
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        #expect(error?.message.hasPrefix("run.yaml") ?? false, "\(error?.message ?? "")")
    }

    @Test func aFileBeginsWithTheRecipeThatItNames() throws {
        let text = "recipe: base\npeft: {scheme: dora, dim: 5}\ntrain:\n"
        let recipe = try Recipe(yaml: text, name: "run.yaml") { name, scheme in
            #expect(name == "base" && scheme == .dora)
            var recipe = Recipe(name: "base")
            recipe.train.trainIters = 77
            return recipe
        }
        #expect(recipe.train.trainIters == 77 && recipe.peft.dim == 5 && recipe.peft.scheme == .dora)
    }

    @Test func aRunConfigurationIsKnownByItsContent() throws {
        let model = "model:\n  family: x\n  architecture: y\n  num_layers: 3\n  seq_length: 99\n"
        #expect(try Recipe(yaml: model, name: "copy.yaml").model.seqLength == 99)
        // Other sections are a recipe's own in both.
        let error = #expect(throws: BridgeError.self) {
            try Recipe(yaml: model + "train:\n  trainiters: 5\n", name: "copy.yaml")
        }
        #expect(error?.names == ["copy.yaml:7: train.trainiters is not a setting, did you mean train.train_iters?"])
        let recipe = "model:\n  num_layers: 3\n  seq_length: 99\n"
        #expect(throws: BridgeError.self) { try Recipe(yaml: recipe, name: "run_config.yaml") }
    }

    @Test func whatARunWritesIsARecipeUnderAnyName() throws {
        let directory = try TemporaryDirectory()
        var recipe = Recipe(name: "mine")
        recipe.train.trainIters = 77
        let bytes = try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).runConfiguration(recipe)
        #expect(try Recipe(contentsOf: directory.write(bytes, to: "other.yaml")) == recipe)
    }

    @Test(arguments: [
        ("[*.layers.0.*.linear_qkv]", ["*.layers.0.*.linear_qkv"]), ("[]", []), (" [ ] ", []),
        ("[a, 'b, c' ,\"*d\",]", ["a", "b, c", "*d"]), ("[1, true, null, &x, !y]", ["1", "true", "null", "&x", "!y"]),
    ])
    func textsOfAListNeedNoQuotationMarks(_ text: String, _ items: [String]) throws {
        var recipe = Recipe(name: "a")
        try recipe.apply(["peft.target_modules=\(text)"])
        #expect(recipe.peft.targetModules == items)
    }

    @Test func everySettingHasAMeaning() throws {
        for field in RecipeTable.fields {
            #expect(field.meaning.hasSuffix(".") && field.meaning.count > 10, "\(field.key)")
        }
        #expect(try RecipeTable.fields(beginningWith: "rng").map(\.key) == ["rng.seed"])
        let moved = try RecipeTable.fields(beginningWith: "validation.").map(\.key)
        #expect(moved == ["train.eval_interval", "train.eval_iters"])
        #expect(try RecipeTable.fields(beginningWith: "").count == RecipeTable.fields.count)
        let error = #expect(throws: BridgeError.self) { try RecipeTable.fields(beginningWith: "optimiser.lr") }
        #expect(error?.message == "optimiser.lr is not a setting, did you mean optimizer.lr?")
    }

    @Test(arguments: [
        ("train: [", "run.yaml:1: not valid YAML"),
        ("train:\n  train_iters: 5\n lr: 1\n", "run.yaml:3: not valid YAML"),
        (
            "train: {train_iters: 1, train_iters: 2}",
            "run.yaml:1: train_iters occurs more than once, first in line 1; keep one of them"
        ),
        (
            "train:\n  train_iters: 1\n  eval_iters: 2\n  # train_iters: 4\n  'train_iters' : 3\n",
            "run.yaml:5: train_iters occurs more than once, first in line 2; keep one of them"
        ),
        (
            "train:\n  eval_iters: 1\noptimizer:\n  lr: 1\ntrain:\n  eval_iters: 2\n",
            "run.yaml:5: train occurs more than once, first in line 1; keep one of them"
        ),
        (
            "peft:\n  target_modules: [*.linear_qkv]\n",
            "run.yaml:2: not valid YAML, while scanning an alias: did not find expected alphabetic or numeric character; "
                + "put a text that begins with * in quotation marks"
        ),
        ("train: \u{0}", "run.yaml:1: not valid YAML"), ("a: \"x\n", "run.yaml:1: not valid YAML, while scanning"),
    ])
    func aMistakeInYAMLHasItsLine(_ text: String, _ beginning: String) throws {
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        let message = error?.message ?? ""
        #expect(message.hasPrefix(beginning) && !message.hasSuffix(":"), "\(message)")
    }

    @Test func aSectionWithAValueIsToldFromASetting() throws {
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: "train: 5\n", name: "run.yaml") }
        #expect(error?.names.first?.hasPrefix("run.yaml:1: train is a section and has no value of its own") ?? false)
    }

    /// Each unknown key costs a comparison with every known one; for all of these it would take minutes.
    @Test func aFileOfAnotherKindIsRefusedAfterAHundredKeys() throws {
        let text = (0..<50_000).map { "key_number_\($0): 1\n" }.joined()
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        #expect(error?.names.count == 101)
    }

    @Test(arguments: [
        "<<: {train: 1}", "? [a]\n: b", "train: !!binary eA==", "train: {lr: {a: {b: {c: 1}}}}", "1: 2", "null: 2",
        "train:\n  - 1", "recipe: [1]", "recipe: base", "name: [1]", "name: {a: b}",
        "peft:\n  target_modules: [[1], {a: b}]",
        "peft.scheme: 7", "model: {seq_length: 1e400}", "rng: {seed: 18446744073709551616}", "train: 3\n---\ntrain: 4",
    ])
    func aFileWithTheWrongShapeIsAnErrorThatNamesIt(_ text: String) throws {
        let error = #expect(throws: BridgeError.self) { try Recipe(yaml: text, name: "run.yaml") }
        #expect(
            error?.description.contains("run.yaml") ?? false || text == "recipe: base",
            "\(String(describing: error))"
        )
    }

    @Test func theLargestSeedIsKept() throws {
        let recipe = try Recipe(yaml: "rng: {seed: 18446744073709551615}", name: "run.yaml")
        #expect(recipe.rng.seed == .max)
        #expect(try Recipe(yaml: recipe.yaml(), name: "run.yaml").rng.seed == .max)
    }
}
