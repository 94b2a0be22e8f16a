/// What the layers of a model are called by Megatron-Core and in transformers' memory.
struct AdapterNames {
    /// A layer's weight among the model's parameters, by the name of its module there.
    private(set) var weights: [String: String] = [:]
    /// The module's name in transformers' memory, by the name of the weight among the model's parameters.
    private(set) var modules: [String: String] = [:]

    init(_ model: FamilyModel) throws {
        let suffix = ".weight"
        for entry in try model.table(.transformers).entries {
            for (index, name) in entry.huggingFace.enumerated() where name.hasSuffix(suffix) {
                let own = entry.pieceName(index)
                // Adapters made with older releases carry the names of their time.
                for spelled in [name] + model.bridge.dialects.map({ $0.spelled(name) }) {
                    weights[String(spelled.dropLast(suffix.count))] = own
                }
                let module = String(model.bridge.moduleNames.spelled(name).dropLast(suffix.count))
                weights[module] = own
                modules[own] = module
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
