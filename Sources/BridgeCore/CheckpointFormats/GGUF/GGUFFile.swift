import BridgeSupport
package import TensorFiles
import TensorRuntime

/// A GGUF file: metadata, and tensors whose elements are not read yet.
package struct GGUFFile {
    /// A tensor.
    package struct Tensor {
        package var name: String
        /// The elements, in the order of the source; a file lists the sizes from the innermost one on.
        package var view: TensorView
        package var type: GGUFType
        /// What is added to each element; such a tensor is float32.
        package var offset: Float = 0

        package init(name: String, view: TensorView, type: GGUFType, offset: Float = 0) {
            self.name = name
            self.view = view
            self.type = type
            self.offset = offset
        }

        fileprivate var part: PlannedFile.Part {
            if offset != 0 { return .encoded(EncodedTensor(view, as: .shifted(by: offset))) }
            return switch type {
            case .f32: .tensor(view.cast(to: .float32))
            case .f16: .tensor(view.cast(to: .float16))
            case .bf16: .tensor(view.cast(to: .bfloat16))
            case .q8: .encoded(EncodedTensor(view, as: .eightBits))
            case .q4: .encoded(EncodedTensor(view, as: .fourBits))
            }
        }
    }

    private let metadata: [(key: String, value: GGUFValue)]
    private let tensors: [Tensor]

    private static let magic: [UInt8] = Array("GGUF".utf8)
    private static let version: UInt32 = 3
    /// Where tensors start, in bytes from the first one; the default that needs no key.
    private static let alignment = 32
    /// `GGML_MAX_NAME` in ggml.h, with the byte at its end.
    private static let longestName = 63
    private static let mostDimensions = 4

    package init(metadata: [(key: String, value: GGUFValue)], tensors: [Tensor]) {
        (self.metadata, self.tensors) = (metadata, tensors)
    }

    /// The file of a plan.
    ///
    /// - Parameter name: Its path inside the destination.
    /// - Returns: The file.
    /// - Throws: `BridgeError` for names that are there twice or too long, and for numbers that do not fit.
    package func planned(name: String) throws -> PlannedFile {
        var seen: Set<String> = []
        for key in metadata.map(\.key) + tensors.map(\.name) where !seen.insert(key).inserted {
            throw BridgeError(.badPlugin, "\(name) would have \(key) twice; the plugin has to name it once")
        }
        var header = Self.magic
        header.append(littleEndian: Self.version)
        header.append(littleEndian: UInt64(tensors.count))
        header.append(littleEndian: UInt64(metadata.count))
        for (key, value) in metadata {
            header.append(counted: key.utf8)
            try value.encode(into: &header)
        }
        var parts: [PlannedFile.Part] = []
        var offset = 0
        for tensor in tensors {
            let shape = tensor.view.shape.isEmpty ? [1] : tensor.view.shape
            guard tensor.name.utf8.count <= Self.longestName, shape.count <= Self.mostDimensions else {
                throw BridgeError(
                    .badPlugin,
                    "\(name) would have a tensor \(tensor.name) of \(shape.count) dimensions; GGUF has names of up to "
                        + "\(Self.longestName) bytes and up to \(Self.mostDimensions) dimensions"
                )
            }
            header.append(counted: tensor.name.utf8)
            header.append(littleEndian: UInt32(shape.count))
            for size in shape.reversed() { header.append(littleEndian: UInt64(size)) }
            header.append(littleEndian: tensor.type.code)
            header.append(littleEndian: UInt64(offset))
            let part = tensor.part
            parts.append(part)
            offset += part.byteCount
            let padding = Self.padding(after: offset)
            if padding > 0 { parts.append(.bytes([UInt8](repeating: 0, count: padding))) }
            offset += padding
        }
        header += [UInt8](repeating: 0, count: Self.padding(after: header.count))
        return PlannedFile(name: name, parts: [.bytes(header)] + parts)
    }

    private static func padding(after count: Int) -> Int { (alignment - count % alignment) % alignment }
}
