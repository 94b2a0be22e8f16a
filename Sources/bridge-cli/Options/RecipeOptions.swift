import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// Which run: a recipe and what is changed of it.
struct RecipeOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("A name from 'bridge recipes list', or a YAML or JSON file.", valueName: "name|file")
    )
    var recipe: String

    @Option(
        name: [.customLong("pretrained-checkpoint"), .customLong("pretrained_checkpoint")],
        help: ArgumentHelp(
            "The weights to start from: a Megatron checkpoint, a Hugging Face directory, or org/name[@revision] on the hub.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var pretrainedCheckpoint: String?

    @Option(
        name: [.customLong("dataset-type"), .customLong("dataset_type")],
        help: ArgumentHelp("mock, preloaded, tokenized or hf.", valueName: "type"),
        transform: RecipeChanges.choice
    )
    var datasetType: Recipe.DatasetSection.Kind?

    @OptionGroup var change: RecipeChanges

    @Flag(name: .customLong("freeze-language-model"), help: "Leave the language model as it is.")
    var freezeLanguageModel = false

    @Flag(name: .customLong("freeze-vision-model"), help: "Leave the vision tower as it is.")
    var freezeVisionModel = false

    @Flag(name: .customLong("freeze-vision-projection"), help: "Leave the projector as it is.")
    var freezeVisionProjection = false

    @Flag(name: .customLong("vision-lora"), help: "Give the vision tower adapters too.")
    var visionLora = false

    /// The recipe with everything that was asked for, checked.
    ///
    /// - Parameters:
    ///   - catalog: The plugins.
    ///   - dataParallelSize: How many replicas of the model there are.
    /// - Returns: The recipe.
    /// - Throws: `BridgeError` with everything that is wrong.
    func resolved(_ catalog: PluginCatalog, dataParallelSize: Int) throws -> Recipe {
        try filled(catalog).checked(dataParallelSize: dataParallelSize)
    }

    /// The same for a model that one process holds.
    ///
    /// - Parameters:
    ///   - catalog: The plugins.
    ///   - note: Takes a sentence about what was changed of the recipe by itself.
    /// - Returns: The recipe.
    /// - Throws: `BridgeError` with everything that is wrong, ranks that are asked for among it.
    func resolvedForOneProcess(_ catalog: PluginCatalog, note: (String) -> Void) throws -> Recipe {
        var filled = try filled(catalog)
        filled.notes.forEach(note)
        try gather(&filled.recipe, note: note)
        return try filled.checked(dataParallelSize: 1)
    }

    /// What a run of the recipe needs besides it.
    ///
    /// - Parameters:
    ///   - recipe: The recipe with everything that was asked for.
    ///   - catalog: The plugins.
    ///   - engine: Where to compute.
    ///   - isShapeOnly: Whether the run is only described.
    /// - Returns: The environment.
    func environment(
        of recipe: Recipe,
        _ catalog: PluginCatalog,
        engine: any TensorEngine,
        isShapeOnly: Bool
    ) -> TrainingRun.Environment {
        var logger = Logger(label: "bridge") { StandardErrorLog(label: $0) }
        logger.logLevel = .notice
        var environment = TrainingRun.Environment(
            catalog: catalog,
            engine: engine,
            logger: logger,
            today: Date.now.formatted(.iso8601.year().month().day())
        )
        environment.openTable = DatasetTables.open
        environment.hub = HubDirectory.hub()
        environment.isShapeOnly = isShapeOnly
        let given = ownKeys(of: recipe, catalog).union(change.settings.compactMap(Recipe.key(ofArgument:)))
        environment.lowersSeqLength = !given.contains { $0.hasSuffix(".seq_length") }
        return environment
    }

    /// A recipe with its settings and directories, not checked yet.
    private struct Filled {
        var recipe: Recipe
        let abilities: RecipeTemplate.Abilities
        /// Settings that could not be used.
        let refusals: [Recipe.Refusal]
        /// What was changed of the recipe by itself.
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
        var (recipe, abilities) = try change.recipe(recipe, in: catalog, isChanged: false)
        if let pretrainedCheckpoint { recipe.checkpoint.pretrainedCheckpoint = pretrainedCheckpoint }
        if let datasetType { recipe.dataset.datasetType = datasetType }
        if freezeLanguageModel { recipe.model.freezeLanguageModel = true }
        if freezeVisionModel { recipe.model.freezeVisionModel = true }
        if freezeVisionProjection { recipe.model.freezeVisionProjection = true }
        if visionLora { recipe.peft.visionLora = true }
        let before = recipe
        var refusals = recipe.applyUsable(change.settings)
        refusals += recipe.settingsWithoutEffect(among: givenKeys(before, catalog), abilities: abilities)
        let notes = recipe.followTrainIters(of: before, changed: change.settings)
        if recipe.checkpoint.save != before.checkpoint.save { Self.forgetDirectories(of: before, in: &recipe) }
        Self.fillDirectories(of: &recipe)
        return Filled(recipe: recipe, abilities: abilities, refusals: refusals, notes: notes)
    }

    /// The settings that the user has given: on the command line, and in a file those that differ from the defaults and from
    /// the recommended recipe.
    ///
    /// Of a section that the command line changes, what the file says is kept for another run, and not counted.
    ///
    /// - Parameters:
    ///   - recipe: The recipe before its single settings were changed.
    ///   - catalog: The plugins.
    /// - Returns: The keys.
    private func givenKeys(_ recipe: Recipe, _ catalog: PluginCatalog) -> Set<String> {
        var keys = Set(change.settings.compactMap(Recipe.key(ofArgument:)))
        if freezeVisionModel { keys.insert("model.freeze_vision_model") }
        if freezeVisionProjection { keys.insert("model.freeze_vision_projection") }
        func section(_ key: String) -> Substring { key.prefix { $0 != "." } }
        var changed = Set(keys.map(section))
        if change.scheme != nil { changed.insert("peft") }
        if datasetType != nil { changed.insert("dataset") }
        guard change.isOfFile(self.recipe) else { return keys }
        return keys.union(ownKeys(of: recipe, catalog).filter { !changed.contains(section($0)) })
    }

    /// The settings of a recipe that have neither their default nor the value of the recommended recipe.
    private func ownKeys(of recipe: Recipe, _ catalog: PluginCatalog) -> Set<String> {
        let home = catalog.recipes.first { $0.recipe().hfPath == recipe.hfPath }
        return [Recipe(name: ""), home?.recipe(peft: recipe.peft.scheme)].compactMap { $0 }
            .map { Set(recipe.differences(from: $0).map(\.key)) }
            .reduce(Set(RecipeTable.fields.map(\.key))) { $0.intersection($1) }
    }

    /// Takes back a layout over several ranks: what a recipe recommends is for as many processes, and only who asks for ranks
    /// on the command line wants them.
    private func gather(_ recipe: inout Recipe, note: (String) -> Void) throws {
        let model = recipe.model
        let count = model.tensorModelParallelSize * model.pipelineModelParallelSize * model.contextParallelSize
        guard count > 1 else { return }
        let sizes = [
            "model.tensor_model_parallel_size", "model.pipeline_model_parallel_size", "model.context_parallel_size",
        ]
        guard !change.settings.contains(where: { setting in sizes.contains { setting.hasPrefix("\($0)=") } }) else {
            throw BridgeError(
                .badLayout,
                "the model is to be spread over \(count) ranks, and this is one process; leave \(sizes.joined(separator: ", ")) at 1"
            )
        }
        (recipe.model.tensorModelParallelSize, recipe.model.pipelineModelParallelSize) = (1, 1)
        recipe.model.contextParallelSize = 1
        note("the recipe spreads the model over \(count) ranks; this is one process, which holds all of it")
    }

    /// Takes back directories for logs that followed from where another run saved, so that its logs stay its own.
    private static func forgetDirectories(of other: Recipe, in recipe: inout Recipe) {
        var derived = other
        (derived.logger.logDir, derived.logger.tensorboardDir) = ("", "")
        fillDirectories(of: &derived)
        if recipe.logger.logDir == derived.logger.logDir { recipe.logger.logDir = "" }
        if recipe.logger.tensorboardDir == derived.logger.tensorboardDir { recipe.logger.tensorboardDir = "" }
    }

    /// Puts a run's files where SAVE_DIR says, or below WORKSPACE or the current directory as the peer does.
    private static func fillDirectories(of recipe: inout Recipe) {
        let environment = ProcessInfo.processInfo.environment
        func directory(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let root = directory("SAVE_DIR") ?? directory("WORKSPACE").map { "\($0)/results" } ?? "nemo_experiments"
        // A name with a slash would leave the directory.
        let name = String(recipe.name.map { $0 == "/" ? "_" : $0 })
        let home = "\(root)/\([".", "..", ""].contains(name) ? "run" : name)"
        if recipe.logger.logDir.isEmpty {
            // Where the environment says nothing, beside the checkpoints.
            let isBeside =
                directory("SAVE_DIR") == nil && directory("WORKSPACE") == nil && !recipe.checkpoint.save.isEmpty
            recipe.logger.logDir = isBeside ? "\(recipe.checkpoint.save)_logs" : home
        }
        if recipe.checkpoint.save.isEmpty { recipe.checkpoint.save = "\(home)/checkpoints" }
        if recipe.logger.tensorboardDir.isEmpty { recipe.logger.tensorboardDir = "\(recipe.logger.logDir)/tb_logs" }
    }
}

/// What is changed of a recipe: its adapters and single settings.
struct RecipeChanges: ParsableArguments {
    @Option(
        name: [.customLong("peft-scheme"), .customLong("peft_scheme")],
        help: ArgumentHelp("lora or dora; without it the model itself is trained.", valueName: "scheme"),
        transform: choice
    )
    var scheme: Recipe.PEFTSection.Scheme?

    @Argument(
        help: ArgumentHelp("Settings to change, such as train.global_batch_size=64.", valueName: "section.key=value")
    )
    var settings: [String] = []

    /// The recipe of a name or a file.
    ///
    /// - Parameters:
    ///   - source: The name or the file.
    ///   - catalog: The plugins.
    ///   - isChanged: Whether the settings are applied.
    /// - Returns: The recipe, and what the family can do.
    /// - Throws: `BridgeError` for a recipe that is not there, and for settings that cannot be used.
    func recipe(
        _ source: String,
        in catalog: PluginCatalog,
        isChanged: Bool = true
    ) throws -> (recipe: Recipe, abilities: RecipeTemplate.Abilities) {
        // The numbers of a recommended recipe follow from the scheme, wherever it is given.
        var wanted = Recipe(name: "")
        // One that does not exist is refused with all other settings.
        _ = wanted.applyUsable(settings.filter { $0.hasPrefix("peft.scheme=") })
        let typed = settings.contains { $0.hasPrefix("peft.scheme=") } ? wanted.peft.scheme : scheme
        var abilities = RecipeTemplate.Abilities()
        var recipe: Recipe
        if isOfFile(source) {
            recipe = try Recipe(contentsOf: source) { name, scheme in
                let template = try catalog.recipe(named: name)
                abilities = template.abilities
                return template.recipe(peft: typed ?? scheme)
            }
            if let typed { recipe.peft.scheme = typed }
            // A file that 'show' printed names no recipe any more, only the model.
            if let home = catalog.recipes.first(where: { $0.recipe().hfPath == recipe.hfPath }) {
                abilities = home.abilities
            }
        } else {
            let template = try catalog.recipe(named: source)
            (recipe, abilities) = (template.recipe(peft: typed ?? .none), template.abilities)
        }
        if isChanged { try recipe.apply(settings) }
        return (recipe, abilities)
    }

    /// Whether a recipe is one of a file, and not the name of a recommended one.
    func isOfFile(_ source: String) -> Bool {
        source.contains("/") || [".yaml", ".yml", ".json"].contains { source.hasSuffix($0) }
    }
}

extension RecipeChanges {
    /// The value of an option that the library names too.
    static func choice<Value: ConfigurationValue>(_ text: String) throws -> Value {
        guard let value = Value(json: .string(text)) else {
            throw ValidationError("found '\(text)', expected \(Value.expectation)")
        }
        return value
    }
}
