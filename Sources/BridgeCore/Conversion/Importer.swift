import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
import ModelSchema
import TensorFiles
import TensorRuntime

/// Plans the conversion of a Hugging Face directory to a native checkpoint.
package struct Importer {
    let directory: HuggingFaceDirectory
    let model: FamilyModel
    let plugin: String
    let options: ConversionOptions

    package init(directory: HuggingFaceDirectory, model: FamilyModel, plugin: String, options: ConversionOptions) {
        self.directory = directory
        self.model = model
        self.plugin = plugin
        self.options = options
    }

    /// The plan.
    ///
    /// - Throws: `BridgeError` for tensors that are not accounted for, and for a layout that does not fit.
    package func plan() throws -> ConversionPlan {
        let resolver = TensorResolver(
            directory,
            model,
            allowed: options.allowMissing,
            elementType: options.elementType
        )
        let (resolved, ledger) = try resolver.resolve(model.table(directory.style), source: directory.path)
        let parameters = resolved.map {
            GlobalParameter(
                name: $0.entry.megatron,
                view: $0.view,
                split: $0.entry.mapping.split,
                stage: $0.entry.mapping.stage,
                layer: $0.entry.layer,
                parts: $0.entry.mapping.parts
            )
        }
        let layout = NativeLayout(
            layout: options.layout,
            layerCount: model.provider.decoder.numLayers,
            vocabularyMultiple: options.vocabularyMultiple
        )
        let (weights, lines) = try layout.spread(parameters)
        let spread = RankLayout(
            tensorSize: options.layout.tensorSize,
            stageLayers: options.layout.layersPerStage(of: model.provider.decoder.numLayers)
        )
        let plannedFiles =
            try weights + sideFiles() + [
                .literal(name: RunConfiguration.name, RunConfiguration.text(of: model, layout: spread))
            ]
        let manifest = NativeManifest(
            architecture: model.architecture,
            family: model.bridge.name,
            plugin: plugin,
            style: directory.style,
            layout: spread,
            ledger: ledger.json,
            parameters: lines,
            files: []
        )
        return ConversionPlan(
            kind: .importing,
            source: directory.path,
            architecture: model.architecture,
            layout: options.layout,
            ledger: ledger,
            lines: resolved.map { line($0, layout) },
            notes: notes(ledger),
            plannedFiles: plannedFiles,
            finalize: { manifest.withChecksums($0) }
        )
    }

    private func line(_ resolved: TensorResolver.Resolved, _ layout: NativeLayout) -> ConversionPlan.Line {
        let parameter = GlobalParameter(
            name: resolved.entry.megatron,
            view: resolved.view,
            split: resolved.entry.mapping.split,
            stage: resolved.entry.mapping.stage
        )
        var notes = ConversionPlan.Line.notes(on: resolved.view)
        if let padded = layout.paddedHeight(of: parameter), padded != resolved.view.height {
            notes.append("padded to \(padded) rows")
        }
        return ConversionPlan.Line(
            name: resolved.entry.megatron,
            sources: resolved.huggingFace,
            shape: resolved.view.shape,
            elementType: resolved.view.elementType,
            notes: notes
        )
    }

    private func notes(_ ledger: Ledger) -> [String] {
        var notes: [String] = []
        if !ledger.allowed.isEmpty {
            notes.append(
                "\(ByteFormat.counted(ledger.allowed.count, "tensor")) missing or left over, as allowed: \(ledger.allowed.joined(separator: ", "))"
            )
        }
        notes += ledger.notes(on: options.allowMissing)
        if !ledger.dequantised.isEmpty {
            notes.append(
                "\(ByteFormat.counted(ledger.dequantised.count, "quantised tensor")) become \((options.elementType ?? model.dequantisedType).rawValue)"
            )
        }
        if !ledger.widened.isEmpty {
            notes.append(
                "\(ByteFormat.counted(ledger.widened.count, "tensor")) of another type than the rest of a fused parameter become "
                    + "that of the rest; an export gives them their own types again"
            )
        }
        for name in directory.leftOut {
            let isOther = name.hasSuffix(".safetensors") || name.hasSuffix(".safetensors.index.json")
            notes.append(
                isOther
                    ? "\(name) is not part of the model, whose weights are in \(directory.shards.map(\.name).joined(separator: ", ")), as in transformers"
                    : "\(name) holds weights in another format and is skipped"
            )
        }
        if model.provider.decoder.shareEmbeddingsAndOutputWeights, ledger.shared.isEmpty {
            notes.append(
                "the configuration ties the output layer to the embedding, but the checkpoint stores both; both are kept"
            )
        }
        return notes
    }

    private func sideFiles() throws -> [PlannedFile] { try Self.sideFiles(of: directory) }

    /// The files that an export will need: everything except the weights, and the headers of the weight files.
    package static func sideFiles(of directory: HuggingFaceDirectory) throws -> [PlannedFile] {
        let copies = try directory.sideFiles.map { name in
            PlannedFile.copy(
                name: Files.join(NativeCheckpoint.huggingFaceDirectory, name),
                of: try CarriedFiles.open(name, in: directory.path)
            )
        }
        let headers = directory.shards.map { shard in
            PlannedFile.literal(
                name: Files.join(NativeCheckpoint.shardDirectory, "\(shard.name).json"),
                shard.header.text ?? []
            )
        }
        return copies + headers
    }
}

extension ConversionPlan.Line {
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

extension NativeManifest {
    /// The manifest with the checksums of the files, as a file.
    package func withChecksums(_ written: [CheckpointWriter.Written]) -> [PlannedFile] {
        var manifest = self
        manifest.files = written.map { file in
            File(
                name: file.name,
                byteCount: file.byteCount,
                checksum: BlockChecksum.root(file.blocks).description,
                blocks: file.blocks.count > 1 ? file.blocks.map(\.description) : []
            )
        }
        return [.literal(name: NativeCheckpoint.manifestName, manifest.json.text())]
    }
}
