import Adapters

extension AutoBridge {
    /// The names of a model's parameters in transformers, by their Megatron names.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func huggingFaceNames() throws -> [String: String] { try AdapterNames(model).names }

    /// The matrices of a model that transformers stores transposed.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func transposedParameters() throws -> Set<String> { try AdapterNames(model).transposed }
}
