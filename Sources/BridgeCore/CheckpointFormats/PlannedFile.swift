package import BridgeSupport
package import TensorFiles
import TensorRuntime

/// A file of a plan: literal bytes and tensors, one after the other.
///
/// Every container is a list of such files, so that all share one writer.
package struct PlannedFile: Sendable {
    /// A part of the file.
    package enum Part: Sendable {
        case bytes([UInt8])
        case tensor(TensorView)
        case encoded(EncodedTensor)

        package var byteCount: Int {
            switch self {
            case .bytes(let bytes): bytes.count
            case .tensor(let view): view.byteCount
            case .encoded(let tensor): tensor.byteCount
            }
        }

        /// The elements that the part is made from; nil for bytes.
        package var view: TensorView? {
            switch self {
            case .bytes: nil
            case .tensor(let view): view
            case .encoded(let tensor): tensor.view
            }
        }
    }

    /// The path inside the directory that is made.
    package let name: String
    /// The parts.
    package let parts: [Part]
    /// The start of each part; the last element is the file's size.
    package let offsets: [Int]

    package init(name: String, parts: [Part]) {
        self.name = name
        self.parts = parts
        var end = 0
        offsets =
            [0]
            + parts.map { part in
                end += part.byteCount
                return end
            }
    }

    /// The size of the file in bytes.
    package var byteCount: Int { offsets[offsets.count - 1] }

    /// A safetensors file.
    package static func safetensors(name: String, header: SafetensorsHeader, views: [TensorView], alignment: Int = 8)
        -> PlannedFile
    {
        safetensors(name: name, header: header, parts: views.map { .tensor($0) }, alignment: alignment)
    }

    /// A safetensors file with a part for each tensor.
    package static func safetensors(name: String, header: SafetensorsHeader, parts: [Part], alignment: Int = 8)
        -> PlannedFile
    {
        PlannedFile(name: name, parts: [.bytes(header.prefix(alignment: alignment))] + parts)
    }

    /// A file with the given bytes.
    package static func literal(name: String, _ bytes: [UInt8]) -> PlannedFile {
        PlannedFile(name: name, parts: [.bytes(bytes)])
    }

    /// A copy of a file.
    package static func copy(name: String, of storage: any ByteStorage) -> PlannedFile {
        let bytes = StoredTensor(
            name: name,
            elementType: .uint8,
            shape: [storage.byteCount],
            storage: storage,
            offset: 0
        )
        return PlannedFile(name: name, parts: storage.byteCount == 0 ? [] : [.tensor(TensorView(bytes))])
    }

    /// Produces the bytes of a range of the file.
    package func read(_ range: Range<Int>, with reader: TensorReader, into target: UnsafeMutableRawBufferPointer) throws
    {
        // The first part that ends after the range's start.
        var (low, high) = (0, parts.count)
        while low < high {
            let middle = (low + high) / 2
            if offsets[middle + 1] > range.lowerBound { high = middle } else { low = middle + 1 }
        }
        while low < parts.count, offsets[low] < range.upperBound {
            let piece = range.clamped(to: offsets[low]..<offsets[low + 1])
            let location = piece.lowerBound - range.lowerBound..<piece.upperBound - range.lowerBound
            let buffer = UnsafeMutableRawBufferPointer(rebasing: target[location])
            switch parts[low] {
            case .bytes(let bytes):
                let start = piece.lowerBound - offsets[low]
                bytes.withUnsafeBytes {
                    buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + piece.count]))
                }
            case .tensor(let view):
                try reader.read(view, at: piece.lowerBound - offsets[low], into: buffer)
            case .encoded(let tensor):
                try reader.read(tensor, at: piece.lowerBound - offsets[low], into: buffer)
            }
            low += 1
        }
    }
}
