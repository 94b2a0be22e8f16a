import BridgeCore
import Communication
import JSONTree
import TensorRuntime

/// Checks that a run does not write into its inputs.
extension TrainingRun {
    /// The paths of the initial weights and of the data.
    private static func sources(_ recipe: Recipe) -> [String] {
        let dataset = recipe.dataset
        return [
            recipe.checkpoint.pretrainedCheckpoint, recipe.peft.adapterNameOrPath, recipe.hfPath, dataset.trainDataPath,
            dataset.pathOrDataset, dataset.imageFolder, dataset.preparedPath,
        ].filter { !$0.isEmpty } + dataset.source + dataset.validationFiles
    }

    /// Refuses to train weights that were stored in fewer bits, which only hold whole numbers.
    static func checkTrainable(_ model: any CausalModel, of weights: String) throws {
        let quantized = model.parameters.filter { $0.isTrainable && $0.tensor.quantized != nil }
        guard !quantized.isEmpty else { return }
        throw BridgeError(
            .badArgument,
            "\(ByteFormat.counted(quantized.count, "trained parameter")) of \(weights) have weights of 8 or 4 bits, which cannot be trained; "
                + "train adapters (--peft-scheme lora), or the 16-bit model ('bridge convert' makes 16-bit weights of it)",
            names: Array(quantized.prefix(5).map(\.name))
        )
    }

    /// Refuses parts in `peft.modules_to_save` that the model does not have on any rank; all ranks call it.
    static func checkSavedModules(_ recipe: Recipe, _ model: any CausalModel, _ world: any ProcessGroup) throws {
        guard recipe.peft.scheme != .none, !recipe.peft.modulesToSave.isEmpty else { return }
        let names = ["language_model", "vision_tower", "multi_modal_projector", "word_embeddings", "output_layer"]
        let counts = try world.allReduceSum(names.map { Double(model.parameters(ofParts: [$0]).count) })
        let own = Set(zip(names, counts).filter { $0.1 > 0 }.map(\.0))
        let missing = recipe.peft.modulesToSave.filter { !own.contains($0) }
        guard missing.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "peft.modules_to_save names \(missing.joined(separator: " and ")), which "
                    + "\(recipe.checkpoint.pretrainedCheckpoint) does not have; it has "
                    + names.filter(own.contains).joined(separator: ", ")
            )
        }
    }

    /// Refuses ranks that were started with other settings, programs, weights or data than rank 0.
    static func checkRanks(_ recipe: Recipe, _ environment: Environment) throws {
        let world = environment.world
        guard world.size > 1 else { return }
        var facts = environment.facts
        for field in RecipeTable.fields { facts.add(field.key, field.value(of: recipe).compactText) }
        facts.add("date", environment.today)
        for path in Set(sources(recipe)).sorted() { facts.add(path, contentsOf: path) }
        try facts.check(try world.group(Array(0..<world.size), name: "world"))
    }

    /// Refuses to put a run's checkpoints into the model or the data that it starts from.
    static func checkCheckpoints(_ recipe: Recipe) throws {
        let save = recipe.checkpoint.save
        // An existing run is resumed in its directory.
        guard !save.isEmpty, (try? NativeCheckpoint.iterations(in: save))?.isEmpty ?? true else { return }
        for source in sources(recipe) where isInside(save, source) {
            throw BridgeError(
                .badArgument,
                "checkpoint.save is \(save), which is inside \(source), an input of the run; "
                    + "choose a directory outside it"
            )
        }
    }

    /// Refuses logs inside the model or the data of a run, or that would replace one of their files.
    ///
    /// A log may be in the directory of the run's checkpoints, but not inside one of them.
    static func checkLogs(_ recipe: Recipe) throws {
        let (logger, checkpoint) = (recipe.logger, recipe.checkpoint)
        // A run starts a log from scratch, and puts its report in place; TensorBoard's files have names of their own.
        var logs = [JSONLinesLog.fileName, HTMLReport.fileName]
        if !logger.wandbProject.isEmpty { logs.append(WandbTracker.fileName) }
        if !logger.mlflowExperiment.isEmpty { logs.append(MLflowTracker.fileName) }
        if logger.logDir.isEmpty { logs = [] }
        var written = logs.map { (setting: "logger.log_dir", directory: logger.logDir, path: "\(logger.logDir)/\($0)") }
        if !logger.tensorboardDir.isEmpty {
            let directory = logger.tensorboardDir
            written.append(("logger.tensorboard_dir", directory, "\(directory)/\(TensorBoardWriter.fileNamePrefix)"))
        }
        if !logger.wandbProject.isEmpty, !logger.wandbSaveDir.isEmpty {
            // The package makes a directory of its name.
            written.append(("logger.wandb_save_dir", logger.wandbSaveDir, "\(logger.wandbSaveDir)/wandb"))
        }
        let iterations = [checkpoint.save, checkpoint.load].filter { !$0.isEmpty }.flatMap { directory in
            NativeCheckpoint.isIteration(directory)
                ? [directory] : (try? NativeCheckpoint.iterations(in: directory))?.map(\.path) ?? []
        }
        // An existing run inside its model already has its logs next to it.
        let sources = sources(recipe).filter { iterations.isEmpty || !isInside(checkpoint.save, $0) }
        for (setting, directory, path) in written {
            for source in sources + iterations where Destination.relation(of: path, to: source) != nil {
                throw BridgeError(
                    .badArgument,
                    "\(setting) is \(directory), and writing to it would change \(source), which the run reads; "
                        + "choose a directory outside it"
                )
            }
        }
    }

    /// Refuses a recipe that is recommended for a model of another family.
    static func checkFamily(of bridge: AutoBridge, _ recipe: Recipe, _ catalog: PluginCatalog) throws {
        guard !recipe.hfPath.isEmpty, let home = catalog.family(ofRecipesFor: recipe.hfPath),
            !catalog.isOnePlugin(home, bridge.bridge)
        else { return }
        throw BridgeError(
            .badArgument,
            "the recipe \(recipe.name) is for \(recipe.hfPath), a model of the family \(home.name), and "
                + "\(recipe.checkpoint.pretrainedCheckpoint) is a model of the family \(bridge.bridge.name); use one of its recipes "
                + "from 'bridge recipes list', or set hf_path= for a recipe for any model"
        )
    }

    /// Limits rows to the maximum sequence length of the model.
    ///
    /// - Throws: `BridgeError` for longer ones, unless they may be lowered.
    static func fitSeqLength(
        of recipe: inout Recipe,
        to bridge: AutoBridge,
        _ environment: Environment
    ) throws {
        let (wanted, limit) = (
            max(recipe.model.seqLength, recipe.dataset.seqLength), bridge.toProvider().decoder.seqLength
        )
        guard wanted > limit else { return }
        let weights = recipe.checkpoint.pretrainedCheckpoint
        guard environment.lowersSeqLength else {
            throw BridgeError(
                .badArgument,
                "model.seq_length and dataset.seq_length are \(wanted), but \(weights) supports at most \(limit) tokens "
                    + "(max_position_embeddings); set both to \(limit) or less"
            )
        }
        (recipe.model.seqLength, recipe.dataset.seqLength) = (limit, limit)
        environment.logger.notice(
            "model.seq_length and dataset.seq_length are \(limit), the maximum of \(weights), instead of \(wanted) of the recipe"
        )
    }

    /// Whether a path is an existing directory or inside it.
    private static func isInside(_ path: String, _ directory: String) -> Bool {
        guard !path.isEmpty else { return false }
        return switch Destination.relation(of: path, to: directory) {
        case .same, .inside: true
        case .above, nil: false
        }
    }
}
