package import BridgeSupport
package import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime

/// Plans the files of a checkpoint: those of its container, the others, and the manifest with the checksums of all.
package struct CheckpointPlanner {
    /// The container, with what it stores besides the parameters.
    package enum Container {
        /// The native one: files of ranks.
        case native
        /// Megatron-Core's.
        case torchDist(TorchDistContainer)
    }

    let kind: ConversionPlan.Kind
    /// The path of the source, or a description of it.
    let source: String
    let layout: NativeLayout
    /// What the manifest contains besides the layout and the parameters.
    let manifest: NativeManifest
    let container: Container

    package init(
        kind: ConversionPlan.Kind,
        source: String,
        layout: NativeLayout,
        manifest: NativeManifest,
        container: Container
    ) {
        self.kind = kind
        self.source = source
        self.layout = layout
        self.manifest = manifest
        self.container = container
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
        var manifest = manifest
        manifest.layout = layout.layout
        let (files, manifestName): ([PlannedFile], String)
        var writesIntegrity = false
        switch container {
        case .native:
            let weights = try layout.shard(parameters.map(\.parameter))
            let moments = try layout.shard(optimizer, kind: "optimizer")
            (manifest.parameters, manifest.optimizer) = (weights.parameters, moments.parameters)
            (files, manifestName) = (weights.plannedFiles + moments.plannedFiles, NativeCheckpoint.manifestName)
        case .torchDist(let container):
            (manifest.parameters, manifest.optimizer) = ([], [])
            files = try container.files(parameters.map(\.parameter), optimizer: optimizer, layout)
            (manifestName, writesIntegrity) = (TorchDistDirectory.manifestName, container.writesIntegrity)
        }
        var plan = ConversionPlan(
            kind: kind,
            source: source,
            architecture: manifest.architecture,
            layout: layout.layout,
            ledger: ledger,
            lines: parameters.map { .init($0.parameter, sources: $0.sources, layout: layout) },
            notes: notes,
            plannedFiles: files + otherFiles,
            sources: storages,
            finalize: { [manifest] in [(manifestName, manifest.withChecksums($0).json.text())] }
        )
        plan.writesIntegrity = writesIntegrity
        return plan
    }
}

extension ConversionPlan.Line {
    /// The line of a parameter that a checkpoint gets.
    init(_ parameter: GlobalParameter, sources: [String], layout: NativeLayout) {
        var notes = Self.notes(on: parameter.view)
        if let padded = layout.paddedHeight(of: parameter), padded != parameter.view.height {
            notes.append("padded to \(padded) rows")
        }
        self.init(
            name: parameter.name,
            sources: sources,
            shape: parameter.view.shape,
            elementType: parameter.view.elementType,
            notes: notes
        )
    }

    /// The changes of the elements of a view.
    static func notes(on view: TensorView) -> [String] {
        let contents = view.blocks.compactMap(\.content)
        var notes: [String] = []
        if contents.contains(where: { $0.scale != nil }) {
            notes.append("dequantised")
        } else if let other = contents.first(where: { $0.tensor.elementType != view.elementType }) {
            notes.append("cast from \(other.tensor.elementType.rawValue)")
        }
        if contents.contains(where: \.isTransposed) { notes.append("transposed") }
        return notes
    }
}
