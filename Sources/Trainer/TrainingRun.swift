public import BridgeCore
public import Communication
public import Datasets
import JSONTree
public import Logging
public import TensorRuntime
import Tokenizers

/// A prepared recipe: the model with its adapters, the data, the checkpoints, and the trainer.
public final class TrainingRun {
    /// The recipe with derived settings.
    public private(set) var recipe: Recipe
    /// The model's description.
    public let bridge: AutoBridge
    /// The model.
    public let model: any CausalModel
    /// The adapters; nil for full training.
    public let adapters: AdapterSet?
    /// The number of training samples.
    public let sampleCount: Int?
    /// The checkpoint that the run resumes from; nil for a new run.
    public var resumedFrom: String? { directory.newest }

    /// Notes about the rows that were read so far.
    public let notes: DataNotes

    /// The groups of ranks.
    public let groups: ProcessGroupCollection
    private let directory: RunDirectory
    private let samples: DataLoader
    private let validation: [(name: String, batches: any BatchSource)]
    private let pairs: PreferencePairs?
    private let engine: any TensorEngine
    private let logger: Logger
    private let trace: (events: ChromeTrace, path: String)?

    /// The environment of a run.
    public struct Environment {
        /// The families.
        public var catalog: PluginCatalog
        /// Where to compute.
        public var engine: any TensorEngine
        /// The logger.
        public var logger: Logger
        /// The date, as yyyy-mm-dd, for a recipe without one.
        public var today: String
        /// Opens a table of a Hugging Face data set; nil if not supported.
        public var openTable: (@Sendable (_ path: String, _ split: String) throws -> any DatasetTable)?
        /// The maker that replaces the recipe's.
        public var maker: ConversationMaker?

        /// The hub for model ids.
        public var hub = Hub.standard

        /// Whether a `seq_length` above the model's maximum is lowered instead of an error: a recommended recipe's value that the user did
        /// not set may be lowered.
        public var lowersSeqLength = false

        /// Whether the warm-up is a recommended recipe's, so that it follows the steps that epochs or samples make.
        ///
        /// A warm-up that the user set is only shortened where it does not fit into the steps.
        public var scalesWarmup = false

        /// Whether the user has named the directory of the checkpoints; a run in the default one continues only with the data that it
        /// began with.
        public var isSaveGiven = true

        /// Whether the run is only described; then no weights are read or downloaded.
        public var isShapeOnly = false

        /// The ranks of the run.
        public var world: any RankWorld = SingleRankWorld()

        /// The file of a trace of the run; nil for none.
        public var tracePath: String?

        /// What all ranks must have in common besides the recipe and its files, such as the program.
        public var facts = RankFacts()

        /// Environment.
        public init(catalog: PluginCatalog, engine: any TensorEngine, logger: Logger, today: String) {
            self.catalog = catalog
            self.engine = engine
            self.logger = logger
            self.today = today
        }
    }

    /// Refuses a model with attention dropout in training, which is not supported.
    private static func checkDropout(_ fields: JSONObject, _ recipe: Recipe) throws {
        guard recipe.model.attentionDropout == nil else { return }
        for (field, key) in [
            ("attention_dropout", "attention_dropout"), ("vision_attention_dropout", "vision_config.attention_dropout"),
        ] {
            guard let dropout = fields[field]?.double, dropout != 0 else { continue }
            throw BridgeError(
                .badConfiguration,
                "config.json: \(key) is \(dropout), but attention dropout is not supported in training; "
                    + "set model.attention_dropout=0 to train without it"
            )
        }
    }

