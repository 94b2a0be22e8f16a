import BridgeSupport
import CheckpointFormats
package import ModelPlugins
import ModelSchema
import TensorFiles
package import TensorRuntime

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
    private var transposed: Set<String> = []
    /// The parameters whose rows transformers has in another order, as families whose files have neighbouring rotary pairs.
    private var moved: [String: RowOrder] = [:]
    /// The parameters that are not rows of one of transformers' tensors.
    private var unmatched: Set<String> = []

    package init(_ model: FamilyModel) throws {
        let suffix = ".weight"
        // The layers of a line are alike.
        var known: [NamePattern: [RowOrder.Match]] = [:]
        for entry in try model.table(.transformers).entries {
            let isTransposed = entry.mapping.transform is Transposition
            if isTransposed { transposed.insert(entry.megatron) }
            let line = entry.mapping.megatron
            let matches = entry.mapping.transform is Identity || isTransposed ? [] : known[line] ?? entry.rowMatches
            known[line] = matches
            for (index, match) in matches.enumerated() {
                switch match {
                case .same: break
                case .moved(let order): moved[entry.pieceName(index)] = order
                case .none: unmatched.insert(entry.pieceName(index))
                }
            }
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

    /// Whether transformers has the transposed matrix of a parameter.
    func isTransposed(_ own: String) -> Bool { transposed.contains(own) }

    /// What belongs to the rows of a parameter, such as B, in the order of transformers' rows.
    ///
    /// - Throws: `BridgeError` for a parameter that is not made of rows of one tensor.
    package func rows(_ tensor: Tensor, of own: String) throws -> Tensor {
        try checkRows(of: own)
        return moved[own]?.toHuggingFace(tensor) ?? tensor
    }

    /// What a file of PEFT has for the rows of a parameter, in the order of the model's rows.
    ///
    /// - Throws: `BridgeError` for a parameter that is not made of rows of one tensor.
    func layerRows(_ view: TensorView, of own: String) throws -> TensorView {
        try checkRows(of: own)
        return moved[own]?.toLayers(view) ?? view
    }

    /// A tensor with the elements of a parameter, such as its gradient, as transformers has it.
    ///
    /// - Throws: `BridgeError` for a parameter that is not made of rows of one tensor.
    package func whole(_ tensor: Tensor, of own: String) throws -> Tensor {
        isTransposed(own) ? tensor.transposed() : try rows(tensor, of: own)
    }

    /// A tensor of transformers with the elements of a parameter, as the model has it.
    ///
    /// - Throws: `BridgeError` for a parameter that is not made of rows of one tensor.
    func layerWhole(_ view: TensorView, of own: String) throws -> TensorView {
        isTransposed(own) ? view.transposed : try layerRows(view, of: own)
    }

    private func checkRows(of own: String) throws {
        guard unmatched.contains(own) else { return }
        throw BridgeError(
            .badPlugin,
            "\(own) is not made of whole rows of one Hugging Face tensor, so that what belongs to its rows, such as an adapter or a "
                + "gradient, has no counterpart there; expected a transform of the parameter table that moves rows only"
        )
    }
}
