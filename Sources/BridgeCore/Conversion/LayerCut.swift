import BridgeSupport
package import CheckpointFormats
package import JSONTree
package import ModelPlugins
import ModelSchema
import TensorFiles
import TensorRuntime

/// Plans a Hugging Face directory with the first decoder layers of another one: the bytes of its tensors are kept.
package struct LayerCut {
    private let directory: HuggingFaceDirectory
    private let whole: FamilyModel
    private let cut: FamilyModel
    private let configuration: JSON

    /// A cut.
    ///
    /// - Parameters:
    ///   - directory: The whole model's directory.
    ///   - whole: The whole model.
    ///   - cut: The model with fewer layers.
    ///   - configuration: The `config.json` of the cut model.
    package init(_ directory: HuggingFaceDirectory, whole: FamilyModel, cut: FamilyModel, configuration: JSON) {
        (self.directory, self.whole, self.cut, self.configuration) = (directory, whole, cut, configuration)
    }

    /// `config.json` with another number of decoder layers.
    package static func configuration(_ json: JSON, layers count: Int) -> JSON {
        var json = json
        let prefix = json["text_config"]?.object == nil ? "" : "text_config."
        json.set(JSON(count), at: "\(prefix)num_hidden_layers")
        if let types = json[path: "\(prefix)layer_types"]?.array {
            json.set(.array(Array(types.prefix(count))), at: "\(prefix)layer_types")
        }
        return json
    }

    /// The plan.
    ///
    /// - Throws: `BridgeError` for tensors that are neither of the layers that stay nor of those that go.
    package func plan() throws -> ConversionPlan {
        let modules = try modulesToDrop()
        let shards = directory.shards.compactMap { shard -> (name: String, header: SafetensorsHeader)? in
            let kept = shard.header.entries.filter { !modules.contains(Self.module(of: $0.name)) }
            guard !kept.isEmpty else { return nil }
            let tensors = kept.map { ($0.name, $0.elementType, $0.shape) }
            return (shard.name, SafetensorsHeader(tensors: tensors, metadata: shard.header.metadata))
        }
        let weights = shards.map { name, header in
            PlannedFile.safetensors(
                name: name,
                header: header,
                views: header.entries.compactMap { directory.tensors[$0.name].map { TensorView($0) } }
            )
        }
        var ledger = Ledger()
        let names = shards.flatMap { $0.header.entries.map(\.name) }
        ledger.mapped = names
        return ConversionPlan(
            kind: .making,
            source: directory.path,
            architecture: cut.architecture,
            layout: .single,
            ledger: ledger,
            lines: names.compactMap { name in
                directory.tensors[name].map {
                    ConversionPlan.Line(
                        name: name,
                        sources: [name],
                        shape: $0.shape,
                        elementType: $0.elementType,
                        notes: []
                    )
                }
            },
            notes: [
                "\(ByteFormat.counted(directory.tensors.count - names.count, "tensor")) of the other layers are not written"
            ],
            plannedFiles: try weights + sideFiles(shards)
        )
    }

    /// The modules whose tensors the cut model does not have, with those of their quantisation.
    private func modulesToDrop() throws -> Set<String> {
        func names(_ model: FamilyModel) throws -> Set<String> {
            let own = try model.table(directory.style).entries.flatMap(\.huggingFace)
            return Set(own + own.flatMap { name in model.bridge.keyMappings.map { $0.renamed(name) } })
        }
        return Set(try names(whole).subtracting(names(cut)).map(Self.module))
    }

    private static func module(of tensor: String) -> String {
        tensor.lastIndex(of: ".").map { String(tensor[..<$0]) } ?? tensor
    }

    private func sideFiles(_ shards: [(name: String, header: SafetensorsHeader)]) throws -> [PlannedFile] {
        let style = directory.style
        let others = directory.sideFiles.filter { $0 != style.configurationName && $0 != style.indexName }
        var files = try others.map { PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: directory.path)) }
        files.append(.literal(name: style.configurationName, configuration.text()))
        guard directory.shards.count > 1 else { return files }
        let homes = shards.flatMap { shard in shard.header.entries.map { (tensor: $0.name, file: shard.name) } }
        let size = shards.reduce(0) { $0 + $1.header.dataByteCount }
        let index = ShardIndex.json(homes, byteCount: size)
        return files + [.literal(name: style.indexName, index.text())]
    }
}
