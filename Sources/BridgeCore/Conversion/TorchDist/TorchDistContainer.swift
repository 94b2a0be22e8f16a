import BridgeSupport
package import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime
package import TorchFiles

/// A checkpoint in Megatron-Core's container, as megatron-core 0.16 to 0.19 and Megatron Bridge load it: what it has besides its
/// parameters.
///
/// The common state is there twice, because megatron-core reads `common.pt` up to 0.18 and an object since 0.19.
package struct TorchDistContainer {
    /// The number of files that each rank writes.
    let writers: Int
    /// The progress of the run that the checkpoint is of.
    let progress: TrainStateFile
    /// The groups of its optimizer, where they are known.
    let groups: OptimizerGroups?
    /// Whether the checkpoint gets `integrity.json`.
    let writesIntegrity: Bool

    package init(
        writers: Int,
        progress: TrainStateFile = TrainStateFile(step: 0, consumedSamples: 0),
        groups: OptimizerGroups? = nil,
        writesIntegrity: Bool = false
    ) {
        self.writers = writers
        self.progress = progress
        self.groups = groups
        self.writesIntegrity = writesIntegrity
    }

    /// The files of the container.
    ///
    /// - Parameters:
    ///   - parameters: The parameters.
    ///   - optimizer: The optimizer's state.
    ///   - layout: The layout of the ranks.
    /// - Returns: The files with tensors, and those of the common state.
    /// - Throws: `BridgeError` for parameters that the layout cannot divide.
    func files(
        _ parameters: [GlobalParameter],
        optimizer: [GlobalParameter],
        _ layout: NativeLayout
    ) throws -> [PlannedFile] {
        let common = TorchDistCommonFiles(progress: progress, hasOptimizer: !optimizer.isEmpty, groups: groups)
        let tensors = try TorchDistLayout(layout, writers: writers).files(
            parameters + optimizer,
            objects: [
                ([TorchDistDirectory.commonKey], common.object),
                (ExtraState.keys(of: parameters.map(\.name), layers: layout.layerCount), ExtraState.none),
            ]
        )
        return try tensors + common.files()
    }
}

/// What a checkpoint has once, whatever the number of ranks.
package struct TorchDistCommonFiles {
    private let state: CommonState
    private let progress: TrainStateFile

    /// The files of a checkpoint.
    ///
    /// - Parameters:
    ///   - progress: How far its run is.
    ///   - hasOptimizer: Whether it has the state of an optimizer.
    ///   - groups: The groups of that optimizer.
    package init(progress: TrainStateFile, hasOptimizer: Bool, groups: OptimizerGroups?) {
        state = CommonState(iteration: progress.step, hasOptimizer: hasOptimizer, groups: groups)
        self.progress = progress
    }

    /// The object `common_state`.
    package var object: PickleGraph { state.graph(isInList: true) }

    /// The files besides those of the items and `.metadata`.
    ///
    /// - Throws: `BridgeError` for content that cannot be pickled.
    package func files() throws -> [PlannedFile] {
        let description: JSON = [
            "sharded_backend": "torch_dist", "sharded_backend_version": JSON(1), "common_backend": "torch",
            "common_backend_version": JSON(1),
        ]
        return [
            .literal(
                name: TorchDistDirectory.commonName,
                try TorchArchive.bytes(of: state.graph(isInList: false), prefix: "common")
            ),
            .literal(name: TorchDistDirectory.descriptionName, description.text(pretty: false)),
            .literal(name: TorchDistDirectory.trainStateName, try progress.bytes()),
        ]
    }
}

/// The objects that modules store beside their parameters, which Transformer Engine needs for FP8 alone.
///
/// A model asks for those of its modules, and loading fails when one is missing; what it does not ask for is ignored. So
/// every module has one, all with the same empty content.
package enum ExtraState {
    /// `[None]`, as megatron-core stores the state of a module without one.
    package static var none: PickleGraph {
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
    package static func keys(of names: [String], layers: Int) -> [String] {
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

extension DistributedMetadata {
    /// Completes the tensors that ranks have written, which together have to be those of a run.
    ///
    /// - Parameters:
    ///   - extraState: The content of the objects of the modules.
    ///   - layerCount: The number of decoder layers.
    /// - Throws: `BridgeError` with the names of tensors that lack a part.
    package mutating func finish(extraState: Item?, layerCount: Int) throws {
        try checkComplete(layerCount: layerCount)
        if let extraState {
            objects += ExtraState.keys(of: parameterNames, layers: layerCount).map { .init(key: $0, item: extraState) }
        }
        addMainParameters()
    }

    /// Megatron-Core's names of the parameters, of stacks for each layer.
    package var parameterNames: [String] {
        entries.flatMap { entry -> [String] in
            switch MegatronKey.kind(of: entry.key) {
            case .parameter: [entry.key]
            case .stacked: (0..<(entry.shape.first ?? 0)).map { MegatronKey.name(ofLayer: $0, in: entry.key) }
            case .gate, .up, .optimizer, .extraState, .run: []
            }
        }
    }
}