    /// Loads the model and opens the data.
    ///
    /// - Throws: `BridgeError` for weights or data that cannot be used, and when no parameter is trainable.
    public init(_ recipe: Recipe, in environment: Environment) throws {
        var recipe = recipe
        let weights = recipe.checkpoint.pretrainedCheckpoint
        guard !weights.isEmpty else {
            throw BridgeError(
                .badArgument,
                "checkpoint.pretrained_checkpoint is empty, expected the Hugging Face directory or Megatron checkpoint to start from"
            )
        }
        try Self.checkRanks(recipe, environment)
        try RunCheckpoints.checkDirectory(recipe.checkpoint.save)
        try Self.checkCheckpoints(recipe)
        try Self.checkLogs(recipe)
        // The model is checked below: its directory is locked before it is opened.
        let layout = try LayoutCheck(recipe, ranks: environment.world.size, decoder: nil).validated()
        trace = environment.tracePath.map { (ChromeTrace(), $0) }
        groups = try ProcessGroupCollection(
            layout,
            in: trace.map { TracedWorld(environment.world, into: $0.events) } ?? environment.world,
            overlaps: recipe.ddp.overlaps
        )
        directory = try RunDirectory(recipe.checkpoint, isLocked: !environment.isShapeOnly, ranks: groups.world)
        bridge =
            try environment.isShapeOnly && HubRepository(meantBy: weights) != nil
            ? AutoBridge.forPlanning(weights, catalog: environment.catalog, hub: environment.hub)
            : AutoBridge.fromAny(weights, catalog: environment.catalog, hub: environment.hub)
        try Self.checkDropout(bridge.megatronFields, recipe)
        try Self.checkFamily(of: bridge, recipe, environment.catalog)
        try Self.fitSeqLength(of: &recipe, to: bridge, environment)
        // A branch may have moved when the run is resumed; a commit has not.
        if let repository = HubRepository(meantBy: weights), let commit = environment.hub.cache.commit(of: repository) {
            recipe.checkpoint.pretrainedCheckpoint = "\(repository.id)@\(commit)"
        }
        for warning in directory.warnings { environment.logger.warning("\(warning)") }
        let stored = try directory.newest.flatMap(Self.storedRecipe)
        if recipe.dataset.date.isEmpty {
            // A converted checkpoint has no date.
            let begun = stored?.dataset.date ?? ""
            recipe.dataset.date = begun.isEmpty ? environment.today : begun
        }
        if !recipe.peft.adapterNameOrPath.isEmpty {
            let adapter = recipe.peft.adapterNameOrPath
            do { recipe.peft.adapterNameOrPath = try environment.hub.directory(of: adapter, for: .adapter) } catch let
                error as BridgeError where error.code != .cancelled && HubRepository(meantBy: adapter) != nil
            {
                throw BridgeError(
                    error.code,
                    "\(error.message); peft.adapter_name_or_path is \(adapter), and there is no directory of that name",
                    names: error.names,
                    cause: error
                )
            }
            recipe.peft = try bridge.settings(continuing: recipe.peft)
        }
        let sources = try RunSources(recipe)
        self.sources = sources
        if let newest = directory.newest, let stored {
            let other = try RunSources(iteration: newest).map { try sources.changes(from: $0, of: newest, recipe) }
            let check = try ResumeCheck(recipe, stored: stored, path: newest, scalesWarmup: environment.scalesWarmup)
            let changes = check.changes + (other ?? [])
            let data = check.dataChanges.isEmpty ? other ?? [] : check.dataChanges
            guard environment.isSaveGiven || data.isEmpty else {
                throw BridgeError(
                    .badArgument,
                    "\(newest) is of a run on other data; begin a new run in a directory of its own with checkpoint.save=DIRECTORY, or "
                        + "continue that one with checkpoint.save=\(recipe.checkpoint.save)",
                    names: data
                )
            }
            if !changes.isEmpty {
                environment.logger.notice(
                    "settings that differ from the checkpoint: \(changes.joined(separator: ", "))"
                )
            }
        }
        if recipe.ddp.overlaps, groups.dpCp.size == 1 {
            environment.logger.notice(
                "ddp.overlap_grad_reduce and ddp.overlap_param_gather have no effect: each parameter is on one rank"
            )
        }
        self.recipe = recipe
        engine = environment.engine
        logger = environment.logger
        let type: ElementType = recipe.mixedPrecision == .bf16Mixed ? .bfloat16 : .float32
        let path = bridge.directory == nil ? weights : nil
        let parallelism = try bridge.layoutCheck(recipe, ranks: environment.world.size).parallelism(groups)
        if environment.isShapeOnly {
            if !recipe.checkpoint.randomInit { try bridge.checkWeights(path) }
            model = try bridge.shapeOnlyModel(elementType: type, on: engine, parallelism: parallelism)
        } else if recipe.checkpoint.randomInit {
            model = try bridge.initializedModel(
                seed: recipe.rng.seed,
                elementType: type,
                on: engine,
                parallelism: parallelism
            )
        } else {
            model = try bridge.toModel(
                weights: path,
                elementType: type,
                on: engine,
                parallelism: parallelism,
                quantization: recipe.quantization
            )
            if let choice = recipe.quantization {
                for sentence in QuantizationSummary(model.parameters, choice).sentences { logger.notice("\(sentence)") }
            }
        }
        try model.freeze(by: recipe)
        try Self.checkSavedModules(recipe, model, groups.world)
        adapters = try bridge.startAdapters(
            by: recipe,
            on: model,
            isShapeOnly: environment.isShapeOnly,
            isRestored: stored != nil
        )
        for note in adapters?.notes ?? [] { logger.warning("\(note)") }
        try Self.checkTrainable(model, of: weights)
        if let adapters, recipe.checkpoint.ckptFormat == .torchDist {
            try AutoBridge.checkLayers(of: adapters, on: model, groups: groups)
        }
        var opener = try DatasetOpener(recipe, for: bridge)
        let encoder = opener.encoder
        notes = encoder.notes
        notes.setReport { [logger = environment.logger] in logger.warning("\($0)") }
        opener.section.padToMultipleOf = parallelism.lengthMultiple(of: opener.section.padToMultipleOf)
        opener.openTable = environment.openTable
        opener.maker = environment.maker
        // A dry run downloads no data; it reports a data set that is not in the cache.
        let isElsewhere = environment.isShapeOnly && opener.isOnTheHubOnly(environment.hub)
        let data =
            try isElsewhere
            ? DatasetOpener.Sources(
                training: MockSource(count: 1, imageCount: 0, seed: 0, encoder: encoder),
                validation: []
            )
            : opener.sources(validates: recipe.hasValidations)
        for note in data.notes { environment.logger.notice("\(note)") }
        sampleCount = isElsewhere ? nil : data.training.count
        for note in self.recipe.countEpochs(of: sampleCount, scalesWarmup: environment.scalesWarmup) {
            environment.logger.notice("\(note)")
        }
        try LearningRateSchedule(self.recipe).check(steps: self.recipe.train.trainIters)
        let (workers, copies) = (recipe.dataset.numWorkers, groups.dp.size)
        let training = try opener.preparer(data.training)
        samples = DataLoader(training, workers: workers, on: engine, copies: copies)
        let validating = try data.validation.map { ($0.name, try opener.preparer($0.samples, shuffles: false)) }
        validation = validating.map { name, preparer in
            (name, DataLoader(preparer, workers: workers, on: environment.engine, copies: copies))
        }
        pairs =
            recipe.preference.isOn
            ? PreferencePairs(
                training: try opener.preparer(data.training, shuffles: false),
                order: training.order,
                validation: validating.map(\.1),
                key: { [recipe = self.recipe] in try RunSources.key(ofReference: recipe) },
                checkpoint: directory.newest
            ) : nil
    }

