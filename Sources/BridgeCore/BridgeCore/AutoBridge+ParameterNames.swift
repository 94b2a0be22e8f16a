import Adapters

extension AutoBridge {
    /// The names that transformers has for the parameters of a model, by their names here.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func huggingFaceNames() throws -> [String: String] { try AdapterNames(model).names }

    /// The matrices of a model of which transformers has the transposed one.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func transposedParameters() throws -> Set<String> { try AdapterNames(model).transposed }
}
