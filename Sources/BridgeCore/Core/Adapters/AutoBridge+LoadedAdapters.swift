import JSONTree
public import TensorRuntime

extension AutoBridge {
    /// Puts the adapters of a checkpoint, or of a folder of PEFT's, on a model, with what was trained beside them.
    ///
    /// - Parameters:
    ///   - path: An iteration's folder, a folder with iterations, or one with `adapter_config.json`.
    ///   - model: A model of this bridge.
    ///   - elementType: The type of the matrices; nil for that of the weights, without which nothing can be computed.
    ///   - partType: The type of parts of the model that were trained in full; nil likewise.
    /// - Returns: The adapters.
    /// - Throws: `BridgeError` when there are none, or they are another model's.
    public func loadAdapters(
        from path: String,
        on model: any CausalModel,
        elementType: ElementType? = nil,
        partType: ElementType? = nil
    ) throws -> AdapterSet {
        if Files.exists(Files.join(path, PEFTConfiguration.fileName)),
            !Files.exists(Files.join(path, NativeCheckpoint.manifestName))
        {
            return try importAdapter(from: path, on: model, elementType: elementType, partType: partType)
        }
        let checkpoint = try NativeCheckpoint(path: path)
        guard checkpoint.manifest.holdsAdapter else {
            throw BridgeError(.badArgument, "\(path) holds a whole model and no adapter; convert it as it is")
        }
        let name = Files.join(checkpoint.path, PEFTConfiguration.fileName)
        let configuration = try PEFTConfiguration(json: JSON(contentsOf: name), name: name)
        let names = Set(checkpoint.parameters.map(\.name))
        let isCanonical = names.contains { $0.contains(".adapter.adapter_") }
        var section = configuration.section(isCanonical: isCanonical)
        // Parts of the model that the run has trained in full beside the adapters.
        let parts = model.parts.map { part in
            (name: part.name, parameters: part.parameters.filter { names.contains(TrainedNames.whole($0.name)) })
        }.filter { !$0.parameters.isEmpty }
        section.modulesToSave = parts.map(\.name)
        let adapters = try AdapterSet(section, on: model, named: names, elementType)
        let trained = parts.flatMap(\.parameters)
        for parameter in trained { parameter.makeWritable(as: partType) }
        let state = TrainingState(parameters: adapters.parameters + trained, adapters: adapters, moments: [])
        try restore(state, from: checkpoint.path)
        return adapters
    }
}
