import ArgumentParser
import BridgeCore
import Communication
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// The recipe of a run and its changes.
struct RecipeOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A name from 'bridge recipes list', or a YAML or JSON file. (default: the family's for --hf-model, with LoRA)",
            valueName: "name|file"
        ),
        completion: CompletionValues.recipes
    )
    var recipe: String?

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp("The model to train: --pretrained-checkpoint under another name.", valueName: "path|id"),
        completion: .directory
    )
    var huggingFace: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The training data: a file with conversations or tokens, or the directory, hub id or preset (such as squad) of a data set.",
            valueName: "path|id"
        ),
        completion: .file()
    )
    var data: String?

    @Option(
        name: .customLong("pretrained-checkpoint"),
        help: ArgumentHelp(
            "The initial weights: a Megatron checkpoint, a Hugging Face directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var pretrainedCheckpoint: String?

    @Option(
        name: .customLong("dataset-type"),
        help: ArgumentHelp("Data set: mock, preloaded, tokenized or hf.", valueName: "type"),
        completion: CompletionValues.datasetTypes,
        transform: RecipeChanges.choice
    )
    var datasetType: Recipe.DatasetSection.Kind?

    @OptionGroup var change: RecipeChanges

    @OptionGroup var flags: TrainingFlags

    @Flag(name: .customLong("freeze-language-model"), help: "Freeze the language model.")
    var freezeLanguageModel = false

    @Flag(name: .customLong("freeze-vision-model"), help: "Freeze the vision tower.")
    var freezeVisionModel = false

    @Flag(name: .customLong("freeze-vision-projection"), help: "Freeze the multimodal projector.")
    var freezeVisionProjection = false

    @Flag(name: .customLong("vision-lora"), help: "Also add adapters to the vision tower.")
    var visionLora = false

    func validate() throws {
        guard huggingFace == nil || pretrainedCheckpoint == nil else {
            throw ValidationError("--hf-model and --pretrained-checkpoint are the same option; give one of them")
        }
    }

    /// Refuses options that name neither a recipe nor a model and data; for the command's own validation.
    func checkRecipe() throws {
        let namesData =
            data != nil || datasetType == .mock
            || !changedKeys.isDisjoint(with: [
                "dataset.source", "dataset.train_data_path", "dataset.path_or_dataset", "dataset.maker_name",
                "dataset.dataset_type",
            ])
        guard recipe != nil || namesData && (huggingFace ?? pretrainedCheckpoint) != nil else {
            throw ValidationError("name a recipe with --recipe, or a model and data with --hf-model and --data")
        }
    }

    /// The recipe with all changes, checked.
    ///
    /// - Parameters:
    ///   - catalog: The plugins.
    ///   - dataParallelSize: The number of replicas of the model.
    /// - Returns: The recipe.
    /// - Throws: `BridgeError` with all problems.
    func resolved(_ catalog: PluginCatalog, dataParallelSize: Int) throws -> Recipe {
        try filled(catalog).checked(dataParallelSize: dataParallelSize)
    }

    /// The same for a run with some ranks.
    ///
    /// - Parameters:
    ///   - catalog: The plugins.
    ///   - count: The number of ranks.
    ///   - note: Receives sentences about automatic changes of the recipe.
    /// - Returns: The recipe.
    /// - Throws: `BridgeError` with all problems, including a layout that does not fit the ranks.
    func resolved(_ catalog: PluginCatalog, ranks count: Int, note: (String) -> Void) throws -> Recipe {
        var filled = try filled(catalog)
        let ranks = try count == 1 ? useOneRank(&filled.recipe) : []
        let check = LayoutCheck(filled.recipe, ranks: count, decoder: Self.decoder(of: filled.recipe, catalog))
        let recipe: Recipe
        do { recipe = try filled.checked(dataParallelSize: 1) } catch let error as BridgeError
            where check.error != nil && check.hasSizesInRange
        {
            let problems = error.names.isEmpty ? [error.message] : error.names
            throw BridgeError(
                .badArgument,
                "the recipe \(filled.recipe.name) cannot run for \(ByteFormat.counted(problems.count + check.faults.count, "reason"))",
                names: problems + (check.error?.names ?? [])
            )
        }
        _ = try check.validated()
        // Notes are only printed for a valid run.
        (filled.notes + ranks).forEach(note)
        return recipe
    }

    /// The sizes of the model, if it is on this machine; everything else about it is checked when it is loaded.
    private static func decoder(of recipe: Recipe, _ catalog: PluginCatalog) -> DecoderConfiguration? {
        let weights = recipe.checkpoint.pretrainedCheckpoint
        guard !weights.isEmpty, HubRepository(meantBy: weights) == nil else { return nil }
        return try? AutoBridge.fromAny(weights, catalog: catalog).toProvider().decoder
    }

    /// The date of a run that begins now, as yyyy-mm-dd.
    static var today: String { Date.now.formatted(.iso8601.year().month().day()) }

    /// The environment of a run.
    ///
    /// - Parameters:
    ///   - recipe: The recipe with all changes.
    ///   - catalog: The plugins.
    ///   - engine: The engine that computes.
    ///   - isShapeOnly: Whether the run is only described.
    /// - Returns: The environment.
    func environment(
        of recipe: Recipe,
        _ catalog: PluginCatalog,
        engine: any TensorEngine,
        isShapeOnly: Bool
    ) -> TrainingRun.Environment {
        var environment = TrainingRun.Environment(
            catalog: catalog,
            engine: engine,
            logger: Watch.logger,
            today: Self.today
        )
        environment.openTable = DatasetTables.open
        environment.hub = HubDirectory.hub()
        environment.isShapeOnly = isShapeOnly
        let given = ownKeys(of: recipe, catalog).union(changedKeys)
        environment.lowersSeqLength = !given.contains { $0.hasSuffix(".seq_length") }
        let phases = RecipeChanges.isOfFile(self.recipe ?? "") ? given : changedKeys
        environment.scalesWarmup = phases.isDisjoint(with: Recipe.keysOfPhases)
        environment.isSaveGiven =
            changedKeys.contains("checkpoint.save") || recipe.checkpoint.save != Self.checkpoints(of: recipe)
        return environment
    }

    /// A recipe with its settings and directories, not checked yet.
    private struct Filled {
        var recipe: Recipe
        let abilities: RecipeTemplate.Abilities
        /// Settings that could not be used.
        let refusals: [Recipe.Refusal]
        /// Automatic changes of the recipe.
        let notes: [String]

        func checked(dataParallelSize: Int) throws -> Recipe {
            let check = RecipeCheck(
                recipe,
                dataParallelSize: dataParallelSize,
                abilities: abilities,
                refusals: refusals
            )
            try check.validate()
            return recipe
        }
    }

    private func filled(_ catalog: PluginCatalog) throws -> Filled {
        var (recipe, abilities) = try change.recipe(recipe ?? "", in: catalog, isChanged: false)
        if let datasetType { recipe.dataset.datasetType = datasetType }
        if freezeLanguageModel { recipe.model.freezeLanguageModel = true }
        if freezeVisionModel { recipe.model.freezeVisionModel = true }
        if freezeVisionProjection { recipe.model.freezeVisionProjection = true }
        if visionLora { recipe.peft.visionLora = true }
        let before = recipe
        var refusals = recipe.applyUsable(
            change.settings,
            options: optionChanges + switchChanges + change.schemeChanges
        )
        RunCallbacks.fillTrackers(of: &recipe)
        refusals += recipe.settingsWithoutEffect(among: givenKeys(before, catalog), abilities: abilities)
        let own = RecipeChanges.isOfFile(self.recipe ?? "") ? ownKeys(of: before, catalog) : []
        let notes =
            Recipe.repetitions(in: change.settings)
            + recipe.followTrainIters(of: before, changed: changedKeys, own: own)
        if recipe.checkpoint.save != before.checkpoint.save { Self.forgetDirectories(of: before, in: &recipe) }
        Self.fillDirectories(of: &recipe)
        return Filled(recipe: recipe, abilities: abilities, refusals: refusals, notes: notes)
    }

    /// The settings that options of other types change, which a setting must not contradict either.
    private var switchChanges: [Recipe.Change] {
        let type = datasetType.map {
            Recipe.Change(option: "--dataset-type", key: "dataset.dataset_type", text: $0.rawValue)
        }
        return givenFlags.map { Recipe.Change(option: $0.option, key: $0.key, text: "true") }
            + [type].compactMap(\.self)
    }

    /// The flags that are given, as words of a command.
    var switches: [String] { givenFlags.map(\.option) }

    /// The flags that are given, with the settings that they switch on.
    private var givenFlags: [(option: String, key: String)] {
        [
            (freezeLanguageModel, "--freeze-language-model", "model.freeze_language_model"),
            (freezeVisionModel, "--freeze-vision-model", "model.freeze_vision_model"),
            (freezeVisionProjection, "--freeze-vision-projection", "model.freeze_vision_projection"),
            (visionLora, "--vision-lora", "peft.vision_lora"),
        ].filter(\.0).map { ($0.1, $0.2) }
    }

    /// The settings that options change, which is an error if `section.key=value` has another value.
    private var optionChanges: [Recipe.Change] {
        let weights = pretrainedCheckpoint.map {
            Recipe.Change(option: "--pretrained-checkpoint", key: "checkpoint.pretrained_checkpoint", text: $0)
        }
        return [weights].compactMap(\.self) + flags.changes
    }

    /// The keys of the settings that the command line changes.
    var changedKeys: Set<String> {
        Set((optionChanges + change.settings.compactMap { Recipe.Change($0) }).map(\.fieldKey))
    }

    /// The settings that the user has given: on the command line, and in a file those that differ from the defaults and from
    /// the recommended recipe.
    ///
    /// If the command line changes a section, the file's settings of that section are not counted.
    ///
    /// - Parameters:
    ///   - recipe: The recipe before its single settings were changed.
    ///   - catalog: The plugins.
    /// - Returns: The keys.
    private func givenKeys(_ recipe: Recipe, _ catalog: PluginCatalog) -> Set<String> {
        var keys = changedKeys
        if freezeVisionModel { keys.insert("model.freeze_vision_model") }
        if freezeVisionProjection { keys.insert("model.freeze_vision_projection") }
        func section(_ key: String) -> Substring { key.prefix { $0 != "." } }
        var changed = Set(keys.map(section))
        if change.scheme != nil || change.mode != nil { changed.insert("peft") }
        if datasetType != nil { changed.insert("dataset") }
        guard RecipeChanges.isOfFile(self.recipe ?? "") else { return keys }
        let own = ownKeys(of: recipe, catalog).subtracting(recipe.keysOfEpochs)
        return keys.union(own.filter { !changed.contains(section($0)) })
    }

    /// The settings of a recipe that have neither their default nor the value of the recommended recipe.
    private func ownKeys(of recipe: Recipe, _ catalog: PluginCatalog) -> Set<String> {
        let home = catalog.recipes.first { $0.standard.hfPath == recipe.hfPath }
        return [Recipe(name: ""), try? home?.recipe(peft: recipe.peft.scheme)].compactMap(\.self)
            .map { Set(recipe.differences(from: $0).map(\.key)) }
            .reduce(Set(RecipeTable.fields.map(\.key))) { $0.intersection($1) }
    }

    /// Replaces a layout with several ranks by one rank.
    ///
    /// A recipe's layout is a recommendation; a layout on the command line is an error.
    ///
    /// - Returns: A sentence about the change; nil without one.
    private func useOneRank(_ recipe: inout Recipe) throws -> [String] {
        let model = recipe.model
        let factors = [model.tensorModelParallelSize, model.pipelineModelParallelSize, model.contextParallelSize]
        // Sizes out of range are an error of the recipe, and their product could overflow.
        guard factors.allSatisfy((1...1024).contains) else { return [] }
        let count = factors.reduce(1, *)
        guard count > 1 else { return [] }
        let sizes = [
            "model.tensor_model_parallel_size", "model.pipeline_model_parallel_size", "model.context_parallel_size",
        ]
        let related = sizes + Recipe.stageKeys + ["model.sequence_parallel"]
        let isLayoutGiven = related.contains { key in
            guard changedKeys.contains(key), let value = RecipeTable.field(key)?.value(of: recipe) else { return false }
            return sizes.contains(key) || !(value.isNull || value == false || value == "")
        }
        guard !isLayoutGiven else {
            throw BridgeError(
                .badLayout,
                "the settings shard the model across \(count) ranks, and there is one; add --nproc-per-node \(count), or set "
                    + "\(sizes.joined(separator: ", ")) (-tp, -pp, -cp) to 1"
            )
        }
        recipe.model.useOneRank()
        return [
            "the recipe shards the model across \(count) ranks; this run has one, which holds the whole model "
                + "(--nproc-per-node \(count) starts as many)"
        ]
    }

    /// Resets log directories that were derived from another checkpoint.save, so that logs of runs are not mixed.
    private static func forgetDirectories(of other: Recipe, in recipe: inout Recipe) {
        var derived = other
        (derived.logger.logDir, derived.logger.tensorboardDir) = ("", "")
        fillDirectories(of: &derived)
        if recipe.logger.logDir == derived.logger.logDir { recipe.logger.logDir = "" }
        if recipe.logger.tensorboardDir == derived.logger.tensorboardDir { recipe.logger.tensorboardDir = "" }
    }

    private static func variable(_ name: String) -> String? {
        ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The directory of a run for which none is set: in SAVE_DIR, WORKSPACE or the current directory, as in Megatron Bridge.
    private static func home(of recipe: Recipe) -> String {
        let root = variable("SAVE_DIR") ?? variable("WORKSPACE").map { "\($0)/results" } ?? "nemo_experiments"
        // A name with a slash would leave the directory.
        let name = String(recipe.name.map { $0 == "/" ? "_" : $0 })
        return "\(root)/\([".", "..", ""].contains(name) ? "run" : name)"
    }

    /// The directory of the checkpoints of such a run.
    private static func checkpoints(of recipe: Recipe) -> String { "\(home(of: recipe))/checkpoints" }

    /// Sets the directories of a run that are not set.
    private static func fillDirectories(of recipe: inout Recipe) {
        let home = home(of: recipe)
        if recipe.logger.logDir.isEmpty {
            // Without these variables, logs are next to the checkpoints.
            let isBeside =
                variable("SAVE_DIR") == nil && variable("WORKSPACE") == nil && !recipe.checkpoint.save.isEmpty
            recipe.logger.logDir = isBeside ? "\(recipe.checkpoint.save)_logs" : home
        }
        if recipe.checkpoint.save.isEmpty { recipe.checkpoint.save = checkpoints(of: recipe) }
        if recipe.logger.tensorboardDir.isEmpty { recipe.logger.tensorboardDir = "\(recipe.logger.logDir)/tb_logs" }
    }
}

/// Changes of a recipe: its adapters and settings.
struct RecipeChanges: ParsableArguments {
    /// The placeholder of a setting in help.
    static let settingName = "section.key=value"

    @Option(
        name: .customLong("peft-scheme"),
        help: ArgumentHelp(
            "lora, dora, or none for full training. (default: the recipe's)",
            valueName: "scheme"
        ),
        completion: CompletionValues.schemes,
        transform: choice
    )
    var scheme: Recipe.PEFTSection.Scheme?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "sft (full training), lora or dora: --peft-scheme as in Megatron Bridge.",
            valueName: "mode"
        ),
        transform: schemeOfMode
    )
    var mode: Recipe.PEFTSection.Scheme?

    @Argument(
        help: ArgumentHelp("Settings to change, such as train.global_batch_size=64.", valueName: settingName)
    )
    var settings: [String] = []

    /// The settings that the options for the scheme change.
    var schemeChanges: [Recipe.Change] {
        [("--peft-scheme", scheme), ("--mode", mode)].compactMap { option, scheme in
            scheme.map { Recipe.Change(option: option, key: "peft.scheme", text: $0.rawValue) }
        }
    }

    func validate() throws {
        if let scheme, let mode, scheme != mode {
            throw ValidationError(
                "--peft-scheme is \(scheme.rawValue) and --mode means \(mode.rawValue), but they are the same setting; "
                    + "give one of them"
            )
        }
    }

    /// The recipe of a name or a file.
    ///
    /// - Parameters:
    ///   - source: The name or the file.
    ///   - catalog: The plugins.
    ///   - isChanged: Whether the settings are applied.
    /// - Returns: The recipe, and the features of the family.
    /// - Throws: `BridgeError` for an unknown recipe, and for settings that cannot be used.
    func recipe(
        _ source: String,
        in catalog: PluginCatalog,
        isChanged: Bool = true
    ) throws -> (recipe: Recipe, abilities: RecipeTemplate.Abilities) {
        // The values of a recommended recipe depend on the scheme, wherever it is given.
        var wanted = Recipe(name: "")
        // An unknown scheme is refused with all other settings.
        _ = wanted.applyUsable(settings.filter { $0.hasPrefix("peft.scheme=") })
        let typed = settings.contains { $0.hasPrefix("peft.scheme=") } ? wanted.peft.scheme : scheme ?? mode
        var abilities = RecipeTemplate.Abilities()
        var recipe: Recipe
        if Self.isOfFile(source) {
            recipe = try Recipe(contentsOf: source) { name, scheme in
                let template = try catalog.recipe(named: name)
                abilities = template.abilities
                return try template.recipe(peft: typed ?? scheme)
            }
            if let typed { recipe.peft.scheme = typed }
            // A file printed by 'show' has no name of a recipe, only the model.
            if let home = catalog.recipes.first(where: { $0.standard.hfPath == recipe.hfPath }) {
                abilities = home.abilities
            }
        } else {
            let template = try catalog.recipe(named: source)
            (recipe, abilities) = (try template.recipe(peft: typed), template.abilities)
        }
        if isChanged { try recipe.apply(settings, options: schemeChanges) }
        return (recipe, abilities)
    }

    /// Whether the text is a file, not the name of a recommended recipe.
    static func isOfFile(_ source: String) -> Bool {
        source.contains("/") || [".yaml", ".yml", ".json"].contains { source.hasSuffix($0) }
    }
}

extension RecipeChanges {
    /// The adapter scheme of a mode of Megatron Bridge.
    static func schemeOfMode(_ text: String) throws -> Recipe.PEFTSection.Scheme {
        let modes: [String: Recipe.PEFTSection.Scheme] = ["sft": .none, "lora": .lora, "dora": .dora]
        guard let scheme = modes[text] else { throw ValidationError("found '\(text)', expected sft, lora or dora") }
        return scheme
    }

    /// The value of an option whose type is defined by the library.
    static func choice<Value: ConfigurationValue>(_ text: String) throws -> Value {
        guard let value = Value(json: .string(text)) else {
            throw ValidationError("found '\(text)', expected \(Value.expectation)")
        }
        return value
    }
}
