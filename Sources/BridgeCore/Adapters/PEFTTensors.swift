import BridgeSupport
import CheckpointFormats
package import TensorFiles
import TensorRuntime

/// The tensors of an adapter's file, sorted by their use.
///
/// Source: the names that `get_peft_model_state_dict` in peft/utils/save_and_load.py writes, 0.21.
package struct PEFTTensors {
    /// The parts of an adapter.
    package enum Kind: String, CaseIterable {
        /// A.
        case down = ".lora_A.weight"
        /// B.
        case up = ".lora_B.weight"
        /// The transposed A of an embedding, [r, V].
        case embeddingDown = ".lora_embedding_A"
        /// The transposed B of an embedding, [D, r].
        case embeddingUp = ".lora_embedding_B"
        /// DoRA's magnitude.
        case magnitude = ".lora_magnitude_vector"
        /// The same, as peft before 0.11 wrote it.
        case oldMagnitude = ".lora_magnitude_vector.weight"
        /// Rows that replace rows of an embedding.
        case tokens = ".token_adapter.trainable_tokens_delta"
    }

    /// A parameter that is stored in full.
    struct Whole {
        var tensor: StoredTensor
        /// Whether `modules_to_save` names its module, of which PEFT then makes a copy; otherwise the tensor is loaded into
        /// the base model.
        var isSavedModule: Bool
    }

    package static let prefix = "base_model.model."

    /// The parts of adapters, by the name of the weight among the model's parameters.
    private(set) var parts: [String: [Kind: StoredTensor]] = [:]
    /// The parameters that are stored in full, by their names among the model's.
    private(set) var whole: [String: Whole] = [:]
    /// A description of the tensors that nothing uses.
    private(set) var problems: [String] = []
    /// Notices for the user.
    private(set) var notes: [String] = []

    /// The file with the tensors.
    ///
    /// - Throws: `BridgeError` when it is not there.
    package static func file(in directory: String) throws -> String {
        let file = Files.join(directory, AdapterFiles.weights)
        guard !Files.exists(file) else { return file }
        guard Files.exists(Files.join(directory, "adapter_model.bin")) else {
            throw BridgeError(
                .fileSystem,
                "\(directory) has an \(AdapterFiles.configuration) and no \(AdapterFiles.weights); fetch that file, or save the adapter again"
            )
        }
        throw BridgeError(
            .corruptInput,
            "\(directory) has adapter_model.bin only, which is pickled and can run code when it is read; expected \(AdapterFiles.weights). "
                + "Load it with PeftModel.from_pretrained and write it with save_pretrained(safe_serialization=True)"
        )
    }

    /// Sorts tensors.
    ///
    /// - Parameters:
    ///   - stored: The tensors.
    ///   - configuration: Their `adapter_config.json`.
    ///   - names: What the model's layers are called.
    ///   - hasLayer: Whether a weight of the model is a linear layer's or a table's.
    /// - Throws: `BridgeError` for a pattern that takes too long.
    package init(
        _ stored: [StoredTensor],
        _ configuration: PEFTConfiguration,
        _ names: AdapterNames,
        hasLayer: (String) -> Bool
    ) throws {
        var outside: Set<String> = []
        var found: [String: [Kind: StoredTensor]] = [:]
        for tensor in stored {
            guard tensor.name.hasPrefix(Self.prefix) else {
                problems.append("\(tensor.name): expected a name that begins with \(Self.prefix)")
                continue
            }
            let name = String(tensor.name.dropFirst(Self.prefix.count))
            if let (module, kind) = Self.split(name) {
                guard let weight = names.weights[module], hasLayer(weight) else {
                    problems.append("\(tensor.name): no layer of this model takes it")
                    continue
                }
                found[weight, default: [:]][kind == .oldMagnitude ? .magnitude : kind] = tensor
                continue
            }
            // A saved module's original is in files that DeepSpeed has written, and is not used.
            if name.contains(".original_module.") { continue }
            let plain = name.replacing(".base_layer.", with: ".").replacing(".modules_to_save.", with: ".")
            guard let own = names.parameters[plain], let current = names.names[own] else {
                problems.append("\(tensor.name): no parameter of this model takes it")
                continue
            }
            whole[own] = Whole(
                tensor: tensor,
                isSavedModule: !name.contains(".base_layer.") && configuration.saves(current)
            )
        }
        for (weight, tensors) in found {
            let isTokens = tensors[.tokens] != nil
            if let targets = configuration.targets, !isTokens, let spellings = names.spellings[weight],
                try !spellings.contains(where: { try targets.contain($0) })
            {
                outside.insert(weight)
            } else {
                parts[weight] = tensors
            }
        }
        // A configuration that names none of the adapters there are describes another model's names, not these.
        if parts.isEmpty, !outside.isEmpty {
            parts = found
            notes.append(
                "target_modules of \(AdapterFiles.configuration) fits no module of this model; all adapters are used"
            )
        } else if !outside.isEmpty {
            let modules = outside.compactMap { names.modules[$0] }.sorted()
            notes.append(
                "\(ByteFormat.counted(modules.count, "adapter")) ignored, as in PEFT, because target_modules does not "
                    + "select their modules: \(modules.prefix(5).joined(separator: ", "))"
                    + (modules.count > 5 ? ", ..." : "")
            )
        }
    }

    /// The module and the kind of a tensor's name after the prefix.
    private static func split(_ name: String) -> (module: String, kind: Kind)? {
        Kind.allCases.first { name.hasSuffix($0.rawValue) }.map { (String(name.dropLast($0.rawValue.count)), $0) }
    }
}

extension PEFTConfiguration {
    /// Whether `modules_to_save` names a module that holds a parameter.
    ///
    /// Source: `_set_trainable` in peft/utils/other.py, 0.21, which compares the ends of names.
    ///
    /// - Parameter parameter: Its name in transformers' memory.
    /// - Returns: Whether it does.
    func saves(_ parameter: String) -> Bool {
        let parts = parameter.split(separator: ".")
        return parts.indices.dropLast().contains { last in
            let module = parts[...last].joined(separator: ".")
            return savedModules.contains { module.hasSuffix($0) }
        }
    }
}
