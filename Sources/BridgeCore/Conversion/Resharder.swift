import BridgeSupport
import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime

/// Plans the conversion from one layout of a native checkpoint to another.
///
/// Needs no plugin: the manifest has all information.
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
        let layerCount = (parameters.compactMap(\.layer).max() ?? -1) + 1
        let layout = NativeLayout(
            layout: options.layout,
            layerCount: layerCount,
            vocabularyMultiple: options.vocabularyMultiple
        )
        let (weights, lines) = try layout.spread(parameters)
        var manifest = checkpoint.manifest
        manifest.layout = RankLayout(
            tensorSize: options.layout.tensorSize,
            stageLayers: options.layout.layersPerStage(of: layerCount)
        )
        manifest.parameters = lines
        let pending = manifest
        let others = try checkpoint.manifest.files.map(\.name).filter {
            $0.hasPrefix("\(NativeCheckpoint.huggingFaceDirectory)/")
        }
        .map { PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: checkpoint.path)) }
        return ConversionPlan(
            kind: .resharding,
            source: checkpoint.path,
            architecture: checkpoint.manifest.architecture,
            layout: options.layout,
            ledger: ledger(parameters),
            lines: parameters.map { parameter in
                var notes = ConversionPlan.Line.notes(on: parameter.view)
                if let padded = layout.paddedHeight(of: parameter), padded != parameter.view.height {
                    notes.append("padded to \(padded) rows")
                }
                return ConversionPlan.Line(
                    name: parameter.name,
                    sources: [parameter.name],
                    shape: parameter.view.shape,
                    elementType: parameter.view.elementType,
                    notes: notes
                )
            },
            notes: try checkpoint.sideFileNotes(),
            plannedFiles: weights + others + (try runConfiguration(manifest.layout)),
            finalize: { pending.withChecksums($0) }
        )
    }

    private func ledger(_ parameters: [GlobalParameter]) -> Ledger {
        var ledger = Ledger()
        ledger.mapped = parameters.map(\.name)
        return ledger
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
