import CheckpointFormats
package import ModelPlugins
import ModelSchema

/// The names of a model's layers in Megatron-Core and in transformers' modules.
package struct AdapterNames {
    /// A layer's weight among the model's parameters, by the name of its module there.
    private(set) var weights: [String: String] = [:]
    /// The module's name in transformers' memory, by the name of the weight among the model's parameters.
    package private(set) var modules: [String: String] = [:]
    /// All that the module is or was called, by the name of the weight among the model's parameters.
    private(set) var spellings: [String: Set<String>] = [:]
    /// A parameter among the model's, by its name there.
    private(set) var parameters: [String: String] = [:]
    /// A parameter's name in transformers' memory, by its name among the model's.
    package private(set) var names: [String: String] = [:]
    /// The parameters of which transformers has the transposed matrix.
    package private(set) var transposed: Set<String> = []

    package init(_ model: FamilyModel) throws {
        let suffix = ".weight"
        for entry in try model.table(.transformers).entries {
            if entry.mapping.transform is Transposition { transposed.insert(entry.megatron) }
            for (index, name) in entry.huggingFace.enumerated() {
                let own = entry.pieceName(index)
                let current = model.bridge.moduleNames.renamed(name)
                names[own] = current
                // Adapters made with older releases carry the names of their time.
                for spelled in [name] + model.bridge.keyMappings.map({ $0.renamed(name) }) + [current] {
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
