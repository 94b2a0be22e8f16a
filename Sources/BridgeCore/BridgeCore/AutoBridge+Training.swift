import Adapters
public import BridgeSupport
import CheckpointFormats
public import Communication
public import Conversion
import JSONTree
import ModelPlugins
import ModelSchema
import TensorFiles
import TensorRuntime

extension AutoBridge {
    /// Writes the state of a run as an iteration of a Megatron checkpoint.
    ///
    /// Without adapters it is a complete checkpoint that can be exported and resharded. The plan of a conversion
    /// writes it, with memory as its source.
    ///
    /// - Parameters:
    ///   - state: Parameters and optimizer state, which must not change until this returns.
    ///   - path: The directory of the run's checkpoints.
    ///   - iteration: The number of completed steps.
    ///   - files: Additional files, by their names in the iteration's directory.
    ///   - groups: The ranks that have parts of the state, all of which call this; each writes its part.
    ///   - context: Threads, progress and cancellation.
    /// - Throws: `BridgeError`; the checkpoints in the directory are then unchanged.
    public func save(
        _ state: TrainingState,
        to path: String,
        iteration: Int,
        files: [(name: String, bytes: [UInt8])],
        groups: ProcessGroupCollection = .single,
        context: RunContext = RunContext()
    ) throws {
        let names = TrainedNames(try model.table(style))
        guard groups.world.size == 1 else {
            let rounds = AgreementRounds(groups.checkpoint)
            return try rounds.telling {
                try saveShards(state, names, to: path, iteration: iteration, files: files, groups, context, rounds)
            }
        }
        let parameters = try names.parameters(state.parameters.map { ($0.name, $0.tensor) })
        let kinds = Dictionary(grouping: state.moments, by: \.kind).sorted { $0.key < $1.key }
        let moments = try kinds.flatMap { kind, all in
            try names.parameters(all.map { ($0.parameter, $0.tensor) }).map { parameter in
                var parameter = parameter
                parameter.name = "optimizer.\(kind).\(parameter.name)"
                return parameter
            }
        }
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let manifest = manifest(of: state, ledger)
        let layout = try NativeLayout(.single, layerCount: model.provider.decoder.numLayers)
        let plan = try NativePlanner(kind: .saving, source: "memory", layout: layout, manifest: manifest).plan(
            parameters.map { ($0, []) },
            optimizer: moments,
            ledger: ledger,
            otherFiles: sideFiles() + adapterConfiguration(state) + files.map { .literal(name: $0.name, $0.bytes) }
        )
        _ = try destination(path, iteration).write(plan, context: context)
    }

    private func destination(_ path: String, _ iteration: Int) -> NativeDestination {
        NativeDestination(path: path, iteration: iteration, overwrite: true, continuesRun: true)
    }

    private func manifest(of state: TrainingState, _ ledger: Ledger) -> NativeManifest {
        NativeManifest(
            architecture: model.architecture,
            family: model.bridge.name,
            plugin: catalog.pluginName(for: model.architecture),
            style: style,
            ledger: ledger.json,
            holdsAdapter: state.adapters != nil
        )
    }

