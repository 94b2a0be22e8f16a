import BridgeSupport
import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime

/// Plans the conversion from one layout of a native checkpoint to another.
///
/// Needs no plugin: the manifest has all information. The checkpoint of a run keeps its optimizer's state and its other files,
/// so that the run can resume from the result.
struct Resharder {
    let checkpoint: NativeCheckpoint
    let options: ConversionOptions

    /// The plan.
    ///
    /// - Throws: `BridgeError` for a layout that does not fit.
    func plan() throws -> ConversionPlan {
        let parameters = checkpoint.parameters.map { parameter in
            var parameter = parameter
            if let type = options.elementType { parameter.view = parameter.view.cast(to: type) }
            return parameter
        }
        let layout = try NativeLayout(
            options.layout,
            layerCount: (parameters.compactMap(\.layer).max() ?? -1) + 1,
            vocabularyMultiple: options.vocabularyMultiple
        )
        var manifest = checkpoint.manifest
        manifest.files = []
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        let optimizer = try checkpoint.optimizerParameters()
        let stored = checkpoint.manifest.parameters + checkpoint.manifest.optimizer
        let tensors = Set(stored.flatMap(\.chunks).map(\.file))
        let others = try checkpoint.manifest.files.map(\.name).filter {
            !tensors.contains($0) && $0 != RunConfiguration.name
        }
        .map { PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: checkpoint.path)) }
        return try NativePlanner(kind: .resharding, source: checkpoint.path, layout: layout, manifest: manifest).plan(
            parameters.map { ($0, [$0.name]) },
            optimizer: optimizer,
            ledger: ledger,
            notes: checkpoint.sideFileNotes(),
            otherFiles: others + runConfiguration(layout.layout)
        )
    }

    /// `run_config.yaml` with the sizes of the new layout; all other lines stay.
    private func runConfiguration(_ layout: RankLayout) throws -> [PlannedFile] {
        let path = Files.join(checkpoint.path, RunConfiguration.name)
        guard Files.exists(path) else { return [] }
        let text = String(decoding: try Files.contents(of: path, limit: 16 << 20), as: UTF8.self)
        return [
            .literal(name: RunConfiguration.name, try RunConfiguration.relabelled(text, layout: layout, name: path))
        ]
    }
}
