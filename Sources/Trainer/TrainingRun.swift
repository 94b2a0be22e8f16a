public import BridgeCore
public import Datasets
import Foundation
import JSONTree
public import Logging
public import TensorRuntime
import Tokenizers

/// A recipe made ready: the model with its adapters, the data, the checkpoints, and the trainer over them.
public final class TrainingRun {
    /// The recipe, with what was filled in.
    public let recipe: Recipe
    /// The model's description.
    public let bridge: AutoBridge
    /// The model.
    public let model: any CausalModel
    /// The adapters; nil where the model itself is trained.
    public let adapters: AdapterSet?
    /// How many samples there are to train on.
    public let sampleCount: Int?
    /// The checkpoint that the run goes on from; nil for a run that begins.
    public let resumedFrom: String?

    /// What is to be said about the rows that were read so far.
    public let notes: DataNotes

    private let samples: DataLoader
    private let validation: DataLoader?
    private let engine: any TensorEngine
    private let logger: Logger

    /// What a run needs besides its recipe.
    public struct Environment {
        /// The families.
        public var catalog: PluginCatalog
        /// Where to compute.
        public var engine: any TensorEngine
        /// What is said on the way.
        public var logger: Logger
        /// The day, as yyyy-mm-dd, for a recipe that names none.
        public var today: String
        /// Opens a table of a Hugging Face data set; nil where none can be.
        public var openTable: (@Sendable (_ path: String, _ split: String) throws -> any DatasetTable)?
        /// Makes conversations of rows in the place of the maker that the recipe names.
        public var maker: ConversationMaker?

        /// Where ids of models lead to.
        public var hub = Hub.standard

        /// Whether a longer `seq_length` than the model takes is projectedDown, and not an error: that of a recipe which the user has
        /// not set is a recommendation.
        public var lowersSeqLength = false

        /// Whether the run is only described: no weight is read then, nor downloaded.
        public var isShapeOnly = false

        /// Environment.
        public init(catalog: PluginCatalog, engine: any TensorEngine, logger: Logger, today: String) {
            self.catalog = catalog
            self.engine = engine
            self.logger = logger
            self.today = today
        }
    }

    /// Refuses a model that drops attention weights in training, which is not computed here.
    private static func checkDropout(_ fields: JSONObject, _ recipe: Recipe) throws {
        guard recipe.model.attentionDropout == nil else { return }
        for (field, key) in [
            ("attention_dropout", "attention_dropout"), ("vision_attention_dropout", "vision_config.attention_dropout"),
        ] {
            guard let dropout = fields[field]?.double, dropout != 0 else { continue }
            throw BridgeError(
                .badConfiguration,
                "config.json: \(key) is \(dropout), but attention weights are not dropped in training; "
                    + "set model.attention_dropout=0 to train without it"
            )
        }
    }

    /// Loads the model and opens the data.
    ///
    /// - Throws: `BridgeError` for weights or data that cannot be used, and when nothing would be trained.
    public init(_ recipe: Recipe, in environment: Environment) throws {
        var recipe = recipe
        let weights = recipe.checkpoint.pretrainedCheckpoint
        guard !weights.isEmpty else {
            throw BridgeError(
                .badArgument,
                "checkpoint.pretrained_checkpoint is empty; name the Hugging Face directory or the Megatron checkpoint to start from"
            )
        }
        try RunCheckpoints.checkDirectory(recipe.checkpoint.save)
        try Self.checkCheckpoints(recipe)
        try Self.checkLogs(recipe)
        bridge =
            try environment.isShapeOnly && HubRepository(meantBy: weights) != nil
            ? AutoBridge.forPlanning(weights, catalog: environment.catalog, hub: environment.hub)
            : AutoBridge.fromAny(weights, catalog: environment.catalog, hub: environment.hub)
        try Self.checkDropout(bridge.megatronFields, recipe)
        try Self.checkFamily(of: bridge, recipe, environment.catalog)
        try Self.fitSeqLength(of: &recipe, to: bridge, environment)
        // A branch may have moved when the run is gone on with; a commit has not.
        if let repository = HubRepository(meantBy: weights), let commit = environment.hub.cache.commit(of: repository) {
            recipe.checkpoint.pretrainedCheckpoint = "\(repository.id)@\(commit)"
        }
        // A directory to go on from that has nothing is said by the run itself, once it begins.
        let newest = try? RunCheckpoints.newest(recipe.checkpoint)
        let stored = try newest.flatMap(Self.storedRecipe)
        resumedFrom = newest
        if recipe.dataset.date.isEmpty {
            // A checkpoint that was converted names no day.
            let begun = stored?.dataset.date ?? ""
            recipe.dataset.date = begun.isEmpty ? environment.today : begun
        }
        if let newest, let stored {
            let changes = try ResumeCheck(recipe, stored: stored, path: newest).changes
            if !changes.isEmpty {
                environment.logger.notice("other settings than before: \(changes.joined(separator: ", "))")
            }
        }
        self.recipe = recipe
        engine = environment.engine
        logger = environment.logger
        let type: ElementType = recipe.mixedPrecision == .bf16Mixed ? .bfloat16 : .float32
        let path = bridge.directory == nil ? weights : nil
        if environment.isShapeOnly {
            if !recipe.checkpoint.randomInit { try bridge.checkWeights(path) }
            model = try bridge.shapeOnlyModel(elementType: type, on: engine)
        } else if recipe.checkpoint.randomInit {
            model = try bridge.initializedModel(seed: recipe.rng.seed, elementType: type, on: engine)
        } else {
            model = try bridge.toModel(weights: path, elementType: type, on: engine)
        }
        try model.freeze(by: recipe)
        adapters =
            recipe.peft.scheme == .none
            ? nil
            : try AdapterSet(
                recipe.peft,
                on: model,
                freezesLanguageModel: recipe.model.freezeLanguageModel,
                seed: recipe.rng.seed
            )
        var options = ProcessingOptions()
        options.template.date = try Self.date(recipe.dataset.date)
        options.template.fillsDatePlaceholders = true
        let encoder = SampleEncoder(
            processor: try bridge.processor(),
            lossMode: recipe.dataset.lossMode,
            options: options
        )
        notes = encoder.notes
        notes.setReport { [logger = environment.logger] in logger.warning("\($0)") }
        var opener = DatasetOpener(section: recipe.dataset, encoder: encoder, seed: recipe.rng.seed)
        opener.openTable = environment.openTable
        opener.maker = environment.maker
        // A dry run downloads no data: of a data set that is not here it says so.
        let isElsewhere = environment.isShapeOnly && opener.isOnTheHubOnly(environment.hub)
        let source: any SampleSource =
            try isElsewhere ? MockSource(count: 1, imageCount: 0, seed: 0, encoder: encoder) : opener.training()
        sampleCount = isElsewhere ? nil : source.count
        let workers = recipe.dataset.numWorkers
        samples = DataLoader(try opener.preparer(source), workers: workers, on: engine)
        validation =
            !isElsewhere && recipe.train.evalInterval > 0 && recipe.train.evalIters > 0
            ? try opener.validation().map {
                DataLoader(try opener.preparer($0, shuffles: false), workers: workers, on: environment.engine)
            } : nil
    }

