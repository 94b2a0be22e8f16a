import BridgeSupport
import CheckpointFormats
import JSONTree
package import ModelPlugins
import ModelSchema
package import Models
import Recipes
import TensorFiles
package import TensorRuntime

/// Adapters in the format of mistral-finetune: `lora.safetensors` under the names of `consolidated.safetensors`, with
/// the scale in the `params.json` of the directory.
///
/// Source: `save_checkpoint` in finetune/checkpointing.py and model/lora.py of mistral-finetune.
package enum LoRAFile {
    /// The scale if `params.json` does not contain one: the default of mistral-inference and of mistral-finetune's
    /// merge_lora.py.
    static let defaultScale = 2.0

    /// The file that a path means; nil when it means another thing.
    package static func file(at path: String) -> String? {
        if Files.kind(of: path) == .file, path.hasSuffix(".safetensors") { return path }
        let inside = Files.join(path, AdapterFiles.lora)
        return Files.exists(inside) ? inside : nil
    }

    /// The scale in the `params.json` of a file, and the dropout.
    static func settings(beside file: String) throws -> (scale: Double, dropout: Double, isKnown: Bool) {
        let name = Files.join(Files.parent(of: file), "params.json")
        guard Files.exists(name), let section = try JSON(contentsOf: name)["lora"]?.nonNull else {
            return (defaultScale, 0, false)
        }
        guard let scale = section["scaling"]?.nonNull.map(\.double) ?? defaultScale, scale.isFinite else {
            throw BridgeError(.badConfiguration, "\(name): lora.scaling is not a number")
        }
        let dropout = section["dropout"]?.double ?? 0
        guard dropout >= 0, dropout < 1 else {
            throw BridgeError(.badConfiguration, "\(name): lora.dropout is \(dropout), expected 0 to less than 1")
        }
        return (scale, dropout, section["scaling"]?.nonNull != nil)
    }
}

