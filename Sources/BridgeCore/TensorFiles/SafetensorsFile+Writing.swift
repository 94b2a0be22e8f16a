import BridgeSupport
public import JSONTree
public import TensorRuntime

extension SafetensorsFile {
    /// Writes tensors of a model to a file atomically.
    ///
    /// - Parameters:
    ///   - tensors: Names and tensors, in the order of the file.
    ///   - path: The file; one that is there is replaced.
    ///   - metadata: Texts of the header besides `format`.
    /// - Throws: `BridgeError` when it cannot be written.
    public static func write(
        _ tensors: [(name: String, tensor: Tensor)],
        to path: String,
        metadata: JSONObject = JSONObject()
    ) throws {
        let header = SafetensorsHeader(
            tensors: tensors.map { ($0.name, $0.tensor.elementType, $0.tensor.shape) },
            metadata: JSONObject([("format", "pt")] + metadata.map { ($0.key, $0.value) })
        )
        try Files.replace(path) { write in
            try header.prefix(alignment: 8).withUnsafeBytes(write)
            for (_, tensor) in tensors where tensor.count > 0 {
                let plain = tensor.detached.contiguous()
                try plain.engine.download(plain, write)
            }
        }
    }
}
