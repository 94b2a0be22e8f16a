import BridgeSupport
import CheckpointFormats
import Models
import TensorRuntime

// What the configuration names and the file does not have.
extension PEFTImport {
    /// The modules of `target_modules` that have no adapter in the file, by their names in transformers' memory.
    ///
    /// PEFT warns of them. Its matrix B is zero there, so that they are as in the base model, unless `init_lora_weights` is
    /// false.
    ///
    /// - Throws: `BridgeError` for a pattern that takes too long.
    func targetsWithoutAdapter() throws -> [String] {
        guard let targets = configuration.targets, targets.areNamed else { return [] }
        let tables = [decoder.embedding.name, decoder.outputName]
        return try model.parameters.compactMap { parameter in
            let isTable = tables.contains(parameter.name)
            guard isTable ? !targets.areAllLinear : parameter.linear?.weight === parameter,
                tensors.parts[parameter.name] == nil, tensors.whole[parameter.name].map({ !$0.isSavedModule }) ?? true,
                let module = names.modules[parameter.name], try targets.contain(module)
            else { return nil }
            return module
        }
        .sorted()
    }

    /// A notice about modules without an adapter.
    func note(without modules: [String]) -> String {
        "\(ByteFormat.counted(modules.count, "module")) of target_modules \(modules.count == 1 ? "has" : "have") no adapter in \(file) and "
            + "\(modules.count == 1 ? "is" : "are") as in the base model, as in PEFT: \(modules.prefix(5).joined(separator: ", "))"
            + (modules.count > 5 ? ", ..." : "")
    }

    /// The parameters of modules in `modules_to_save`, and the rows of `trainable_token_indices`, that are not in the file.
    func missing() -> [String] {
        let isOneTable = decoder.isTied
        let saved: [String] = model.parameters.compactMap { parameter in
            guard let name = names.names[parameter.name], configuration.saves(name),
                tensors.whole[parameter.name] == nil,
                tensors.parts[parameter.name] == nil,
                !(isOneTable && parameter === decoder.embedding && tensors.whole[decoder.outputName] != nil)
            else { return nil }
            return "\(name): missing, a parameter of modules_to_save"
        }
        return saved + missingTokens()
    }

    /// The entries of `trainable_token_indices` without a tensor; PEFT raises an error for them.
    private func missingTokens() -> [String] {
        let tables = [decoder.embedding.name, decoder.outputName]
        let isAnyStored = tables.contains { tensors.parts[$0]?[.tokens] != nil }
        return configuration.tokenIndices.compactMap { entry in
            let chosen = tables.filter { table in
                entry.module.map { (names.modules[table] ?? "").hasSuffix($0) } ?? (table == decoder.embedding.name)
            }
            guard let table = chosen.first else {
                return
                    "\(entry.module ?? ""): named by trainable_token_indices, and not a table of this model; expected "
                    + tables.compactMap { names.modules[$0] }.joined(separator: " or ")
            }
            // Tied tables have their rows once.
            let isStored = decoder.isTied ? isAnyStored : chosen.contains { tensors.parts[$0]?[.tokens] != nil }
            return isStored ? nil : "\(names.modules[table] ?? table): missing, the rows of trainable_token_indices"
        }
    }
}