extension LoRAFile {
    /// Adds an adapter of mistral-finetune to a model.
    ///
    /// - Parameters:
    ///   - file: The file.
    ///   - family: The family and configuration of the model.
    ///   - model: The model.
    ///   - elementType: The type of the matrices; nil for that of the weights, without which nothing can be computed.
    ///   - partType: The type of norms that were trained together with the adapter; nil likewise.
    /// - Returns: The adapters, all of them trainable.
    /// - Throws: `BridgeError` for tensors that belong nowhere, are missing or have another shape.
    package static func load(
        _ file: String,
        family: FamilyModel,
        on model: any CausalModel,
        elementType: ElementType? = nil,
        partType: ElementType? = nil
    ) throws -> AdapterSet {
        let settings = try settings(beside: file)
        let stored = try SafetensorsFile(path: file).tensors
        let entries = try family.table(.consolidated).entries
        let tensors = Dictionary(stored.map { ($0.name, $0) }) { first, _ in first }
        let parameters = Dictionary(model.parameters.map { ($0.name, $0) }) { first, _ in first }
        var used: Set<String> = []
        var problems: [String] = []
        var whole: [Parameter] = []
        var loaded: [(weight: String, adapter: LowRankAdapter)] = []
        let reader = TensorReader()
        func read(_ view: TensorView, _ type: ElementType) throws -> Tensor {
            let tensor = Tensor(uninitialized: view.shape, type, on: model.engine)
            try reader.read(view, into: tensor)
            return tensor
        }
        for entry in entries {
            let bases = entry.huggingFace.map { $0.hasSuffix(".weight") ? String($0.dropLast(".weight".count)) : $0 }
            let transform = entry.mapping.transform
            let downs = bases.map { tensors["\($0).lora_A.weight"] }
            let ups = bases.map { tensors["\($0).lora_B.weight"] }
            // Norms are trained without adapters, and stored in full.
            if entry.huggingFace.count == 1, let own = tensors[entry.huggingFace[0]], entry.shapes[0].count == 1 {
                used.insert(own.name)
                guard own.shape == entry.shapes[0], own.elementType.isFloatingPoint,
                    let parameter = parameters[entry.megatron]
                else {
                    problems.append("\(own.name): has the shape \(own.shape), expected \(entry.shapes[0])")
                    continue
                }
                let rows = transform.toLayers(transform.toMegatron([TensorView(own)]))
                parameter.replace(with: try read(rows[0], partType ?? parameter.tensor.elementType))
                whole.append(parameter)
            }
            guard (downs + ups).contains(where: { $0 != nil }) else { continue }
            for tensor in (downs + ups) { if let tensor { used.insert(tensor.name) } }
            var isWhole = true
            for (index, shape) in entry.shapes.enumerated() {
                let (down, up) = (downs[index], ups[index])
                guard down != nil || up != nil else { continue }
                guard let down, let up, down.elementType.isFloatingPoint, up.elementType.isFloatingPoint,
                    shape.count == 2, down.shape.count == 2, down.shape[0] > 0,
                    down.shape == [down.shape[0], shape[1]], up.shape == [shape[0], down.shape[0]]
                else {
                    isWhole = false
                    problems.append(
                        "\(bases[index]): has A of the shape \(down?.shape ?? []) and B of \(up?.shape ?? []), expected two that make \(shape)"
                    )
                    continue
                }
            }
            guard isWhole else { continue }
            // The rows of B are those of the weight, which Mistral's own files have in another order.
            let rank = (ups.compactMap { $0?.shape[1] }.max()) ?? 1
            let views = zip(ups, entry.shapes).map { up, shape in
                up.map(TensorView.init) ?? .zeros(.float32, shape: [shape[0], rank])
            }
            guard Set(ups.compactMap { $0?.shape[1] }).count == 1 else {
                problems.append("\(entry.megatron): its adapters have different ranks")
                continue
            }
            let rows = transform.toLayers(transform.toMegatron(views.map { $0.cast(to: .float32) }))
            for index in entry.shapes.indices {
                guard let down = downs[index], let linear = parameters[entry.pieceName(index)]?.linear else { continue }
                let type = elementType ?? linear.weight.tensor.elementType
                let name = AdapterSet.canonicalName(of: linear)
                let adapter = LowRankAdapter(
                    input: LoRADownProjection(
                        weight: Parameter("\(name).linear_in.weight", try read(TensorView(down), type)),
                        dropout: Float(settings.dropout)
                    ),
                    output: Parameter("\(name).linear_out.weight", try read(rows[index], type)),
                    scale: settings.scale
                )
                for parameter in adapter.parameters { parameter.isTrainable = true }
                loaded.append((linear.weight.name, adapter))
            }
        }
        problems += tensors.keys.filter { !used.contains($0) }.map { "\($0): no layer of this model takes it" }
        guard problems.isEmpty, !loaded.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                problems.isEmpty
                    ? "\(file) holds no adapter; expected tensors such as layers.0.attention.wq.lora_A.weight"
                    : "\(ByteFormat.counted(problems.count, "tensor")) of \(file) cannot be used, so none was; "
                        + "the adapter was made for another model",
                names: problems.sorted()
            )
        }
        let adapters = Dictionary(loaded) { first, _ in first }
        let modules = AdaptedModule.all(in: model.parameters).filter { module in
            module.layers.contains { adapters[$0.weight.name] != nil }
        }
        for module in modules {
            for layer in module.layers { layer.adapter = adapters[layer.weight.name] }
        }
        var section = Recipe.PEFTSection()
        section.scheme = .lora
        section.dim = loaded[0].adapter.rank
        (section.alpha, section.dropout) = (settings.scale * Double(section.dim), settings.dropout)
        section.canonical = true
        section.targetModules = Set(modules.map(\.kind)).sorted()
        let notes =
            settings.isKnown
            ? []
            : [
                "params.json next to \(file) is missing or has no lora scaling; the default \(defaultScale) is used"
            ]
        return AdapterSet(section, modules: modules, wholeParameters: whole, notes: notes)
    }
}
