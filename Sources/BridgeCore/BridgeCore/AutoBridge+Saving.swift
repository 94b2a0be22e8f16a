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

/// The container of the checkpoints of a run.
public enum RunContainer: Sendable {
    /// Bridge's own.
    case native
    /// Megatron-Core's, which has more of the run than its tensors.
    case torchDist(MegatronRunState)
}

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
    ///   - container: The container.
    ///   - groups: The ranks that have parts of the state, all of which call this; each writes its part.
    ///   - context: Threads, progress and cancellation.
    /// - Throws: `BridgeError`; the checkpoints in the directory are then unchanged.
    public func save(
        _ state: TrainingState,
        to path: String,
        iteration: Int,
        files: [(name: String, bytes: [UInt8])],
        container: RunContainer = .native,
        groups: ProcessGroupCollection = .single,
        context: RunContext = RunContext()
    ) throws {
        let names = TrainedNames(try model.table(style))
        guard groups.world.size == 1 else {
            let rounds = AgreementRounds(groups.checkpoint)
            return try rounds.telling {
                try saveShards(state, names, to: path, iteration, files, container, groups, context, rounds)
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
        let layout = try NativeLayout(.single, layerCount: layerCount)
        let others = try sideFiles() + adapterConfiguration(state) + files.map { .literal(name: $0.name, $0.bytes) }
        let lines = parameters.map { ($0, [String]()) }
        var planned = CheckpointPlanner.Container.native
        var configuration: [PlannedFile] = []
        if case .torchDist(let run) = container {
            planned = .torchDist(
                TorchDistContainer(writers: 1, progress: run.trainState, groups: run.groups(of: state))
            )
            configuration = [try megatronConfiguration(run, state, layout)]
        }
        let plan = try CheckpointPlanner(
            kind: .saving,
            source: "memory",
            layout: layout,
            manifest: manifest,
            container: planned
        ).plan(lines, optimizer: moments, ledger: ledger, otherFiles: others + configuration)
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

    /// `run_config.yaml` for Megatron Bridge.
    private func megatronConfiguration(_ run: MegatronRunState, _ state: TrainingState, _ layout: NativeLayout) throws
        -> PlannedFile
    {
        // Megatron Bridge stores DoRA's magnitudes by the ranks of the run; ours are those of a run with one.
        let isDoRA = run.recipe.peft.scheme == .dora
        let layout = isDoRA ? try NativeLayout(.single, layerCount: layerCount) : layout
        let configuration = MegatronRunConfiguration(
            model: model,
            providerClass: catalog.providerClass(of: model.architecture),
            layout: layout,
            savesOptimizer: !state.moments.isEmpty,
            recipe: run.recipe
        )
        return .literal(name: RunConfiguration.name, try configuration.text())
    }

    // MARK: Several ranks

    /// What a rank writes of a checkpoint.
    private struct RankPart: Sendable {
        /// Its files.
        var files: [PlannedFile]
        /// Its lines of a native manifest, and what all ranks have in it.
        var manifest: NativeManifest
        /// Its tensors in Megatron-Core's container; nil in the native one.
        var items: DistributedMetadata?
        /// The empty object of the modules, which the first rank writes.
        var extraState: DistributedMetadata.Item?
    }

    /// The tensors of a rank that it writes itself.
    private func kinds(_ state: TrainingState, _ copies: any ProcessGroup) -> (
        weights: RankShards.Kind, moments: [RankShards.Kind]
    ) {
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
        return ((parameters, ""), moments)
    }

    private func part(
        _ state: TrainingState,
        _ names: TrainedNames,
        _ container: RunContainer,
        _ groups: ProcessGroupCollection
    ) throws -> RankPart {
        let copies = groups.dpCp
        let shards = RankShards(names, tensorRank: groups.tp.rank, stage: groups.pp.rank, copy: copies.rank)
        let kinds = kinds(state, copies)
        var manifest = manifest(of: state, Ledger())
        guard case .torchDist(let run) = container else {
            let weights = try shards.file([kinds.weights], kind: "weights")
            let optimizer = try shards.file(kinds.moments, kind: "optimizer")
            (manifest.parameters, manifest.optimizer) = (weights.lines, optimizer.lines)
            return RankPart(files: [weights.file, optimizer.file].compactMap(\.self), manifest: manifest)
        }
        var file = ItemFile(rank: groups.rank)
        var objects: [DistributedMetadata.Object] = []
        var extraState: DistributedMetadata.Item?
        if groups.checkpoint.rank == 0 {
            let item = try file.add(commonFiles(run, state).object)
            objects.append(.init(key: TorchDistDirectory.commonKey, item: item))
            extraState = try file.add(ExtraState.none)
        }
        var items = try shards.items([kinds.weights] + kinds.moments, layerCount: layerCount, in: &file)
        items.objects = objects
        return RankPart(
            files: file.isEmpty ? [] : [file.planned],
            manifest: manifest,
            items: items,
            extraState: extraState
        )
    }

    private func commonFiles(_ run: MegatronRunState, _ state: TrainingState) -> TorchDistCommonFiles {
        TorchDistCommonFiles(
            progress: run.trainState,
            hasOptimizer: !state.moments.isEmpty,
            groups: run.groups(of: state)
        )
    }

    /// Writes the parts of all ranks into one iteration: rank 0 makes the directory and names it when all have written.
    private func saveShards(
        _ state: TrainingState,
        _ names: TrainedNames,
        to path: String,
        _ iteration: Int,
        _ files: [(name: String, bytes: [UInt8])],
        _ container: RunContainer,
        _ groups: ProcessGroupCollection,
        _ context: RunContext,
        _ rounds: AgreementRounds
    ) throws {
        let part = try part(state, names, container, groups)
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
                let written = try writer.write(part.files, activity: ConversionPlan.Kind.saving.activity)
                return part.manifest.withChecksums(written).json.text(pretty: false)
            }
            if let items = part.items { _ = try rounds.next { try items.pickled() } }
            _ = try rounds.next()
            return
        }
        let layout = RankLayout(
            tensorSize: groups.tp.size,
            stageLayers: RankLayout(pipelineSize: groups.pp.size, stageLayers: state.rankLayers)
                .layersPerStage(of: layerCount)
        )
        var others = try sideFiles() + adapterConfiguration(state) + files.map { .literal(name: $0.name, $0.bytes) }
        if case .torchDist(let run) = container {
            let layout = try NativeLayout(layout, layerCount: layerCount)
            others += try commonFiles(run, state).files() + [megatronConfiguration(run, state, layout)]
        }
        var ledger = Ledger()
        ledger.mapped = part.manifest.parameters.map(\.name)
        let count = layerCount
        var plan = ConversionPlan(
            kind: .saving,
            source: "memory",
            architecture: model.architecture,
            layout: layout,
            ledger: ledger,
            lines: [],
            notes: [],
            plannedFiles: part.files + others,
            finalize: { written in
                let parts = try rounds.next().dropFirst().map {
                    try NativeManifest(json: JSON(parsing: $0), name: "the manifest of a rank")
                }
                var whole = part.manifest.withChecksums(written).merged(with: parts)
                whole.layout = layout
                guard var items = part.items else {
                    try whole.checkComplete()
                    whole.setLedger(of: whole.parameters.map(\.name))
                    return [(NativeCheckpoint.manifestName, whole.json.text())]
                }
                for bytes in try rounds.next().dropFirst() {
                    try items.merge(DistributedMetadata(parsing: bytes, name: "the tensors of a rank"))
                }
                try items.finish(extraState: part.extraState, layerCount: count)
                let metadata = try items.pickled()
                whole.setLedger(of: items.parameterNames)
                whole.files.append(.init(name: DistributedMetadata.name, bytes: metadata))
                return [
                    (DistributedMetadata.name, metadata), (TorchDistDirectory.manifestName, whole.json.text()),
                ]
            }
        )
        plan.begin = { directory in _ = try rounds.next { Array(directory.utf8) } }
        _ = try destination(path, iteration).write(plan, context: context)
        _ = try rounds.next()
    }

    // MARK: Other files

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
            if let checkpoint { plannedFiles += try checkpoint.describedSource() }
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
    var style: HuggingFaceDirectory.Style { directory?.style ?? checkpointStyle }
}
