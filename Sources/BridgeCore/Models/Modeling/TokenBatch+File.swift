import BridgeSupport
import TensorFiles
public import TensorRuntime

extension TokenBatch {
    /// A batch from a safetensors file with transformers' own keys.
    ///
    /// `input_ids` [B, T] is needed; `attention_mask` [B, T], `position_ids` [B, T], `token_type_ids` [B, T], `pixel_values`
    /// [N, 3, height, width] and `image_sizes` [N, 2] (height and width before padding) are used when they are there.
    /// ``InputTensors`` has the verdict of every other tensor.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - prefix: The prefix of the keys, where a file holds several batches.
    ///   - engine: Where the pixel values are needed.
    /// - Throws: `BridgeError` for a file that cannot be read, and for shapes that do not fit together.
    public init(inputs path: String, prefix: String = "", on engine: any TensorEngine) throws {
        let file = try SafetensorsFile(path: path)
        let own = file.tensors.filter { $0.name.hasPrefix(prefix) }.map {
            (String($0.name.dropFirst(prefix.count)), $0)
        }
        let tensors = Dictionary(own) { first, _ in first }
        func integers(_ name: String, shape: [Int]? = nil) throws -> [Int32]? {
            guard let tensor = tensors[name] else { return nil }
            if let shape, tensor.shape != shape {
                throw BridgeError(.badArgument, "\(path) has \(name) of the shape \(tensor.shape), expected \(shape)")
            }
            return try Self.integers(tensor, path)
        }
        try InputTensors.check(path, names: tensors.keys)
        guard let shape = tensors["input_ids"]?.shape, shape.count == 2, shape[0] > 0, shape[1] > 0,
            let tokens = try integers("input_ids")
        else {
            throw BridgeError(
                .badArgument,
                "\(path) needs input_ids of the shape [batch, tokens], as transformers makes them"
            )
        }
        self.init(
            tokens: tokens,
            batch: shape[0],
            positions: try integers("position_ids", shape: shape),
            isPresent: try integers("attention_mask", shape: shape)?.map { $0 != 0 },
            images: try Self.images(tensors, path, integers("image_sizes"), engine)
        )
        tokenTypes = try integers("token_type_ids", shape: shape)
        if isPresent?.allSatisfy({ $0 }) ?? false { isPresent = nil }
        if let wrong = positions.first(where: { $0 < 0 }) {
            throw BridgeError(.badArgument, "\(path) has a position of \(wrong), expected 0 or more")
        }
    }

    /// For each token the one that follows it, from the `labels` [B, T] of a file: those of transformers, not shifted, -100
    /// where nothing is supervised.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - prefix: The prefix of the keys.
    /// - Returns: B x T tokens, negative where none is supervised; nil when the file has no labels.
    /// - Throws: `BridgeError` for labels that do not fit.
    public func targets(inputs path: String, prefix: String = "") throws -> [Int32]? {
        guard let stored = try SafetensorsFile(path: path).tensors.first(where: { $0.name == "\(prefix)labels" }) else {
            return nil
        }
        guard stored.shape == [batch, length] else {
            throw BridgeError(
                .badArgument,
                "\(path) has labels of the shape \(stored.shape), expected \([batch, length])"
            )
        }
        let labels = try Self.integers(stored, path)
        return labels.indices.map { ($0 + 1) % length == 0 ? -100 : labels[$0 + 1] }
    }

    /// The number that the sum of the losses is divided by, `num_items_in_batch` of a file; nil for the number of labels.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - prefix: The prefix of the keys.
    /// - Returns: The number.
    /// - Throws: `BridgeError` for what is not one number above 0.
    public static func lossDivisor(inputs path: String, prefix: String = "") throws -> Int? {
        let name = "\(prefix)num_items_in_batch"
        guard let stored = try SafetensorsFile(path: path).tensors.first(where: { $0.name == name }) else { return nil }
        let numbers = try stored.shape.reduce(1, *) == 1 ? Self.integers(stored, path) : []
        guard let number = numbers.first, number > 0 else {
            throw BridgeError(.badArgument, "\(path) has a \(name) that is not one number above 0")
        }
        return Int(number)
    }

    private static func integers(_ tensor: StoredTensor, _ path: String) throws -> [Int32] {
        let bytes = try TensorReader().bytes(of: TensorView(tensor))
        func read<Number: FixedWidthInteger>(_ type: Number.Type) -> [Int32] {
            bytes.withUnsafeBytes { buffer in
                stride(from: 0, to: buffer.count, by: MemoryLayout<Number>.size).map {
                    Int32(clamping: Number(littleEndian: buffer.loadUnaligned(fromByteOffset: $0, as: Number.self)))
                }
            }
        }
        switch tensor.elementType {
        case .int64: return read(Int64.self)
        case .int32: return read(Int32.self)
        case .uint8, .bool: return read(UInt8.self)
        default:
            throw BridgeError(
                .badArgument,
                "\(path) has \(tensor.name) as \(tensor.elementType.rawValue), expected int64 or int32"
            )
        }
    }

    private static func images(
        _ tensors: [String: StoredTensor],
        _ path: String,
        _ sizes: [Int32]?,
        _ engine: any TensorEngine
    ) throws -> [Tensor] {
        guard let stored = tensors["pixel_values"] else { return [] }
        guard stored.shape.count == 4, stored.elementType.isFloatingPoint, stored.shape.allSatisfy({ $0 > 0 }) else {
            throw BridgeError(
                .badArgument,
                "\(path) has pixel_values of the shape \(stored.shape), expected floating-point values of [images, channels, height, width]"
            )
        }
        let pixels = Tensor(uninitialized: stored.shape, .float32, on: engine)
        try TensorReader().read(TensorView(stored), into: pixels)
        guard let sizes else { return (0..<stored.shape[0]).map { pixels.at($0) } }
        guard sizes.count == 2 * stored.shape[0] else {
            throw BridgeError(.badArgument, "\(path) has \(stored.shape[0]) images and \(sizes.count / 2) image_sizes")
        }
        return try (0..<stored.shape[0]).map { index in
            let (height, width) = (Int(sizes[2 * index]), Int(sizes[2 * index + 1]))
            guard (1...stored.shape[2]).contains(height), (1...stored.shape[3]).contains(width) else {
                throw BridgeError(
                    .badArgument,
                    "image_sizes of \(path) has \(height) x \(width) for image \(index), but pixel_values has the shape \(stored.shape)"
                )
            }
            return pixels.at(index).narrowed(1, to: 0..<height).narrowed(2, to: 0..<width).contiguous()
        }
    }
}