    private let sources: RunSources

    /// The recipe of the run that wrote a checkpoint; nil for one that was converted.
    private static func storedRecipe(_ path: String) throws -> Recipe? {
        guard Files.exists("\(path)/\(RunProgress.fileName)"), let name = AutoBridge.runConfigurationPath(in: path)
        else { return nil }
        return try Recipe(yaml: String(decoding: Files.contents(of: name), as: UTF8.self), name: name)
    }

    /// The data set, for reports.
    private var dataName: String {
        let section = recipe.dataset
        switch section.datasetType {
        case .mock: return "synthetic"
        case .hf:
            let names = section.trainingSources.map { $0.isEmpty ? section.makerName : $0 }
            return names.joined(separator: ", ")
        case .preloaded, .tokenized: return section.trainingSources.joined(separator: ", ")
        }
    }

    /// The learning rate that logs show, as a multiple of that of `optimizer.lr`, on this rank; see ``StepRecord/learningRate``.
    public var loggedRateFactor: Double { loggedPart?.factor ?? 1 }

    /// The part whose rate logs show; nil for that of the run.
    private var loggedPart: (name: String, rate: Double, factor: Double)? {
        let factors = LearningRateFactors(recipe, model, adapters)
        return factors.loggedPart(
            usesRunRate: factors.usesRunRate(model.parameters + (adapters?.parameters ?? []))
        )
    }

