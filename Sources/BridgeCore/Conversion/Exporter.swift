import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
package import ModelSchema
package import TensorFiles
import TensorRuntime

/// Plans the export of Megatron parameters to a Hugging Face directory like the one that they came from.
package struct Exporter {
    package let source: ExportSource
    package let model: FamilyModel
    let reference: HuggingFaceReference
    package let options: ConversionOptions

    package init(
        source: ExportSource,
        model: FamilyModel,
        reference: HuggingFaceReference,
        options: ConversionOptions
    ) {
        self.source = source
        self.model = model
        self.reference = reference
        self.options = options
    }

    /// A tensor as it will be exported.
    package struct Exported {
        package var name: String
        var sources: [String]
        package var view: TensorView
    }

    /// The parameters with their positions in the table, in the order of the model.
    ///
    /// - Throws: `BridgeError` when a parameter is missing, left over, or has another shape than the configuration gives.
    package func parameters() throws -> (parameters: [(entry: ParameterTable.Entry, view: TensorView)], ledger: Ledger)
    {
        let parameters = Dictionary(source.parameters.map { ($0.name, $0) }) { first, _ in first }
        let allowed = Set((source.ledger["allowed_missing"]?.array ?? []).compactMap(\.string))
        var ledger = Ledger()
        var problems: [String] = []
        var found: [(ParameterTable.Entry, TensorView)] = []
        var used: Set<String> = []
        for entry in try model.table(reference.style).entries {
            let joined = parameters[entry.megatron] == nil ? joined(entry, parameters) : nil
            used.formUnion(joined?.names ?? [])
            guard let parameter = parameters[entry.megatron] ?? joined?.parameter else {
                if let other = entry.mapping.sharedWith {
                    ledger.shared[entry.megatron] = other
                } else if entry.huggingFace.contains(where: allowed.contains)
                    || ledger.allows([entry.megatron], by: options.allowMissing)
                {
                    ledger.allowed.append(entry.megatron)
                } else if !entry.mapping.isOptional {
                    problems.append("\(entry.megatron): missing in the checkpoint")
                }
                continue
            }
            used.insert(entry.megatron)
            let parameterView = entry.withoutPadding(parameter.view)
            // The number of elements is checked first: it bounds the memory of the transform.
            let counts = entry.shapes.map { ElementType.uint8.byteCount(ofShape: $0) ?? .max }
            let count = counts.reduce(0) { $0.addingReportingOverflow($1).overflow ? .max : $0 + $1 }
            let shapes = entry.shapes.map { "\($0)" }.joined(separator: " + ")
            guard parameterView.shape.reduce(1, *) == count,
                entry.mapping.transform.toMegatron(entry.shapes.map { .zeros(.uint8, shape: $0) }).shape
                    == parameterView.shape
            else {
                problems.append(
                    "\(entry.megatron): has the shape \(parameter.view.shape), the configuration makes it of \(shapes)"
                )
                continue
            }
            ledger.mapped.append(entry.megatron)
            found.append((entry, options.elementType.map { parameterView.cast(to: $0) } ?? parameterView))
        }
        for parameter in source.parameters where !used.contains(parameter.name) {
            if ledger.allows([parameter.name], by: options.allowMissing) {
                ledger.allowed.append(parameter.name)
            } else {
                problems.append("\(parameter.name): no tensor takes it")
            }
        }
        guard problems.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(problems.count) parameters of \(source.name) are not accounted for, so nothing was written"
                    + (source.hasForeignNames
                        ? "; tensors that are not weights, such as the state of an optimizer, are dropped with --allow-missing NAME"
                        : ""),
                names: problems
            )
        }
        return (found, ledger)
    }

    /// The parameter of tensors that are stored under Hugging Face's names, as torch's distributed checkpoint of a state
    /// dictionary has them.
    ///
    /// - Parameters:
    ///   - entry: The parameter.
    ///   - stored: What is stored, by its name.
    /// - Returns: The parameter and the names; nil where a tensor is missing or has another shape.
    private func joined(
        _ entry: ParameterTable.Entry,
        _ stored: [String: GlobalParameter]
    ) -> (parameter: GlobalParameter, names: [String])? {
        guard source.hasForeignNames else { return nil }
        let found = zip(entry.huggingFace, entry.shapes).compactMap { name, shape -> GlobalParameter? in
            let spellings = [name] + model.bridge.keyMappings.map { $0.renamed(name) }
            // A dictionary of a model and its optimizer has the model under this key.
            return (spellings + spellings.map { "model.\($0)" }).lazy.compactMap { stored[$0] }
                .first { $0.view.shape == shape }
        }
        guard found.count == entry.huggingFace.count, Set(found.map(\.view.elementType)).count == 1 else { return nil }
        return (GlobalParameter(entry, entry.mapping.transform.toMegatron(found.map(\.view))), found.map(\.name))
    }

    /// The tensors, in the order of the model.
    ///
    /// - Throws: `BridgeError` when a parameter is missing, left over, or has another shape than the configuration gives.
    package func tensors() throws -> (tensors: [Exported], ledger: Ledger) {
        let (parameters, ledger) = try parameters()
        let names = reference.tensorNames
        let widened = source.ledger["widened"]
        let tensors = parameters.flatMap { entry, view in
            zip(entry.huggingFace, entry.mapping.transform.toHuggingFace(view)).map { name, view in
                let name = spelling(name, in: names)
                // Tensors that were widened to be fused are cast to their original type, without loss.
                let own =
                    options.elementType == nil
                    ? widened?[name]?.string.flatMap { ElementType(rawValue: $0) } : nil
                return Exported(name: name, sources: [entry.megatron], view: own.map { view.cast(to: $0) } ?? view)
            }
        }
        return (tensors, ledger)
    }

    /// The plan.
    package func plan() throws -> ConversionPlan {
        let (tensors, ledger) = try tensors()
        let byName = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
        var dropped = Set(
            ["dequantised_scales", "allowed_missing"].flatMap {
                (source.ledger[$0]?.array ?? []).compactMap(\.string)
            }
                + (source.ledger["ignored"]?.array ?? []).compactMap { $0["name"]?.string }
        )
        let needless = needless(byName).subtracting(dropped)
        dropped.formUnion(needless)
        let added = try check(byName, dropped)
        let shards =
            reference.shards.isEmpty
            ? defaultShards(tensors)
            : reference.shards.enumerated().map { index, shard in
                revised(shard, byName, adding: index == reference.shards.count - 1 ? added : [])
            }
        let changed =
            zip(reference.shards, shards).contains { $0.header.entries != $1.header.entries }
            || reference.shards.isEmpty
            || options.dropsQuantisation && reference.configuration["quantization_config"] != nil
        let weights = shards.map { shard in
            PlannedFile.safetensors(
                name: shard.name,
                header: shard.header,
                views: shard.header.entries.compactMap { byName[$0.name]?.view }
            )
        }
        var notes = try source.notes()
        if !ledger.allowed.isEmpty {
            notes.append(
                "\(ByteFormat.counted(ledger.allowed.count, "parameter")) missing, as allowed: \(ledger.allowed.joined(separator: ", "))"
            )
        }
        notes += ledger.notes(on: options.allowMissing)
        if !needless.isEmpty {
            notes.append(
                "\(ByteFormat.counted(needless.count, "tensor")) of the source that transformers does not need for these weights "
                    + "are not written: \(needless.sorted().prefix(3).joined(separator: ", "))\(needless.count > 3 ? ", ..." : "")"
            )
        }
        if changed, !reference.shards.isEmpty {
            notes.append("types or tensors differ from the source, so its headers and index are generated")
        }
        return ConversionPlan(
            kind: .exporting,
            source: source.name,
            architecture: model.architecture,
            layout: source.layout,
            ledger: ledger,
            lines: tensors.map {
                ConversionPlan.Line(
                    name: $0.name,
                    sources: $0.sources,
                    shape: $0.view.shape,
                    elementType: $0.view.elementType,
                    notes: ConversionPlan.Line.notes(on: $0.view)
                )
            },
            notes: notes,
            plannedFiles: try weights + sideFiles(shards, changed: changed)
        )
    }

    private func spelling(_ name: String, in names: Set<String>) -> String {
        if names.contains(name) { return name }
        return model.bridge.keyMappings.lazy.map { $0.renamed(name) }.first { names.contains($0) } ?? name
    }

    /// Tensors of the source that only its quantised weights needed, or that no model needs.
    private func needless(_ tensors: [String: Exported]) -> Set<String> {
        let scales = Set(
            tensors.values.filter { $0.view.elementType.byteCount > 1 }.flatMap { Quantisation.scaleNames(of: $0.name) }
        )
        return reference.tensorNames.filter { name in
            tensors[name] == nil
                && (scales.contains(name) || IgnoredTensors.reason(for: name, in: model.bridge.ignoredTensors) != nil)
        }
    }

    /// Checks that every tensor of the source is exported, and that every tensor has a shard.
    ///
    /// - Returns: The tensors that the source does not have and that are added: those of an output layer that was tied
    ///   to the embedding in the source, and no longer is.
    private func check(_ tensors: [String: Exported], _ dropped: Set<String>) throws -> [String] {
        guard !reference.shards.isEmpty else { return [] }
        let names = reference.tensorNames
        let missing = names.subtracting(tensors.keys).subtracting(dropped).sorted().map {
            "\($0): in the source, not in the checkpoint"
        }
        let unknown = tensors.keys.filter { !names.contains($0) }.sorted()
        let tied = try Set(
            model.table(reference.style).entries.filter(\.mapping.isOutputLayer).map(\.megatron)
        )
        let added = unknown.filter { name in
            !model.provider.decoder.shareEmbeddingsAndOutputWeights
                && (tensors[name]?.sources.contains(where: tied.contains) ?? false)
        }
        let extra = unknown.filter { !added.contains($0) }.map {
            "\($0): in the checkpoint, not in \(reference.name)"
        }
        guard missing.isEmpty, extra.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(missing.count + extra.count) tensors do not fit \(reference.name), so nothing was written",
                names: missing + extra
            )
        }
        return added
    }

    /// A weight file with the tensors that are there and their types; untouched when nothing differs.
    private func revised(
        _ shard: HuggingFaceDirectory.Shard,
        _ tensors: [String: Exported],
        adding added: [String]
    ) -> HuggingFaceDirectory.Shard {
        let kept = shard.header.entries.compactMap { entry in tensors[entry.name].map { (entry, $0.view) } }
        let isSame =
            kept.count == shard.header.entries.count && added.isEmpty
            && kept.allSatisfy { $0.elementType == $1.elementType && $0.shape == $1.shape }
        guard !isSame else { return shard }
        let header = SafetensorsHeader(
            tensors: kept.map { ($0.name, $1.elementType, $1.shape) }
                + added.compactMap { name in tensors[name].map { (name, $0.view.elementType, $0.view.shape) } },
            metadata: shard.header.metadata
        )
        return HuggingFaceDirectory.Shard(name: shard.name, header: header)
    }

    /// The weight files when the source gives none to follow.
    private func defaultShards(_ tensors: [Exported]) -> [HuggingFaceDirectory.Shard] {
        ShardPlanner.shards(tensors, prefix: reference.style.weightsPrefix) { $0.view.byteCount }.map { name, tensors in
            let header = SafetensorsHeader(
                tensors: tensors.map { ($0.name, $0.view.elementType, $0.view.shape) },
                metadata: JSONObject([("format", "pt")])
            )
            return HuggingFaceDirectory.Shard(name: name, header: header)
        }
    }

    private func sideFiles(_ shards: [HuggingFaceDirectory.Shard], changed: Bool) throws -> [PlannedFile] {
        var plannedFiles = reference.sideFiles.map { PlannedFile.copy(name: $0.name, of: $0.storage) }
        func put(_ name: String, _ json: JSON) {
            plannedFiles.removeAll { $0.name == name }
            plannedFiles.append(.literal(name: name, json.text()))
        }
        guard changed else { return plannedFiles }
        put(reference.style.configurationName, try configuration(shards))
        if shards.count > 1 || reference.sideFiles.contains(where: { $0.name == reference.style.indexName }) {
            put(reference.style.indexName, index(shards))
        }
        return plannedFiles
    }

    /// The configuration with the type that the weights have now, and without a quantisation that is gone.
    private func configuration(_ shards: [HuggingFaceDirectory.Shard]) throws -> JSON {
        let entries = shards.flatMap(\.header.entries)
        let bytes = Dictionary(grouping: entries.filter(\.elementType.isFloatingPoint), by: \.elementType)
            .mapValues { $0.reduce(0) { $0 + $1.range.count } }
        let main = bytes.max { $0.value < $1.value }?.key
        var configuration = model.encoded(elementType: main, into: model.configuration)
        if main.map({ $0.byteCount > 1 }) ?? true { configuration.set(nil, at: "quantization_config") }
        guard reference.style == .consolidated else { return configuration }
        return model.bridge.parameters(configuration: configuration, base: reference.configuration)
    }

    /// The index, with the source index's metadata besides sizes and locations.
    private func index(_ shards: [HuggingFaceDirectory.Shard]) -> JSON {
        let old = reference.sideFiles.first { $0.name == reference.style.indexName }
            .flatMap { try? JSON(parsing: $0.storage.bytes(0..<$0.storage.byteCount)) }
        var json = old ?? ["metadata": .object(JSONObject()), "weight_map": .object(JSONObject())]
        json.set(JSON(shards.reduce(0) { $0 + $1.header.dataByteCount }), at: "metadata.total_size")
        let homes = shards.flatMap { shard in shard.header.entries.map { ($0.name, shard.name) } }
        let byName = Dictionary(homes) { first, _ in first }
        let order = json["weight_map"]?.object?.keys.filter { byName[$0] != nil } ?? []
        let rest = homes.map(\.0).filter { !order.contains($0) }
        var object = json.object ?? JSONObject()
        object["weight_map"] = .object(JSONObject((order + rest).map { ($0, .string(byName[$0] ?? "")) }))
        json = .object(object)
        return json
    }
}