    /// Writes the parts of all ranks into one iteration: rank 0 makes the directory and names it when all have written.
    private func saveShards(
        _ state: TrainingState,
        _ names: TrainedNames,
        to path: String,
        iteration: Int,
        files: [(name: String, bytes: [UInt8])],
        _ groups: ProcessGroupCollection,
        _ context: RunContext,
        _ rounds: AgreementRounds
    ) throws {
        let copies = groups.dpCp
        let shards = RankShards(names, tensorRank: groups.tp.rank, stage: groups.pp.rank, copy: copies.rank)
        // The ranks with the same parameters take turns.
        var turns: [String: Bool] = [:]
        for (index, group) in TrainedNames.grouped(state.parameters, name: \.name).enumerated() {
            turns[group.whole] = index % copies.size == copies.rank
        }
        func isOwn(_ name: String, _ shard: ParameterShard?) -> Bool {
            (turns[TrainedNames.whole(name)] ?? false) && (shard?.isOwner ?? true)
        }
        let parameters = state.parameters.map {
            RankShards.Piece(name: $0.name, tensor: $0.tensor, shard: $0.shard, isOwn: isOwn($0.name, $0.shard))
        }
        let moments = Dictionary(grouping: state.moments, by: \.kind).sorted { $0.key < $1.key }.map { kind, all in
            (
                pieces: all.map {
                    RankShards.Piece(
                        name: $0.parameter,
                        tensor: $0.tensor,
                        shard: $0.shard,
                        isOwn: state.isDistributed ? $0.shard?.isOwner ?? true : isOwn($0.parameter, $0.shard)
                    )
                },
                prefix: "optimizer.\(kind)."
            )
        }
        let weights = try shards.file([(parameters, "")], kind: "weights")
        let optimizer = try shards.file(moments, kind: "optimizer")
        let own = [weights.file, optimizer.file].compactMap(\.self)
        var partial = manifest(of: state, Ledger())
        (partial.parameters, partial.optimizer) = (weights.lines, optimizer.lines)
        let manifest = partial
        guard groups.checkpoint.rank == 0 else {
            // The directory is there, the files are written, the iteration has its name.
            let directory = try String(decoding: rounds.next()[0], as: UTF8.self)
            _ = try rounds.next {
                guard Files.kind(of: directory) == .directory else {
                    throw BridgeError(
                        .fileSystem,
                        "\(directory), which rank 0 has made, does not exist on the host of rank \(groups.rank); "
                            + "checkpoint.save has to be on a file system that all hosts share"
                    )
                }
                let writer = CheckpointWriter(directory: directory, context: context)
                let written = try writer.write(own, activity: ConversionPlan.Kind.saving.activity)
                return manifest.withChecksums(written).json.text(pretty: false)
            }
            _ = try rounds.next()
            return
        }
        let layout = RankLayout(
            tensorSize: groups.tp.size,
            stageLayers: RankLayout(pipelineSize: groups.pp.size, stageLayers: state.rankLayers)
                .layersPerStage(of: layerCount)
        )
        var ledger = Ledger()
        ledger.mapped = weights.lines.map(\.name)
        var plan = ConversionPlan(
            kind: .saving,
            source: "memory",
            architecture: model.architecture,
            layout: layout,
            ledger: ledger,
            lines: [],
            notes: [],
            plannedFiles: own + (try sideFiles()) + (try adapterConfiguration(state))
                + files.map { .literal(name: $0.name, $0.bytes) },
            finalize: { written in
                let parts = try rounds.next().dropFirst().map {
                    try NativeManifest(json: JSON(parsing: $0), name: "the manifest of a rank")
                }
                var whole = manifest.withChecksums(written).merged(with: parts)
                whole.layout = layout
                var ledger = Ledger()
                ledger.mapped = whole.parameters.map(\.name)
                whole.ledger = ledger.json
                try whole.checkComplete()
                return [(NativeCheckpoint.manifestName, whole.json.text())]
            }
        )
        plan.begin = { directory in _ = try rounds.next { Array(directory.utf8) } }
        _ = try destination(path, iteration).write(plan, context: context)
        _ = try rounds.next()
    }

    /// How far the run is whose checkpoint another program wrote; nil for a checkpoint without progress.
    ///
    /// - Parameter path: The directory of an iteration.
    /// - Returns: The completed steps and the consumed samples.
    /// - Throws: `BridgeError` for a damaged checkpoint.
    public static func megatronProgress(_ path: String) throws -> (steps: Int, consumedSamples: Int)? {
        guard let names = try? Files.list(path), TorchDistDirectory.isOne(names) else { return nil }
        return try TrainStateFile.read(TorchDistDirectory(path: path)).map { ($0.step, $0.consumedSamples) }
    }

