import BridgeCore
import TensorRuntime

/// A tensor of a checkpoint as float32 numbers.
public struct StoredNumbers: Sendable {
    /// The numbers, row-major.
    public let values: [Float]
    /// The sizes.
    public let shape: [Int]

    /// All tensors of a Hugging Face directory, by name.
    public static func all(in directory: String) throws -> [String: StoredNumbers] {
        try HuggingFaceDirectory(path: directory).tensors.mapValues(numbers)
    }

    /// All tensors of a file, by name.
    public static func all(inFile path: String) throws -> [String: StoredNumbers] {
        try Dictionary(uniqueKeysWithValues: SafetensorsFile(path: path).tensors.map { ($0.name, try numbers($0)) })
    }

    private static func numbers(_ tensor: StoredTensor) throws -> StoredNumbers {
        let bytes = try TensorReader().bytes(of: TensorView(tensor).cast(to: .float32))
        return StoredNumbers(
            values: bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) },
            shape: tensor.shape
        )
    }
}
