import BridgeCore
import Datasets
import Foundation
import JSONTree
import TensorRuntime
import Trainer

/// The choice of a recipe for `bridge train --hf-model MODEL --data FILE`, which names none.
struct RecipeChoice {
    private let options: RecipeOptions
    private let catalog: PluginCatalog

    /// The completed options, and the words of the equivalent command with a recipe.
    struct Result {
        var options: RecipeOptions
        /// Empty where nothing was chosen.
        var command: [String] = []

        /// Prints the command, if something was chosen.
        func explain() {
            guard !command.isEmpty else { return }
            Output.printError(
                "note: without --recipe this is: \(command.map(RankLauncher.quoted).joined(separator: " "))"
            )
        }
    }

    /// Completes options: the family's recipe for the nearest size, LoRA unless another scheme is given, one epoch, and a batch
    /// that leaves a small data set at least ten steps.
    ///
    /// - Parameters:
    ///   - options: The options.
    ///   - catalog: The plugins.
    /// - Returns: The options with a recipe.
    /// - Throws: `BridgeError` for a model whose family has no recipe, and for data that cannot be opened.
    static func completed(_ options: RecipeOptions, _ catalog: PluginCatalog) throws -> Result {
        try RecipeChoice(options: options, catalog: catalog).completed()
    }

    private init(options: RecipeOptions, catalog: PluginCatalog) {
        (self.options, self.catalog) = (options, catalog)
    }

    private func completed() throws -> Result {
        var result = Result(options: options)
        var settings: [String] = []
        if let model = options.huggingFace { result.options.pretrainedCheckpoint = model }
        let section = given.dataset
        let sources = options.data.map { [$0] } ?? section.trainingSources.filter { !$0.isEmpty }
        let wanted = options.datasetType ?? (isGiven("dataset.dataset_type") ? section.datasetType : nil)
        let looks = options.recipe == nil || options.data != nil && wanted == nil
        let rows = looks ? try sources.map { try Self.rows(of: $0) } : []
        let types: [Recipe.DatasetSection.Kind?] = [nil, .hf]
        if let data = options.data, types.contains(wanted), ConversationMaker.preset(data) != nil {
            result.options.datasetType = .hf
            settings += ["dataset.path_or_dataset=", "dataset.maker_name=\(data)"]
        } else if let data = options.data {
            let kind = try wanted ?? Self.kind(of: data, rows[0])
            result.options.datasetType = kind
            settings.append("dataset.\(kind == .hf ? "path_or_dataset" : "train_data_path")=\(data)")
            if kind == .hf { settings.append("dataset.maker_name=make_conversation_dataset") }
        }
        guard options.recipe == nil else {
            result.options.change.settings = settings + options.change.settings
            return result
        }
        if options.data == nil, options.datasetType == nil, !isGiven("dataset.dataset_type"), let first = sources.first
        {
            result.options.datasetType =
                isGiven("dataset.maker_name") || ConversationMaker.preset(first) != nil
                ? .hf : try Self.kind(of: first, rows[0])
        }
        let (template, longest) = try template()
        result.options.recipe = template.name
        let scheme = options.change.scheme ?? options.change.mode ?? .lora
        if !isGiven("peft.scheme") { result.options.change.scheme = scheme }
        let standard = try template.recipe(peft: isGiven("peft.scheme") ? nil : scheme)
        if !isGiven("train.train_iters", "train.num_epochs", "train.train_samples") {
            settings.append("train.num_epochs=1")
        }
        settings += batch(standard, zip(sources, rows).map { $1?.count ?? Self.count(of: $0) })
        if section.packsAhead, !isGiven("model.seq_length", "dataset.seq_length"),
            section.packedSequenceSize < standard.model.seqLength
        {
            let length = min(section.packedSequenceSize, max(longest, 1))
            settings += ["model", "dataset"].map { "\($0).seq_length=\(length)" }
        }
        if !isGiven("checkpoint.save_interval", "checkpoint.saves_per_epoch") {
            settings.append("checkpoint.saves_per_epoch=1")
        }
        if section.valSetSize > 0 || !section.validationFiles.isEmpty,
            !isGiven("train.eval_interval", "train.evals_per_epoch")
        {
            settings.append("train.evals_per_epoch=4")
        }
        result.command = ["bridge", "train", "--recipe", template.name]
        result.command += ["--pretrained-checkpoint", result.options.pretrainedCheckpoint ?? ""]
        if let scheme = result.options.change.scheme { result.command += ["--peft-scheme", scheme.rawValue] }
        if let kind = result.options.datasetType { result.command += ["--dataset-type", kind.rawValue] }
        result.command += options.switches + settings + options.flags.changes.map { "\($0.key)=\($0.text)" }
        result.command += options.change.settings
        result.options.change.settings = settings + options.change.settings
        return result
    }