    /// Loads the tensors of a run that ``save(_:to:iteration:files:groups:context:)`` wrote.
    ///
    /// - Parameters:
    ///   - state: Tensors that own their memory, of the saved shapes; types may differ.
    ///   - path: The directory of an iteration, written under any layout.
    ///   - groups: The ranks of this run; each loads its part.
    /// - Throws: `BridgeError` for missing tensors and for other shapes.
    public func restore(
        _ state: TrainingState,
        from path: String,
        groups: ProcessGroupCollection = .single
    ) throws {
        let checkpoint = try opened(path)
        guard checkpoint.manifest.holdsAdapter == (state.adapters != nil) else {
            throw BridgeError(
                .badArgument,
                "\(path) holds \(checkpoint.manifest.holdsAdapter ? "adapters" : "a whole model"), which this run does not "
                    + "train; use the recipe that it was made with, or another checkpoint.save"
            )
        }
        let names = TrainedNames(try model.table(style))
        let stored = try checkpoint.parameters + checkpoint.optimizerParameters()
        let found = Dictionary(stored.map { ($0.name, $0.view) }) { first, _ in first }
        let reader = TensorReader()
        func fill(_ pieces: [(name: String, tensor: Tensor, shard: ParameterShard?)], prefix: String) throws {
            for (whole, tensors) in TrainedNames.grouped(pieces, name: \.name) {
                guard let view = found[prefix + whole], let location = names.location(of: whole) else {
                    throw BridgeError(
                        .corruptInput,
                        "\(path) has no \(prefix)\(whole), which this run trains; resume with the recipe of the checkpoint"
                    )
                }
                // Other programs store the rows that pad a vocabulary.
                let isPadded = checkpoint.container == .torchDist && location.split == .vocabulary
                let own = isPadded ? view.rows(0..<model.provider.decoder.vocabSize) : view
                let matrices = tensors.count == 1 ? [own] : location.transform.toLayers(own)
                for (piece, matrix) in zip(tensors, matrices) {
                    let (tensor, matrix) = (piece.tensor, piece.shard?.part(of: matrix) ?? matrix)
                    guard matrix.shape == tensor.shape else {
                        throw BridgeError(
                            .corruptInput,
                            "\(path): \(prefix)\(whole) has the shape \(view.shape), which is not that of this run's parameters; "
                                + "resume with the recipe of the checkpoint"
                        )
                    }
                    if tensor.count > 0 { try reader.read(matrix, into: tensor) }
                }
            }
        }
        let filled = Set(state.parameters.map { TrainedNames.whole($0.name) })
        // In a checkpoint with adapters every parameter of the model was trained; another rank has those of other stages.
        if groups.pp.size == 1,
            let lost = checkpoint.parameters.first(where: {
                (TrainedNames.isAdapter($0.name) || state.adapters != nil) && !filled.contains($0.name)
            })
        {
            throw BridgeError(
                .badArgument,
                "\(path) has \(lost.name), which this run does not train; resume with the recipe of the checkpoint"
            )
        }
        try fill(state.parameters.map { ($0.name, $0.tensor, $0.shard) }, prefix: "")
        for (kind, moments) in Dictionary(grouping: state.moments, by: \.kind) {
            try fill(moments.map { ($0.parameter, $0.tensor, $0.shard) }, prefix: "optimizer.\(kind).")
        }
    }

    /// The hyperparameters of adapters.
    private func adapterConfiguration(_ state: TrainingState) throws -> [PlannedFile] {
        guard let adapters = state.adapters else { return [] }
        let layers = adapters.modules.flatMap { module in
            module.layers.compactMap { layer in
                layer.adapter.map { adapter in
                    // Patterns match the names of matrices, after which the parts of a fused module differ.
                    let name = adapter.input.weight.name
                    return (name: String(name.dropLast(".linear_in.weight".count)), shape: adapter.shape)
                }
            }
        }
        let configuration = try PEFTConfiguration(adapters, layers: layers, baseModel: modelPath)
        let json = configuration.json(modules: adapters.modules.map(\.name), taskType: nil)
        return [.literal(name: AdapterFiles.configuration, json.text())]
    }

    /// The side files of the model, from its source.
    private func sideFiles() throws -> [PlannedFile] {
        var plannedFiles: [PlannedFile] = []
        if let directory {
            plannedFiles = try Importer.sideFiles(of: directory)
        } else if let processorDirectory {
            let root = Files.parent(of: processorDirectory)
            plannedFiles = try checkpointSideFiles.map {
                PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: root))
            }
        }
        guard isReconfigured else { return plannedFiles }
        let name = Files.join(NativeCheckpoint.huggingFaceDirectory, style.configurationName)
        plannedFiles.removeAll { $0.name == name }
        let source = directory?.configuration ?? JSON.object(JSONObject())
        let json =
            style == .consolidated
            ? model.bridge.parameters(configuration: model.configuration, base: source)
            : model.configuration
        return plannedFiles + [.literal(name: name, json.text())]
    }

    /// The naming style of the Hugging Face side.
    private var style: HuggingFaceDirectory.Style { directory?.style ?? checkpointStyle }
}
