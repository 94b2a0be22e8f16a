import JSONTree
public import TensorRuntime

/// Adapters as PEFT stores them: `adapter_config.json` and `adapter_model.safetensors`.
///
/// Source: `get_peft_model_state_dict` in peft/utils/save_and_load.py, 0.21.
extension AutoBridge {
    private static let weightsName = "adapter_model.safetensors"
    private static let prefix = "base_model.model."
    private static let (down, up, magnitude) = (".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector")

    /// Puts an adapter that PEFT has saved on a model.
    ///
    /// Query, key and value, gate and up keep matrices of their own, as PEFT has them: the canonical form.
    ///
    /// - Parameters:
    ///   - folder: The folder with the two files.
    ///   - model: A model of this bridge.
    ///   - elementType: The type of the matrices; nil for that of the weights, without which nothing can be computed.
    ///   - partType: The type of parts that were trained in full; nil likewise.
    /// - Returns: The adapters, all of them trainable.
    /// - Throws: `BridgeError` for tensors that belong nowhere, are missing or have another shape.
    public func importAdapter(
        from folder: String,
        on model: any CausalModel,
        elementType: ElementType? = nil,
        partType: ElementType? = nil
    ) throws -> AdapterSet {
        let configurationName = Files.join(folder, PEFTConfiguration.fileName)
        let configuration = try PEFTConfiguration(json: JSON(contentsOf: configurationName), name: configurationName)
        let file = Files.join(folder, Self.weightsName)
        let stored = try SafetensorsFile(path: file).tensors
        let names = try AdapterNames(self.model)
        let linears = Dictionary(
            model.parameters.compactMap { parameter in parameter.linear.map { (parameter.name, $0) } }
        ) { first, _ in first }
        var found: [String: [String: StoredTensor]] = [:]
        var problems: [String] = []
        var whole: [String: StoredTensor] = [:]
        for tensor in stored {
            if !configuration.savedModules.isEmpty, tensor.name.hasPrefix(Self.prefix), Self.split(tensor.name) == nil {
                whole[String(tensor.name.dropFirst(Self.prefix.count))] = tensor
                continue
            }
            guard let (module, kind) = Self.split(tensor.name), let weight = names.weights[module],
                linears[weight] != nil
            else {
                problems.append("\(tensor.name): no layer of this model takes it")
                continue
            }
            found[weight, default: [:]][kind] = tensor
        }
        var adapters: [String: LowRankAdapter] = [:]
        for (weight, tensors) in found {
            guard let linear = linears[weight] else { continue }
            do {
                adapters[weight] = try Self.adapter(configuration, weight, linear, tensors, elementType)
            } catch let error as BridgeError { problems.append("\(weight): \(error.message)") }
        }
        let saved = try SavedModules(configuration.savedModules, of: model, self, adapted: [])
        try saved.fill(from: &whole, of: file, as: partType)
        problems += whole.values.map { "\($0.name): no layer of this model takes it" }
        guard problems.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(ByteFormat.counted(problems.count, "tensor")) of \(file) cannot be used, so none was; "
                    + "the adapter was made for another model",
                names: problems.sorted()
            )
        }
        let modules = AdaptedModule.all(in: model.parameters).filter { module in
            module.layers.contains { adapters[$0.weight.name] != nil }
        }
        guard !modules.isEmpty else { throw BridgeError(.corruptInput, "\(file) holds no adapter") }
        for module in modules {
            for layer in module.layers { layer.adapter = adapters[layer.weight.name] }
        }
        var section = configuration.section(isCanonical: true)
        section.modulesToSave = configuration.savedModules
        section.targetModules = Set(modules.map(\.kind)).sorted()
        return AdapterSet(section, modules: modules)
    }

    /// The module and the kind of tensor in a name.
    private static func split(_ name: String) -> (module: String, kind: String)? {
        guard name.hasPrefix(prefix) else { return nil }
        for kind in [down, up, magnitude] where name.hasSuffix(kind) {
            return (String(name.dropFirst(prefix.count).dropLast(kind.count)), kind)
        }
        // peft before 0.11 wrote the magnitude like a weight.
        guard name.hasSuffix("\(magnitude).weight") else { return nil }
        return (String(name.dropFirst(prefix.count).dropLast("\(magnitude).weight".count)), magnitude)
    }

    private static func adapter(
        _ configuration: PEFTConfiguration,
        _ weight: String,
        _ linear: Linear,
        _ tensors: [String: StoredTensor],
        _ elementType: ElementType?
    ) throws -> LowRankAdapter {
        let shape = linear.weight.tensor.shape
        let engine = linear.weight.tensor.engine
        let name = AdapterSet.canonicalName(of: linear)
        func parameter(_ kind: String, _ shape: [Int], _ suffix: String, _ type: ElementType) throws -> Parameter {
            guard let stored = tensors[kind] else {
                throw BridgeError(.corruptInput, "there is no \(kind.dropFirst())")
            }
            guard stored.shape == shape, stored.elementType.isFloatingPoint else {
                throw BridgeError(.corruptInput, "\(stored.name) has the shape \(stored.shape), expected \(shape)")
            }
            let tensor = Tensor(uninitialized: shape, type, on: engine)
            try TensorReader().read(TensorView(stored), into: tensor)
            let parameter = Parameter("\(name).\(suffix)", tensor)
            parameter.isTrainable = true
            return parameter
        }
        let type = elementType ?? linear.weight.tensor.elementType
        let rank = configuration.rank
        return LowRankAdapter(
            input: LowRankInput(
                weight: try parameter(down, [rank, shape[1]], "linear_in.weight", type),
                dropout: Float(configuration.dropout)
            ),
            output: try parameter(up, [shape[0], rank], "linear_out.weight", type),
            magnitude: configuration.usesDoRA
                ? try parameter(magnitude, [shape[0]], "weight_magnitude", .float32) : nil,
            scale: Float(configuration.scale)
        )
    }

    /// Writes adapters as PEFT does.
    ///
    /// A fused module's matrix A, which query, key and value share, is written for each of them. Parts of the model that were
    /// trained in full beside the adapters stand there whole.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - model: The model that they are on.
    ///   - folder: Where to; the folder appears whole or not at all.
    ///   - baseModel: The model that PEFT is told, a hub id or a folder.
    ///   - overwrite: Whether a folder that stands there is replaced.
    /// - Throws: `BridgeError`; the destination is then as it was.
    public func exportAdapter(
        _ adapters: AdapterSet,
        on model: any CausalModel,
        to folder: String,
        baseModel: String?,
        overwrite: Bool = false
    ) throws {
        let names = try AdapterNames(self.model)
        let saved = try SavedModules(
            adapters.configuration.modulesToSave,
            of: model,
            self,
            adapted: adapters.modules
        )
        var tensors = try saved.tensors(prefix: Self.prefix)
        var modules: [String] = []
        for layer in adapters.modules.flatMap(\.layers) {
            guard let adapter = layer.adapter else { continue }
            guard let module = names.modules[layer.weight.name] else {
                throw BridgeError(.badPlugin, "\(layer.weight.name) has no name in Hugging Face's model")
            }
            modules.append(module)
            tensors.append((Self.prefix + module + Self.down, adapter.input.weight.tensor))
            tensors.append((Self.prefix + module + Self.up, adapter.output.tensor))
            if let vector = adapter.magnitude { tensors.append((Self.prefix + module + Self.magnitude, vector.tensor)) }
        }
        let configuration = PEFTConfiguration(adapters.configuration, baseModel: baseModel)
        let staged = try StagedFolder(destination: folder, overwrite: overwrite)
        tensors.sort { $0.name < $1.name }
        try SafetensorsFile.write(
            tensors.map { ($0.name, $0.tensor.detached.contiguous()) },
            to: Files.join(staged.path, Self.weightsName)
        )
        let json = configuration.json(
            modules: modules.sorted(),
            taskType: architecture.hasSuffix("ForCausalLM") ? "CAUSAL_LM" : nil
        )
        try Files.write(json.text(), to: Files.join(staged.path, PEFTConfiguration.fileName))
        try staged.commit()
    }
}
