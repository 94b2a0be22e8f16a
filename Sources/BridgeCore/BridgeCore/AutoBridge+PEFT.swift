public import Adapters
public import BridgeSupport
import CheckpointFormats
import JSONTree
import ModelPlugins
import ModelSchema
public import Models
import TensorFiles
public import TensorRuntime

/// Adapters as PEFT stores them: `adapter_config.json` and `adapter_model.safetensors`.
///
/// Source: `get_peft_model_state_dict` and `set_peft_model_state_dict` in peft/utils/save_and_load.py, 0.21.
extension AutoBridge {
    /// Adds an adapter saved by PEFT to a model.
    ///
    /// Query, key, value, gate and up keep separate matrices, as in PEFT: the canonical form. The part that an
    /// initialization such as PiSSA subtracted from the base weights becomes part of the adapter, so the base model
    /// is unchanged. Adapters of the embedding, and trained tokens, become a separate embedding.
    ///
    /// - Parameters:
    ///   - directory: The directory with the two files.
    ///   - model: A model of this bridge.
    ///   - elementType: The type of the matrices; nil for that of the weights, as computation requires.
    ///   - partType: The type of parameters that were trained in full; nil for that of the weights.
    ///   - dropout: The dropout probability of the adapters' inputs in training; nil for that of the file.
    /// - Returns: The adapters, all of them trainable.
    /// - Throws: `BridgeError` for settings that are not supported, and for tensors that are unknown, missing or of
    ///   another shape.
    public func importAdapter(
        from directory: String,
        on model: any CausalModel,
        elementType: ElementType? = nil,
        partType: ElementType? = nil,
        dropout: Double? = nil
    ) throws -> AdapterSet {
        var configuration = try PEFTConfiguration(directory: directory)
        if !configuration.unknownKeys.isEmpty {
            let unknown = UnknownSettings(file: AdapterFiles.configuration, keys: configuration.unknownKeys)
            try catalog.accountForUnknown([unknown], directory)
        }
        if let dropout { configuration.dropout = dropout }
        let file = try PEFTTensors.file(in: directory)
        let names = try AdapterNames(self.model)
        let layers = Set(model.parameters.filter { $0.linear != nil }.map(\.name))
        let ends: Set<String> = [model.decoder.embedding.name, model.decoder.outputName]
        let tensors = try PEFTTensors(try SafetensorsFile(path: file).tensors, configuration, names) { weight in
            layers.contains(weight) || ends.contains(weight)
        }
        let adapters = try PEFTImport(configuration, tensors, names, model, file: file, elementType, partType).run()
        let notes = adapters.notes + baseNotes(of: configuration.baseModel, adapter: directory)
        return adapters.with(notes: notes)
    }

    /// Writes adapters in the format of PEFT.
    ///
    /// The matrix A of a fused module, shared by query, key and value, is written for each of them. The start of an adapter is
    /// written as more rows of A and columns of B, so that PEFT uses the base model as it is. Parameters that were trained in
    /// full in addition to the adapters are also stored, as PEFT's `modules_to_save`.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - model: The model of the adapters.
    ///   - directory: The destination, written atomically.
    ///   - baseModel: The value of `base_model_name_or_path`, a hub id or a directory.
    ///   - overwrite: Whether an existing directory is replaced.
    ///   - cancellation: Cancels the write.
    /// - Throws: `BridgeError`; the destination is then unchanged.
    public func exportAdapter(
        _ adapters: AdapterSet,
        on model: any CausalModel,
        to directory: String,
        baseModel: String?,
        overwrite: Bool = false,
        cancellation: Cancellation = Cancellation()
    ) throws {
        try Destination.check(directory, against: [self.directory?.path])
        try cancellation.check()
        let names = try AdapterNames(self.model)
        let whole = try WholeParameters(adapters, on: model, names)
        func stored(_ module: String, _ kind: PEFTTensors.Kind, _ tensor: Tensor) -> (name: String, tensor: Tensor) {
            (PEFTTensors.prefix + module + kind.rawValue, tensor)
        }
        var tensors = whole.tensors.map { (name: PEFTTensors.prefix + $0.name, tensor: $0.tensor) }
        var layers: [(name: String, shape: AdapterShape)] = []
        for layer in adapters.modules.flatMap(\.layers) {
            guard let adapter = layer.adapter else { continue }
            guard let module = names.modules[layer.weight.name] else {
                throw BridgeError(.badPlugin, "\(layer.weight.name) has no name in the Hugging Face model")
            }
            let (down, up) = adapter.matrices
            layers.append((module, adapter.wholeShape))
            tensors.append(stored(module, .down, down))
            // Of the rows of the weight, which transformers may have in another order.
            tensors.append(stored(module, .up, try names.rows(up.detached, of: layer.weight.name)))
            if let magnitude = adapter.magnitude?.tensor.detached {
                tensors.append(stored(module, .magnitude, try names.rows(magnitude, of: layer.weight.name)))
            }
        }
        var configuration = try PEFTConfiguration(adapters, layers: layers, baseModel: baseModel)
        configuration.savedModules = whole.modules
        let staged = try StagedDirectory(destination: directory, overwrite: overwrite)
        tensors.sort { $0.name < $1.name }
        try staged.filling {
            try SafetensorsFile.write(
                tensors.map { ($0.name, $0.tensor.detached.contiguous()) },
                to: Files.join(staged.path, AdapterFiles.weights)
            )
        }
        let json = configuration.json(
            modules: layers.map(\.name).sorted(),
            taskType: architecture.hasSuffix("ForCausalLM") ? "CAUSAL_LM" : nil
        )
        try staged.filling {
            try Files.write(json.text(), to: Files.join(staged.path, AdapterFiles.configuration))
            try cancellation.check()
            try staged.commit()
        }
    }
}
