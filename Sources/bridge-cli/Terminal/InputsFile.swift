import BridgeCore
import Imaging
import JSONTree
import TensorRuntime

/// A safetensors file with the inputs of a model under transformers' names.
struct InputsFile {
    private var tensors: [(name: String, elementType: ElementType, shape: [Int])] = []
    private var metadata = OutputFile.metadata(of: "process")
    private var bytes: [UInt8] = []

    /// Adds `input_ids`, and with images `pixel_values` as one batch and `image_sizes`.
    mutating func add(_ inputs: ModelInputs, prefix: String) throws {
        note(inputs.prompt, as: "\(prefix)prompt")
        add(inputs.tokenIDs, as: "\(prefix)input_ids", shape: [1, inputs.tokenIDs.count])
        guard !inputs.images.isEmpty else { return }
        let padded = try PixelPlanes.padded(inputs.images, limits: ImageLimits(bytes: .max, side: .max, pixels: .max))
        let shape = [padded.count, 3, padded[0].height, padded[0].width]
        tensors.append(("\(prefix)pixel_values", .float32, shape))
        for planes in padded { planes.values.withUnsafeBytes { bytes.append(contentsOf: $0) } }
        add(inputs.images.flatMap { [$0.height, $0.width] }, as: "\(prefix)image_sizes", shape: [padded.count, 2])
    }

    private mutating func add(_ numbers: [Int], as name: String, shape: [Int]) {
        tensors.append((name, .int64, shape))
        numbers.map { Int64($0).littleEndian }.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    /// Adds a text.
    mutating func note(_ text: String, as name: String) { metadata[name] = .string(text) }

    /// Writes the file atomically.
    func write(to path: String) throws {
        let header = SafetensorsHeader(tensors: tensors, metadata: metadata)
        try Files.replace(path, with: header.prefix() + bytes)
    }
}