    /// The counts of the samples so far.
    public var statistics: SampleStatistics { samples.statistics }

    /// The parts of the model, with the numbers of their parameters and of their trained parameters.
    public var parts: [(name: String, count: Int, trained: Int)] {
        model.parts(with: adapters).map { name, parameters in
            let trained = parameters.filter(\.isTrainable).reduce(0) { $0 + $1.tensor.count }
            return (name, parameters.reduce(0) { $0 + $1.tensor.count }, trained)
        }
    }

    /// The same for the whole model, of which every rank has a part; all ranks call it.
    ///
    /// - Throws: What a group throws.
    public func wholeParts() throws -> [(name: String, count: Int, trained: Int)] {
        let names = ["language_model", "vision_tower", "multi_modal_projector", "adapters"]
        let all = model.parts(with: adapters)
        let own = names.flatMap { name -> [Double] in
            let parameters = groups.dpCp.rank > 0 ? [] : all.filter { $0.name == name }.flatMap(\.parameters)
            let owned = parameters.filter(\.isOwner)
            return [owned, owned.filter(\.isTrainable)].map { Double($0.reduce(0) { $0 + $1.tensor.count }) }
        }
        let sums = try groups.world.allReduceSum(own).map { Int($0) }
        return names.indices.filter { sums[2 * $0] > 0 }.map { (names[$0], sums[2 * $0], sums[2 * $0 + 1]) }
    }

    /// The size of weights, gradients and optimizer state in bytes, without activations.
    public var stateByteCount: Int {
        let element = recipe.mixedPrecision == .bf16Mixed ? 2 : 4
        let moments = recipe.optimizer.optimizer == .adam ? 8 : 4
        // Gradient, moments and, for bfloat16, the master weights.
        let trained = 4 + moments + (element == 2 ? 4 : 0)
        return parts.reduce(0) { $0 + $1.count * element + $1.trained * trained }
    }

    /// The trainer; all ranks call this.
    ///
    /// - Parameters:
    ///   - callbacks: The receivers of events.
    ///   - metadata: Additional facts for reports.
    /// - Returns: The trainer, not started.
    /// - Throws: `BridgeError` when no parameter is trainable.
    public func trainer(callbacks: [any TrainerCallback], metadata: [(name: String, value: String)] = []) throws
        -> Trainer
    {
        let checkpoints = RunCheckpoints(
            bridge,
            recipe,
            directory: directory,
            configuration: try bridge.runConfiguration(recipe),
            sources: sources,
            groups: groups,
            trace: trace?.events,
            logger: logger
        )
        let whole = try wholeParts()
        let own = [
            ("model", bridge.architecture), ("weights", recipe.checkpoint.pretrainedCheckpoint),
            ("parameters", "\(whole.reduce(0) { $0 + $1.count })"),
            ("trained", "\(whole.reduce(0) { $0 + $1.trained })"),
            ("scheme", recipe.peft.scheme == .none ? "full" : recipe.peft.scheme.rawValue),
            ("precision", recipe.mixedPrecision.rawValue), ("samples", sampleCount.map(String.init) ?? "not known"),
            ("steps", "\(recipe.train.trainIters)"), ("global batch", "\(recipe.train.globalBatchSize)"),
            ("sequence", "\(recipe.dataset.seqLength)"),
            ("learning rate", "\(loggedPart?.rate ?? recipe.optimizer.lr)"),
            ("data", dataName), ("checkpoints", recipe.checkpoint.save), ("seed", "\(recipe.rng.seed)"),
        ]
        return try Trainer(
            Trainer.Components(
                recipe: recipe,
                model: model,
                adapters: adapters,
                samples: samples,
                validation: validation,
                pairs: pairs,
                callbacks: callbacks,
                checkpoints: recipe.checkpoint.save.isEmpty && recipe.checkpoint.load.isEmpty ? nil : checkpoints,
                metadata: RunMetadata(
                    name: recipe.name,
                    metadata: own + metadata,
                    configuration: bridge.runSettings(recipe)
                ),
                trace: trace
            ),
            logger: logger
        )
    }
}
