public import BridgeCore
public import TensorRuntime

/// Inputs and the reference program's logits.
public struct ReferenceCase: Sendable {
    /// The prefix of its keys.
    public let prefix: String
    private let batch: TokenBatch
    private let positions: Int
    private let expected: [Float]
    private let states: [[Float]]

    /// The cases of a file that have logits of the last positions.
    ///
    /// - Parameters:
    ///   - path: The file, as ``ReferenceFixture/reference`` describes it.
    ///   - engine: The engine of the models.
    /// - Returns: The cases, in the order of their prefixes.
    /// - Throws: `BridgeError` for a file without any case, or one that cannot be read.
    public static func all(in path: String, on engine: any TensorEngine) throws -> [ReferenceCase] {
        let file = try SafetensorsFile(path: path)
        let tensors = Dictionary(file.tensors.map { ($0.name, $0) }) { first, _ in first }
        let cases: [ReferenceCase] = try tensors.keys.sorted().compactMap { name in
            guard name.hasSuffix("input_ids") else { return nil }
            let prefix = String(name.dropLast("input_ids".count))
            // With `last` the logits are of other positions.
            guard let logits = tensors["\(prefix)logits"], logits.shape.count == 3, tensors["\(prefix)last"] == nil
            else { return nil }
            func floats(_ tensor: StoredTensor) throws -> [Float] { try TensorReader().floats(of: TensorView(tensor)) }
            let states = (0...).lazy.map { tensors["\(prefix)hidden_states.\($0)"] }.prefix { $0 != nil }
            return ReferenceCase(
                prefix: prefix,
                batch: try TokenBatch(inputs: path, prefix: prefix, on: engine),
                positions: logits.shape[1],
                expected: try floats(logits),
                states: try states.compactMap(\.self).map(floats)
            )
        }
        guard !cases.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(path) has no pair of input_ids [B, T] and logits [B, n, V], which the reference program has to write"
            )
        }
        return cases
    }

    /// The number of positions with logits.
    public var positionCount: Int { batch.batch * positions }

    /// The difference of a model's logits from those of the reference, and the largest logit of the reference.
    ///
    /// - Parameter model: The model, or the part of it that this rank has.
    /// - Returns: The largest difference, infinite for another number of logits, and the largest logit by magnitude.
    /// - Throws: `BridgeError` for inputs that do not fit the model.
    public func gap(of model: any CausalModel) throws -> (difference: Float, scale: Float) {
        PluginConformance.gap(try model.forward(batch, last: positions).logits.floats(), expected)
    }

    /// The number of the first hidden state that differs; nil where none does, or the reference has none.
    func firstDifferentState(of model: any CausalModel, tolerance: Float) throws -> Int? {
        guard !states.isEmpty else { return nil }
        let found = try model.forward(batch, keepsHiddenStates: true).hiddenStates
        return zip(found, states).enumerated().first { _, pair in
            let (difference, scale) = PluginConformance.gap(pair.0.floats(), pair.1)
            return difference > tolerance * scale
        }?.offset
    }
}
