package import BridgeSupport
package import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime
import TorchFiles

/// Plans the files of a checkpoint in Megatron-Core's container, as megatron-core 0.16 to 0.19 and Megatron Bridge load it.
///
/// The common state is there twice, because megatron-core reads `common.pt` up to 0.18 and an object since 0.19.
package struct TorchDistPlanner {
    let kind: ConversionPlan.Kind
    /// The path of the source, or a description of it.
    let source: String
    let layout: NativeLayout
    /// What Bridge's own manifest contains besides the layout and the files.
    let manifest: NativeManifest
    /// The number of files that each rank writes.
    let writers: Int
    /// The progress of the run that the checkpoint is of.
    let progress: TrainStateFile

    package init(
        kind: ConversionPlan.Kind,
        source: String,
        layout: NativeLayout,
        manifest: NativeManifest,
        writers: Int,
        progress: TrainStateFile = TrainStateFile(step: 0, consumedSamples: 0)
    ) {
        self.kind = kind
        self.source = source
        self.layout = layout
        self.manifest = manifest
        self.writers = writers
        self.progress = progress
    }

    /// The plan.
    ///
    /// - Parameters:
    ///   - parameters: The parameters, and the names of the tensors that each is made of.
    ///   - optimizer: The optimizer's state.
    ///   - ledger: The result for every tensor.
    ///   - notes: Notices that are not errors.
    ///   - otherFiles: The files besides those of the container.
    ///   - storages: Storages that the parameters were found in.
    /// - Returns: The plan.
    /// - Throws: `BridgeError` for parameters that the layout cannot divide.
    package func plan(
        _ parameters: [(parameter: GlobalParameter, sources: [String])],
        optimizer: [GlobalParameter] = [],
        ledger: Ledger,
        notes: [String] = [],
        otherFiles: [PlannedFile],
        storages: [any ByteStorage] = []
    ) throws -> ConversionPlan {
        let common = CommonState(iteration: progress.step, hasOptimizer: !optimizer.isEmpty)
        let weights = try TorchDistLayout(layout, writers: writers).files(
            parameters.map(\.parameter) + optimizer,
            objects: [
                ([TorchDistDirectory.commonKey], common.graph(isInList: true)),
                (ExtraState.keys(of: parameters.map(\.parameter.name), layers: layout.layerCount), ExtraState.none),
            ]
        )
        var manifest = manifest
        manifest.layout = layout.layout
        (manifest.parameters, manifest.optimizer) = ([], [])
        let description: JSON = [
            "sharded_backend": "torch_dist", "sharded_backend_version": JSON(1), "common_backend": "torch",
            "common_backend_version": JSON(1),
        ]
        let own: [PlannedFile] = [
            .literal(
                name: TorchDistDirectory.commonName,
                try TorchArchive.bytes(of: common.graph(isInList: false), prefix: "common")
            ),
            .literal(name: TorchDistDirectory.descriptionName, description.text(pretty: false)),
            .literal(name: TorchDistDirectory.trainStateName, try progress.bytes()),
        ]
        return ConversionPlan(
            kind: kind,
            source: source,
            architecture: manifest.architecture,
            layout: layout.layout,
            ledger: ledger,
            lines: parameters.map { .init($0.parameter, sources: $0.sources, layout: layout) },
            notes: notes,
            plannedFiles: weights + own + otherFiles,
            sources: storages,
            finalize: { [manifest] in
                [(TorchDistDirectory.manifestName, manifest.withChecksums($0).json.text())]
            }
        )
    }
}

/// The objects that modules store beside their parameters, which Transformer Engine needs for FP8 alone.
///
/// A model asks for those of its modules, and loading fails when one is missing; what it does not ask for is ignored. So
/// every module has one, all with the same empty content.
enum ExtraState {
    /// `[None]`, as megatron-core stores the state of a module without one.
    static var none: PickleGraph {
        var graph = PickleGraph()
        graph.finish(graph.add(.list([.none])))
        return graph
    }

    /// The keys for the modules of some parameters.
    ///
    /// - Parameters:
    ///   - names: Megatron-Core's names of the parameters.
    ///   - layers: The number of decoder layers.
    /// - Returns: The keys, each once.
    static func keys(of names: [String], layers: Int) -> [String] {
        var seen: Set<String> = []
        var keys: [String] = []
        func add(_ module: String, _ layer: Int?) {
            let key = "\(module)._extra_state/shard_\(layer ?? 0)_\(layer == nil ? 1 : layers)"
            if seen.insert(key).inserted { keys.append(key) }
        }
        for name in names where name.hasSuffix(".weight") && !name.hasPrefix("vision_tower.") {
            let stack = MegatronKey.stacked(name)
            let module = String((stack?.key ?? name).dropLast(".weight".count))
            if stack == nil, module.hasSuffix("word_embeddings") || module.hasSuffix("output_layer") { continue }
            add(module, stack?.layer)
            // The attention itself has no parameters.
            if module.hasSuffix(".self_attention.linear_qkv") {
                add(String(module.dropLast("linear_qkv".count)) + "core_attention", stack?.layer)
            }
        }
        return keys
    }
}