    /// The settings of the command line alone; what is wrong with them is reported with all others.
    private var given: Recipe {
        var recipe = Recipe(name: "")
        recipe.dataset.pathOrDataset = ""
        _ = recipe.applyUsable(options.change.settings)
        if let kind = options.datasetType { recipe.dataset.datasetType = kind }
        if recipe.dataset.trainingSources == [""], !recipe.dataset.trainDataPath.isEmpty {
            recipe.dataset.source = [recipe.dataset.trainDataPath]
        }
        return recipe
    }

    /// Whether the command line has a setting, by its key or by an option.
    private func isGiven(_ keys: String...) -> Bool {
        !options.changedKeys.isDisjoint(with: keys)
    }

    // MARK: Recipe

    /// The nearest recipe of the model's family, and the most tokens of a sample that the model takes.
    private func template() throws -> (RecipeTemplate, longest: Int) {
        let weights = options.huggingFace ?? options.pretrainedCheckpoint ?? ""
        let bridge =
            HubRepository(meantBy: weights) == nil
            ? try AutoBridge.fromAny(weights, catalog: catalog) : try HubDirectory.planning(weights, catalog)
        let recipes = catalog.bridges.filter { catalog.isOnePlugin($0, bridge.bridge) }.flatMap(\.recipes)
        let size = try bridge.shapeOnlyModel(elementType: .bfloat16, on: CPUEngine(threadCount: 1)).parameters
            .reduce(0.0) { $0 + Double($1.tensor.count) }
        // Recipes of one model differ in the schemes that they take.
        let best = recipes.min { one, other in
            let (near, far) = (distance(one, size), distance(other, size))
            return near == far ? one.schemes.count > other.schemes.count : near < far
        }
        guard let best else {
            throw BridgeError(
                .badArgument,
                "the family \(bridge.bridge.name) of \(weights) has no recipe; take one of another family without its model, such as "
                    + "--recipe mistral_7b_finetune_config hf_path= ('bridge recipes list' has all)"
            )
        }
        return (best, bridge.toProvider().decoder.seqLength)
    }

    /// How far a model is from that of a recipe, by the number of parameters in the model's name.
    private func distance(_ template: RecipeTemplate, _ size: Double) -> Double {
        let sizes = template.standard.hfPath.matches(of: /([0-9]+(\.[0-9]+)?)[bB]/).compactMap { Double($0.1) }
        guard let billions = sizes.first, billions > 0, size > 0 else { return .infinity }
        return abs(log(size / (billions * 1e9)))
    }

    // MARK: Data

    /// The rows of a file; nil for what is not a file.
    private static func rows(of data: String) throws -> RowFile? {
        Files.kind(of: data) == .file && !PackedFileSource.isOne(data) ? try RowFile(path: data) : nil
    }

    /// Whether a path is a file of tokens, a file of conversations, or a data set of the hub; for all commands with `--data`.
    static func kind(of data: String) throws -> Recipe.DatasetSection.Kind { try kind(of: data, rows(of: data)) }

    private static func kind(of data: String, _ rows: RowFile?) throws -> Recipe.DatasetSection.Kind {
        if Files.kind(of: data) == .file, PackedFileSource.isOne(data) { return .tokenized }
        if let rows { return try rows.json(at: 0)["input_ids"] == nil ? .preloaded : .tokenized }
        guard !PreparedData.isOne(data) else {
            throw BridgeError(
                .badArgument,
                "--data is \(data), which is prepared data; give the data set that it was prepared from, and dataset.prepared_path=\(data)"
            )
        }
        let isOnHub =
            !DatasetDirectory.isData(data)
            && HubRepository(String(data.prefix { $0 != "#" }), kind: .dataset) != nil
        guard Files.exists(data) || isOnHub else {
            throw BridgeError(
                .fileSystem,
                "--data is \(data), which does not exist; expected a JSON or JSONL file, or the directory or hub id of a data set"
            )
        }
        return .hf
    }

    /// The number of training samples of a data set that is on this machine; nil where it is not known without a download.
    ///
    /// What is wrong with it is reported when the run opens it.
    private static func count(of source: String) -> Int? {
        let preset = ConversationMaker.preset(source)
        var hub = HubDirectory.hub()
        hub.environment.isOffline = true
        return try? HuggingFaceTable(preset?.dataset ?? source, split: preset?.split ?? "train", hub: hub).count
    }

    /// A smaller batch for data sets with which the recipe's would have fewer than ten steps in an epoch.
    private func batch(_ recipe: Recipe, _ found: [Int?]) -> [String] {
        let counts = found.compactMap(\.self)
        guard !found.isEmpty, counts.count == found.count, !isGiven("train.global_batch_size", "train.micro_batch_size")
        else { return [] }
        let most = max(1, counts.reduce(0, +) / Self.leastSteps)
        guard most < recipe.train.globalBatchSize else { return [] }
        return ["train.global_batch_size=\(most)", "train.micro_batch_size=1"]
    }

    private static let leastSteps = 10
}
