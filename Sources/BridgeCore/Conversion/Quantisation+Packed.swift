import BridgeSupport
import TensorFiles
import TensorRuntime

extension Quantisation {
    /// The tensors of a checkpoint in which packed weights stand under the names of the weights, to be dequantised by their
    /// factors.
    ///
    /// Those are the weights of `pack-quantized` of compressed-tensors (0.12): `weight_packed` with the whole numbers,
    /// `weight_shape`, and `weight_scale` with the factors.
    ///
    /// - Parameter tensors: The stored tensors.
    /// - Returns: All tensors, and the names of those whose content the packed weights have taken up.
    /// - Throws: `BridgeError` for weights that are packed in another way.
    static func unpacked(_ tensors: [String: StoredTensor]) throws -> (
        tensors: [String: StoredTensor], shapes: [String]
    ) {
        let packed = tensors.keys.filter { $0.hasSuffix(packedEnding) }.sorted()
        guard !packed.isEmpty else { return (tensors, []) }
        var (all, shapes) = (tensors, [String]())
        for name in packed {
            guard let words = all.removeValue(forKey: name) else { continue }
            let base = String(name.dropLast(packedEnding.count))
            for (ending, meaning) in [
                (".weight_zero_point", "weights with zero points (symmetric: false)"),
                (".weight_g_idx", "groups of columns in another order (actorder: group)"),
            ] where tensors[base + ending] != nil {
                throw BridgeError(
                    .unaccountedTensors,
                    "\(base + ending): \(meaning) are not supported; take the 16-bit model that it was made from",
                    names: [base + ending]
                )
            }
            guard let shape = all.removeValue(forKey: "\(base).weight_shape") else {
                throw BridgeError(
                    .corruptInput,
                    "\(name): \(base).weight_shape is missing, expected its rows and columns"
                )
            }
            let sizes = try sizes(in: shape)
            shapes.append(shape.name)
            let bits = QuantizedFormat.supportedBits.filter { bits in
                guard words.elementType == .int32, words.shape.count == 2, sizes.count == 2, words.shape[0] == sizes[0],
                    (1...Int(Int32.max)).contains(sizes[1])
                else { return false }
                return words.shape[1] == (sizes[1] * bits + 31) / 32
            }
            guard bits.count == 1 else {
                throw BridgeError(
                    .corruptInput,
                    "\(name) holds \(words.elementType.rawValue) \(words.shape) for a weight of the shape \(sizes); expected int32 "
                        + "words with 4 or 8 bits for each element of a row"
                )
            }
            all["\(base).weight"] = StoredTensor(
                name: "\(base).weight",
                elementType: .bfloat16,
                shape: sizes,
                storage: PackedStorage(words, bits: bits[0], columns: sizes[1]),
                offset: 0
            )
        }
        return (all, shapes)
    }

    /// The rows and columns for each factor of a packed weight: some columns of a row.
    ///
    /// - Throws: `BridgeError` for factors that are not as many for each row.
    static func group(of weight: StoredTensor, factors: StoredTensor) throws -> (rows: Int, columns: Int) {
        guard factors.elementType.isFloatingPoint, factors.shape.count == 2, factors.height == weight.height,
            factors.width > 0, weight.width % factors.width == 0
        else {
            throw BridgeError(
                .corruptInput,
                "\(factors.name) holds \(factors.elementType.rawValue) \(factors.shape) for a weight of the shape \(weight.shape); "
                    + "expected floating-point factors [\(weight.height), groups], whose groups divide \(weight.width)"
            )
        }
        return (1, weight.width / factors.width)
    }

    /// How the name of a packed weight ends.
    static let packedEnding = ".weight_packed"

    /// The numbers of a vector of integers.
    private static func sizes(in tensor: StoredTensor) throws -> [Int] {
        guard [.int64, .int32].contains(tensor.elementType), tensor.shape == [2] else {
            throw BridgeError(
                .corruptInput,
                "\(tensor.name) holds \(tensor.elementType.rawValue) \(tensor.shape), expected two integers"
            )
        }
        let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        return bytes.withUnsafeBytes { bytes in
            (0..<2).map { index in
                tensor.elementType == .int64
                    ? Int(bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self).littleEndian)
                    : Int(bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self).littleEndian)
            }
        }
    }
}