    /// The recipe of the run that wrote a checkpoint; nil for one that was converted.
    private static func storedRecipe(_ path: String) throws -> Recipe? {
        let name = "\(path)/run_config.yaml"
        guard FileManager.default.fileExists(atPath: "\(path)/\(RunProgress.fileName)"),
            let bytes = FileManager.default.contents(atPath: name)
        else { return nil }
        return try Recipe(yaml: String(decoding: bytes, as: UTF8.self), name: name)
    }

    private static func date(_ text: String) throws -> ChatDate {
        do throws(TemplateError) { return try ChatDate(text) } catch {
            throw BridgeError(.badArgument, "dataset.date is \(text): \(error.message)")
        }
    }

    /// Where the samples come from, for reports.
    private var dataName: String {
        let section = recipe.dataset
        switch section.datasetType {
        case .mock: return "made up"
        case .hf: return section.pathOrDataset.isEmpty ? section.makerName : section.pathOrDataset
        case .preloaded, .tokenized: return section.trainDataPath
        }
    }

    /// What was seen in the samples so far.
    public var statistics: SampleStatistics { samples.statistics }

    /// The parts of the model, how many numbers each has and how many of them are trained.
    public var parts: [(name: String, count: Int, trained: Int)] {
        func part(_ name: String, _ parameters: [Parameter]) -> (name: String, count: Int, trained: Int) {
            let trained = parameters.filter(\.isTrainable).reduce(0) { $0 + $1.tensor.count }
            return (name, parameters.reduce(0) { $0 + $1.tensor.count }, trained)
        }
        var parts = model.parts.map { part($0.name, $0.parameters) }
        if let adapters { parts.append(part("adapters", adapters.parameters)) }
        return parts
    }

    /// How many numbers are trained.
    public var supervisedCount: Int { parts.reduce(0) { $0 + $1.trained } }

    /// How many bytes weights, gradients and the optimizer take, without activations.
    public var stateByteCount: Int {
        let element = recipe.mixedPrecision == .bf16Mixed ? 2 : 4
        let moments = recipe.optimizer.optimizer == .adam ? 8 : 4
        // Gradient, moments and, beside bfloat16, the main numbers.
        let trained = 4 + moments + (element == 2 ? 4 : 0)
        return parts.reduce(0) { $0 + $1.count * element + $1.trained * trained }
    }

    /// The trainer.
    ///
    /// - Parameters:
    ///   - sinks: What takes in the measurements.
    ///   - metadata: Facts for reports besides those that the run knows.
    /// - Returns: The trainer, not begun.
    /// - Throws: `BridgeError` when nothing is trained.
    public func trainer(sinks: [any MetricsSink], metadata: [(name: String, value: String)] = []) throws -> Trainer {
        let checkpoints = RunCheckpoints(
            bridge,
            recipe.checkpoint,
            configuration: try bridge.runConfiguration(recipe),
            logger: logger
        )
        let own = [
            ("model", bridge.architecture), ("weights", recipe.checkpoint.pretrainedCheckpoint),
            ("parameters", "\(parts.reduce(0) { $0 + $1.count })"), ("trained", "\(supervisedCount)"),
            ("scheme", recipe.peft.scheme == .none ? "full" : recipe.peft.scheme.rawValue),
            ("precision", recipe.mixedPrecision.rawValue), ("samples", sampleCount.map(String.init) ?? "not known"),
            ("steps", "\(recipe.train.trainIters)"), ("global batch", "\(recipe.train.globalBatchSize)"),
            ("sequence", "\(recipe.dataset.seqLength)"), ("learning rate", "\(recipe.optimizer.lr)"),
            ("data", dataName), ("checkpoints", recipe.checkpoint.save), ("seed", "\(recipe.rng.seed)"),
        ]
        return try Trainer(
            Trainer.Components(
                recipe: recipe,
                model: model,
                adapters: adapters,
                samples: samples,
                validation: validation,
                sinks: sinks,
                checkpoints: recipe.checkpoint.save.isEmpty && recipe.checkpoint.load.isEmpty ? nil : checkpoints,
                metadata: RunMetadata(name: recipe.name, metadata: own + metadata)
            ),
            logger: logger
        )
    }
}
