import TensorRuntime

/// Parts of a model that were trained in full beside adapters, as PEFT stores them: under the names of their parameters in
/// transformers' memory, in the adapter's own file.
///
/// Source: `modules_to_save` in `get_peft_model_state_dict`, peft/utils/save_and_load.py, 0.21.
struct SavedModules {
    private let names: [String: String]
    private let mirrored: Set<String>
    private let parameters: [Parameter]

    /// The parts of the given names.
    ///
    /// - Throws: `BridgeError` for a part that the model does not have, and for one that has adapters inside, which PEFT
    ///   would put on the original.
    init(_ parts: [String], of model: any CausalModel, _ bridge: AutoBridge, adapted: [AdapterSet.Module]) throws {
        names = try bridge.huggingFaceNames()
        mirrored = try bridge.mirroredParameters()
        let known = model.parts
        for name in parts {
            guard let part = known.first(where: { $0.name == name }) else {
                throw BridgeError(
                    .badConfiguration,
                    "modules_to_save names \(name), expected of \(known.map(\.name).joined(separator: ", "))"
                )
            }
            let own = Set(part.parameters.map(ObjectIdentifier.init))
            let isAdapted = adapted.contains { module in
                module.layers.contains { $0.adapter != nil && own.contains(ObjectIdentifier($0.weight)) }
            }
            guard !isAdapted else {
                throw BridgeError(
                    .badArgument,
                    "\(name) has adapters and is trained in full beside them, which PEFT does not know; "
                        + "write a whole model with 'bridge adapter merge'"
                )
            }
        }
        parameters = model.parameters(ofParts: parts)
    }

    /// The tensors, under PEFT's names behind `prefix`.
    ///
    /// - Throws: `BridgeError` for a parameter without a name in transformers' memory.
    func tensors(prefix: String) throws -> [(name: String, tensor: Tensor)] {
        try parameters.map { parameter in
            guard let name = names[parameter.name] else {
                throw BridgeError(.badPlugin, "\(parameter.name) has no name in Hugging Face's model")
            }
            let tensor = parameter.tensor.detached
            return (prefix + name, mirrored.contains(parameter.name) ? tensor.transposed() : tensor)
        }
    }

    /// Fills the parameters from stored tensors.
    ///
    /// - Parameters:
    ///   - stored: The tensors by their names behind the prefix; those that are used are taken out.
    ///   - file: Where they are, for messages.
    ///   - type: The type that the parameters get; nil for their own.
    /// - Throws: `BridgeError` for a tensor that is missing or has another shape.
    func fill(from stored: inout [String: StoredTensor], of file: String, as type: ElementType?) throws {
        let reader = TensorReader()
        for parameter in parameters {
            guard let name = names[parameter.name], let tensor = stored.removeValue(forKey: name) else {
                throw BridgeError(
                    .corruptInput,
                    "\(file) lacks \(names[parameter.name] ?? parameter.name), a parameter of its modules_to_save"
                )
            }
            let view = TensorView(tensor)
            let own = mirrored.contains(parameter.name) ? view.transposed : view
            guard own.shape == parameter.tensor.shape, tensor.elementType.isFloatingPoint else {
                throw BridgeError(
                    .corruptInput,
                    "\(tensor.name) has the shape \(tensor.shape), which does not fit the model"
                )
            }
            parameter.makeWritable(as: type)
            try reader.read(own, into: parameter.tensor)
        }
    }
}