extension ParameterTable.Entry {
    /// Megatron-Core pads to a multiple of 128 times the tensor size, which adds fewer rows than this.
    private static let mostPadding = 128 * 128

    /// A parameter without the rows that were added to a vocabulary so that ranks could divide it.
    ///
    /// A native checkpoint stores the size of the vocabulary itself, other containers that of the padded one.
    package func withoutPadding(_ view: TensorView) -> TensorView {
        guard mapping.split == .vocabulary, shapes.count == 1, let height = shapes[0].first, height > 0,
            view.height > height, view.height - height < Self.mostPadding
        else { return view }
        return view.rows(0..<height)
    }
}

extension NativeCheckpoint {
    /// The parameters under Megatron-Core's names.
    ///
    /// PyTorch's distributed checkpoint of a state dictionary has the names of the Hugging Face model, whose tensors are fused here.
    ///
    /// - Parameter model: The model.
    /// - Returns: The parameters, those of adapters and of other names as they are stored.
    /// - Throws: `BridgeError` for tensors that are not accounted for.
    package func parameters(of model: FamilyModel) throws -> [GlobalParameter] {
        let source = ExportSource(self, as: model.architecture)
        guard source.hasForeignNames, !manifest.holdsAdapter else { return parameters }
        let names = Set(parameters.map(\.name))
        let reference = HuggingFaceReference(configuration: model.configuration, style: manifest.style)
        guard try !model.table(reference.style).entries.contains(where: { names.contains($0.megatron) }) else {
            return parameters
        }
        let exporter = Exporter(source: source, model: model, reference: reference, options: ConversionOptions())
        return try exporter.parameters().parameters.map { GlobalParameter($0.entry, $0.view) }
    }
}
