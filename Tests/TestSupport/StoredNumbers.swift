import BridgeCore
import TensorRuntime

/// A tensor of a checkpoint as float32 numbers.
public struct StoredNumbers: Sendable {
    /// The numbers, row-major.
    public let values: [Float]
    /// The sizes.
    public let shape: [Int]

    /// All tensors of a Hugging Face folder, by name.
    public static func all(in folder: String) throws -> [String: StoredNumbers] {
        try HuggingFaceFolder(path: folder).tensors.mapValues { tensor in
            let bytes = try TensorReader().bytes(of: TensorView(tensor).cast(to: .float32))
            return StoredNumbers(
                values: bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) },
                shape: tensor.shape
            )
        }
    }
}
