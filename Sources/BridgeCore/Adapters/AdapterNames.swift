/// What the layers of a model are called by Megatron-Core and in transformers' memory.
struct AdapterNames {
    /// A layer's weight among the model's parameters, by the name of its module there.
    private(set) var weights: [String: String] = [:]
    /// The module's name in transformers' memory, by the name of the weight among the model's parameters.
    private(set) var modules: [String: String] = [:]
    /// All that the module is or was called, by the name of the weight among the model's parameters.
    private(set) var spellings: [String: Set<String>] = [:]
    /// A parameter among the model's, by its name there.
    private(set) var parameters: [String: String] = [:]
    /// A parameter's name in transformers' memory, by its name among the model's.
    private(set) var names: [String: String] = [:]
    /// The parameters of which transformers has the transposed matrix.
    private(set) var transposed: Set<String> = []

    init(_ model: FamilyModel) throws {
        let suffix = ".weight"
        for entry in try model.table(.transformers).entries {
            if entry.mapping.transform is Transposition { transposed.insert(entry.megatron) }
            for (index, name) in entry.huggingFace.enumerated() {
                let own = entry.pieceName(index)
                let current = model.bridge.moduleNames.spelled(name)
                names[own] = current
                // Adapters made with older releases carry the names of their time.
                for spelled in [name] + model.bridge.dialects.map({ $0.spelled(name) }) + [current] {
                    parameters[spelled] = own
                    guard spelled.hasSuffix(suffix) else { continue }
                    let module = String(spelled.dropLast(suffix.count))
                    weights[module] = own
                    spellings[own, default: []].insert(module)
                }
                if current.hasSuffix(suffix) { modules[own] = String(current.dropLast(suffix.count)) }
            }
        }
    }
}

extension AutoBridge {
    /// What the parameters of a live model are called in transformers' memory, by their names there.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func huggingFaceNames() throws -> [String: String] {
        var names: [String: String] = [:]
        for entry in try model.table(.transformers).entries {
            for (index, name) in entry.huggingFace.enumerated() {
                names[entry.pieceName(index)] = model.bridge.moduleNames.spelled(name)
            }
        }
        return names
    }

    /// The matrices of a live model of which transformers has the mirror image.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func mirroredParameters() throws -> Set<String> {
        Set(try model.table(.transformers).entries.filter { $0.mapping.transform is Transposition }.map(\.megatron))
    }
}
