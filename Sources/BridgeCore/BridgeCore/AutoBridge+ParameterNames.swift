import Adapters
public import TensorRuntime

extension AutoBridge {
    /// The names of a model's parameters in transformers, by their Megatron names.
    ///
    /// - Throws: `BridgeError` when the family has no parameter table.
    public func huggingFaceNames() throws -> [String: String] { try AdapterNames(model).names }

    /// Tensors with the elements of parameters, such as their gradients, under the names of transformers and as it has them:
    /// transposed matrices, and rows in another order.
    ///
    /// - Parameter tensors: The Megatron names of parameters with a tensor of the same shape for each.
    /// - Returns: The tensors whose parameters transformers has, in the same order.
    /// - Throws: `BridgeError` for a parameter that is not made of rows of one tensor of transformers.
    public func inHuggingFace(_ tensors: [(parameter: String, tensor: Tensor)]) throws -> [(
        name: String, tensor: Tensor
    )] {
        let names = try AdapterNames(model)
        return try tensors.compactMap { own, tensor in
            try names.names[own].map { ($0, try names.whole(tensor, of: own)) }
        }
    }
}
