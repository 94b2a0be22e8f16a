import BridgeSupport
public import TensorRuntime

extension ElementFunction {
    /// The names that ``init(huggingFace:)`` takes.
    public static let huggingFaceNames = [
        "silu", "swish", "gelu", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_new", "gelu_fast",
        "gelu_accurate", "relu", "tanh",
    ]

    /// The function that a Hugging Face configuration names.
    ///
    /// Source: `ACT2FN` in `activations.py`, transformers 5.23.
    ///
    /// - Throws: `BridgeError` for one that is not supported.
    public init(huggingFace name: String) throws {
        switch name {
        case "silu", "swish": self = .silu
        case "gelu", "gelu_python": self = .gelu
        case "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu_accurate", "gelu_python_tanh": self = .geluTanh
        case "relu": self = .relu
        case "tanh": self = .tanh
        default:
            throw BridgeError(
                .badConfiguration,
                "hidden_act is \(name); supported: \(Self.huggingFaceNames.joined(separator: ", "))"
            )
        }
    }
}
