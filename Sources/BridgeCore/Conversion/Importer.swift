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
    /// The class of Megatron Bridge that builds the model; nil where the plugin names none.
    let providerClass: ProviderClass?

    package init(
        directory: HuggingFaceDirectory,
        model: FamilyModel,
        plugin: String,
        options: ConversionOptions,
        providerClass: ProviderClass? = nil
    ) {
        self.directory = directory
        self.model = model
        self.plugin = plugin
        self.options = options
        self.providerClass = providerClass
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
        let layout = try NativeLayout(
            options.layout,
            layerCount: model.provider.decoder.numLayers,
            vocabularyMultiple: options.vocabularyMultiple
        )
        let manifest = NativeManifest(
            architecture: model.architecture,
            family: model.bridge.name,
            plugin: plugin,
            style: directory.style,
            ledger: ledger.json
        )
        let parameters = resolved.map { (GlobalParameter($0.entry, $0.view), $0.huggingFace) }
        let sideFiles = try Self.sideFiles(of: directory)
        let container: CheckpointPlanner.Container
        let (configuration, more): ([UInt8], [String])
        switch options.container {
        case .native:
            container = .native
            (configuration, more) = (try RunConfiguration.text(of: model, layout: layout.layout), [])
        case .torchDist:
            container = .torchDist(
                TorchDistContainer(writers: options.writers, writesIntegrity: options.writesIntegrity)
            )
            let run = MegatronRunConfiguration(model: model, providerClass: providerClass, layout: layout)
            (configuration, more) = (try run.text(), run.notes)
        }
        return try CheckpointPlanner(
            kind: .importing,
            source: directory.path,
            layout: layout,
            manifest: manifest,
            container: container
        ).plan(
            parameters,
            ledger: ledger,
            notes: notes(ledger) + more,
            otherFiles: sideFiles + [.literal(name: RunConfiguration.name, configuration)],
            storages: directory.weightStorages
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
