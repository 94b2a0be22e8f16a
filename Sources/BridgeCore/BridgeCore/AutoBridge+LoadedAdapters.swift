public import Adapters
import BridgeSupport
import CheckpointFormats
import Conversion
import JSONTree
import ModelSchema
public import Models
import Recipes
import TensorFiles
public import TensorRuntime

extension AutoBridge {
    private static let adapterExpectation =
        "an adapter: a directory with \(AdapterFiles.configuration), one with \(AdapterFiles.lora), or a checkpoint of a LoRA "
        + "or DoRA run"

    /// Adds adapters, and parameters trained with them, to a model: from a checkpoint, a directory of PEFT, or one of
    /// mistral-finetune.
    ///
    /// - Parameters:
    ///   - path: An iteration's directory, a directory with iterations, one with `adapter_config.json`, one with
    ///     `lora.safetensors`, or that file.
    ///   - model: A model of this bridge.
    ///   - elementType: The type of the matrices; nil for that of the weights, as computation requires.
    ///   - partType: The type of modules that were trained in full; nil for that of the weights.
    ///   - dropout: The dropout probability of the adapters' inputs in training; nil for that of the file.
    /// - Returns: The adapters.
    /// - Throws: `BridgeError` when there are none, or they belong to another model.
    public func loadAdapters(
        from path: String,
        on model: any CausalModel,
        elementType: ElementType? = nil,
        partType: ElementType? = nil,
        dropout: Double? = nil
    ) throws -> AdapterSet {
        if Self.isOfPEFT(path) {
            return try importAdapter(
                from: path,
                on: model,
                elementType: elementType,
                partType: partType,
                dropout: dropout
            )
        }
        if !NativeCheckpoint.isIteration(path), let file = LoRAFile.file(at: path) {
            return try LoRAFile.load(
                file,
                family: self.model,
                on: model,
                elementType: elementType,
                partType: partType
            )
        }
        let checkpoint = try adapterCheckpoint(path)
        guard !checkpoint.isDescribed || checkpoint.manifest.architecture == architecture else {
            throw BridgeError(
                .badArgument,
                "\(path) is an adapter of \(checkpoint.manifest.architecture), but the model is \(architecture); give the "
                    + "model that the adapter was trained on"
            )
        }
        let configuration = try adapterConfiguration(checkpoint)
        let names = Set(checkpoint.parameters.map(\.name))
        let isCanonical = Self.isCanonical(names)
        var section = configuration.section(isCanonical: isCanonical)
        if let dropout { section.dropout = dropout }
        // An output layer with its own weights or with adapters cannot be tied to the embedding.
        if names.contains(where: {
            $0 == model.decoder.outputName || $0.hasPrefix("\(model.decoder.outputModule).adapter.")
        }) {
            model.decoder.untie()
        }
        // Parameters of the model that the run has trained in full in addition to the adapters.
        let whole = model.parameters.filter { names.contains(TrainedNames.whole($0.name)) }
        section.modulesToSave = model.parts.filter { part in
            part.parameters.contains { own in whole.contains { $0 === own } }
        }.map(\.name)
        let shapes = Dictionary(checkpoint.parameters.map { ($0.name, $0.view.shape) }) { first, _ in first }
        for parameter in whole {
            // The vocabulary may have been resized.
            let isTable = parameter === model.decoder.embedding || parameter === model.decoder.output.weight
            guard isTable, let shape = shapes[parameter.name], shape.count == 2, shape[1] == parameter.tensor.shape[1],
                shape != parameter.tensor.shape
            else { continue }
            parameter.replace(
                with: Tensor(uninitialized: shape, partType ?? parameter.tensor.elementType, on: model.engine)
            )
        }
        let adapters = try AdapterSet(
            section,
            on: model,
            named: names,
            elementType,
            wholeParameters: whole,
            notes: baseNotes(of: configuration.baseModel, adapter: path),
            shape: { try configuration.shape(of: $0) }
        )
        for parameter in whole {
            let type = partType ?? parameter.tensor.elementType
            // The memory of a tied embedding may be shared with an output layer that is not replaced.
            parameter.replace(with: Tensor(uninitialized: parameter.tensor.shape, type, on: model.engine))
        }
        let state = TrainingState(parameters: adapters.parameters + whole, adapters: adapters, moments: [])
        try restore(state, from: checkpoint.path, groups: model.decoder.parallelism.groups)
        return adapters
    }

    /// Whether a directory is in the format of PEFT; a checkpoint of Megatron Bridge's form has an `adapter_config.json` too.
    static func isOfPEFT(_ path: String) -> Bool {
        !NativeCheckpoint.isIteration(path) && Files.exists(Files.join(path, AdapterFiles.configuration))
    }

    /// A checkpoint that has adapters and no model.
    func adapterCheckpoint(_ path: String) throws -> NativeCheckpoint {
        guard NativeCheckpoint.isOne(path) else { throw FoundPath.error(path, expected: Self.adapterExpectation) }
        let checkpoint = try AutoBridge.open(path, catalog: catalog)
        guard checkpoint.manifest.holdsAdapter else {
            throw BridgeError(
                .badArgument,
                "\(path) is a Megatron checkpoint of a whole model; expected \(Self.adapterExpectation)"
            )
        }
        return checkpoint
    }

    /// Whether parts of fused modules have adapters of their own, by the names of parameters.
    static func isCanonical(_ names: some Sequence<String>) -> Bool {
        names.contains { $0.contains(".adapter.adapter_") }
    }

    /// The settings of a checkpoint's adapters: Bridge's own file, or the section of Megatron Bridge.
    func adapterConfiguration(_ checkpoint: NativeCheckpoint) throws -> PEFTConfiguration {
        if Files.exists(Files.join(checkpoint.path, AdapterFiles.configuration)) {
            return try PEFTConfiguration(directory: checkpoint.path)
        }
        let other = Files.join(checkpoint.path, RunConfiguration.name)
        guard checkpoint.container == .torchDist, Files.exists(other),
            let section = try RunConfiguration.section("peft", of: other)?.nonNull
        else {
            throw BridgeError(
                .corruptInput,
                "\(checkpoint.path) has adapters, but neither \(AdapterFiles.configuration) nor a section peft in "
                    + "\(RunConfiguration.name) with their rank and alpha; copy the \(RunConfiguration.name) of their run into it"
            )
        }
        let configuration = try PEFTConfiguration(megatron: section, name: other)
        if !configuration.unknownKeys.isEmpty {
            let keys = configuration.unknownKeys.map { "peft.\($0)" }
            let unknown = UnknownSettings(file: RunConfiguration.name, keys: keys)
            try catalog.accountForUnknown([unknown], checkpoint.path)
        }
        return configuration
    }
}
