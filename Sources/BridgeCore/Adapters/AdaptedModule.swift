public import TensorRuntime

/// A module of a model under Megatron-Core's name, with the layers that it is divided into.
public struct AdaptedModule: Sendable {
    /// The name, such as `decoder.layers.0.self_attention.linear_qkv`.
    public let name: String
    /// Query, key and value, gate and up, or the one layer there is.
    public let layers: [Linear]

    /// The last part of the name.
    public var kind: String { String(name.split(separator: ".").last ?? "") }

    /// Whether the module's weights are among some parameters.
    func isPart(of parameters: [Parameter]) -> Bool {
        layers.contains { layer in parameters.contains { $0 === layer.weight } }
    }

    /// The names of the layers of a fused module when each has its own adapter.
    ///
    /// Source: `CanonicalLoRA` in megatron/bridge/peft/canonical_lora.py, 0.3.
    public static let parts = [
        "linear_qkv": ["linear_q", "linear_k", "linear_v"],
        "linear_fc1": ["linear_fc1_gate", "linear_fc1_up"],
    ]

    /// The linear modules of parameters, in their order.
    ///
    /// An embedding that is the output layer as well is none of them.
    public static func all(in parameters: [Parameter]) -> [AdaptedModule] {
        var names: [String] = []
        var layers: [String: [Linear]] = [:]
        for parameter in parameters {
            guard let linear = parameter.linear, let (name, _) = split(parameter.name),
                !name.hasSuffix("word_embeddings")
            else { continue }
            if layers[name] == nil { names.append(name) }
            layers[name, default: []].append(linear)
        }
        return names.map { AdaptedModule(name: $0, layers: layers[$0] ?? []) }
    }

    /// The module of a weight's name, and which of its matrices it is: `a.b.weight[1]` is 1 of `a.b`.
    static func split(_ weight: String) -> (module: String, piece: Int)? {
        let parts = weight.split(separator: "[")
        guard parts.count <= 2, let path = parts.first, path.hasSuffix(".weight") else { return nil }
        let piece = parts.count == 2 ? Int(parts[1].dropLast()) : 0
        return piece.map { (String(path.dropLast(".weight".count)), $0) }
    }
}
