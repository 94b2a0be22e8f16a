import BridgeSupport
public import TensorRuntime

/// Which weights of a model are quantized when it is loaded, and how.
///
/// Those are the matrices of the language model. Norms, biases, the vision tower and its projector keep their type.
public struct WeightQuantization: Sendable {
    /// Parameters with a format of their own.
    public struct Exception: Sendable {
        /// Megatron-Core's names.
        public var names: NameGlob
        /// Their format; nil for the model's type.
        public var format: QuantizedFormat?

        /// An exception.
        public init(names: NameGlob, format: QuantizedFormat?) { (self.names, self.format) = (names, format) }
    }

    /// The format of the layers' matrices.
    public var layers: QuantizedFormat
    /// The format of the embedding and the output layer; nil for the model's type.
    public var tables: QuantizedFormat?
    /// Other formats, of which the first that fits counts.
    public var exceptions: [Exception]

    /// A choice.
    ///
    /// - Parameters:
    ///   - layers: The format of the layers' matrices.
    ///   - tables: The format of the embedding and the output layer; nil for the model's type.
    ///   - exceptions: Other formats, of which the first that fits counts.
    public init(layers: QuantizedFormat, tables: QuantizedFormat?, exceptions: [Exception] = []) {
        (self.layers, self.tables, self.exceptions) = (layers, tables, exceptions)
    }

    /// The format of a parameter; nil for one that keeps its type.
    ///
    /// - Parameters:
    ///   - name: Megatron-Core's name.
    ///   - shape: Its sizes on this rank. A matrix whose rows have no whole number of groups keeps its type.
    /// - Returns: The format.
    public func format(of name: String, shape: [Int]) -> QuantizedFormat? {
        guard shape.count == 2, let format = chosenFormat(of: name), format.divides(shape[1]) else { return nil }
        return format
    }

    /// The format of a parameter, or of a matrix of a fused one, whatever its shape.
    package func chosenFormat(of name: String) -> QuantizedFormat? {
        let name = name.hasSuffix("]") ? String(name[..<(name.lastIndex(of: "[") ?? name.endIndex)]) : name
        guard let kind = MatrixKind(name) else { return nil }
        if let exception = exceptions.first(where: { $0.names.matches(name) }) { return exception.format }
        return kind == .layer ? layers : tables
    }

    /// Refuses exceptions that fit no matrix of a model's language model.
    ///
    /// - Parameter names: Megatron-Core's names of all parameters.
    /// - Throws: `BridgeError` with an example of a name.
    package func checkExceptions(_ names: [String]) throws {
        let matrices = names.filter { MatrixKind($0) != nil }
        for exception in exceptions where !matrices.contains(where: exception.names.matches) {
            throw BridgeError(
                .badArgument,
                "the exception '\(exception.names)' fits no matrix of the model; expected Megatron-Core's names with * for any text, "
                    + "such as \(matrices.first ?? "decoder.layers.0.mlp.linear_fc1.weight")"
            )
        }
    }

    /// What a matrix of the language model is.
    private enum MatrixKind {
        case layer, table

        /// The kind by Megatron-Core's name; nil for anything else.
        init?(_ name: String) {
            let name = name.hasPrefix("language_model.") ? name.dropFirst("language_model.".count) : name[...]
            guard name.hasSuffix(".weight") else { return nil }
            if name.hasPrefix("embedding.word_embeddings.") || name.hasPrefix("output_layer.") {
                self = .table
            } else if name.hasPrefix("decoder.layers."),
                name.split(separator: ".").dropLast().last?.hasPrefix("linear_") ?? false
            {
                self = .layer
            } else {
                return nil
            }
        }
    }
}
