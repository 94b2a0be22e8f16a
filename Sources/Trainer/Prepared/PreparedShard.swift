import BridgeCore
import BridgeSupport
import Imaging
import TensorFiles
import TensorRuntime

/// A safetensors file of prepared data.
///
/// | Tensor | Type and shape | Content |
/// |---|---|---|
/// | `tokens` | int32 [T] | the tokens of all samples, one after the other |
/// | `labels` | int32 [T] | the token where it is supervised, otherwise -100; not shifted |
/// | `sample_offsets` | int64 [S + 1] | where each sample begins in `tokens`, and the end of the last one |
/// | `row_offsets` | int64 [R + 1] | the same for the samples of each row; absent where each row has one sample |
/// | `answer` | uint8 [T] | 1 for tokens of the compared answer of a pair, 2 in samples without one; absent if all are |
/// | `image_offsets` | int64 [S + 1] | the same for the images of each sample; absent without images, as the following ones |
/// | `image_sizes` | int32 [I, 2] | height and width of each image |
/// | `pixel_offsets` | int64 [I + 1] | where each image begins in `pixels` |
/// | `palettes` | float32 [I, 3, 256] | the values that the pixels of each channel have |
/// | `pixels` | uint8 [P] | the indices into `palettes`, [3, height, width] of each image |
///
/// Of an image with more than 256 values in a channel `pixels` has the values themselves, float32.
final class PreparedShard: Sendable {
    let rowCount: Int
    private let path: String
    private let tensors: [String: StoredTensor]
    private let samples: [Int]
    private let rows: [Int]?
    private let images: [Int]?
    private let pixels: [Int]
    private let vocabulary: Int

    /// In `answer`, a token of a sample that has no answer to compare.
    static let withoutAnswer: UInt8 = 2
    /// The number of values in a palette.
    static let paletteSize = 256

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - vocabulary: The number of tokens of the model.
    /// - Throws: `BridgeError` for a file that is damaged.
    init(path: String, vocabulary: Int) throws {
        let file = try SafetensorsFile(path: path)
        let tensors = Dictionary(uniqueKeysWithValues: file.tensors.map { ($0.name, $0) })
        func corrupt(_ what: String) -> BridgeError {
            BridgeError(
                .corruptInput,
                "\(path): \(what); prepare the data again with 'bridge data prepare --overwrite'"
            )
        }
        func tensor(_ name: String, _ type: ElementType, _ shape: [Int?]) throws -> StoredTensor {
            guard let tensor = tensors[name] else { throw corrupt("the tensor \(name) is missing") }
            let fits =
                tensor.elementType == type && tensor.shape.count == shape.count
                && zip(tensor.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
            guard fits else {
                let expected = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
                throw corrupt("\(name) is \(tensor.elementType) \(tensor.shape), expected \(type) [\(expected)]")
            }
            return tensor
        }
        /// Offsets that begin with 0, do not fall and end with a number of items.
        func offsets(_ name: String, items: Int?, of count: Int) throws -> [Int] {
            let stored = try tensor(name, .int64, [items.map { $0 + 1 }])
            let values = try Self.values(of: stored, in: 0..<(stored.shape.first ?? 0), as: Int64.self).map {
                Int($0)
            }
            guard values.first == 0, values.last == count, zip(values, values.dropFirst()).allSatisfy({ $0 <= $1 })
            else { throw corrupt("\(name) is not a list of offsets from 0 to \(count)") }
            return values
        }
        let count = try tensor("tokens", .int32, [nil]).shape[0]
        _ = try tensor("labels", .int32, [count])
        if tensors["answer"] != nil { _ = try tensor("answer", .uint8, [count]) }
        samples = try offsets("sample_offsets", items: nil, of: count)
        guard zip(samples, samples.dropFirst()).allSatisfy({ $0 < $1 }) else { throw corrupt("a sample has no token") }
        let sampleCount = samples.count - 1
        rows = try tensors["row_offsets"] == nil ? nil : offsets("row_offsets", items: nil, of: sampleCount)
        rowCount = (rows?.count ?? samples.count) - 1
        if let rows, !zip(rows, rows.dropFirst()).allSatisfy({ $0 < $1 }) { throw corrupt("a row has no sample") }
        if tensors["image_sizes"] != nil {
            let sizes = try tensor("image_sizes", .int32, [nil, 2])
            let imageCount = sizes.shape[0]
            images = try offsets("image_offsets", items: sampleCount, of: imageCount)
            let byteCount = try tensor("pixels", .uint8, [nil]).shape[0]
            pixels = try offsets("pixel_offsets", items: imageCount, of: byteCount)
            _ = try tensor("palettes", .float32, [imageCount, 3, Self.paletteSize])
        } else {
            (images, pixels) = (nil, [0])
        }
        (self.path, self.tensors, self.vocabulary) = (path, tensors, vocabulary)
    }

    /// Elements of a tensor, from its first one on.
    private static func values<Value: BitwiseCopyable>(
        of tensor: StoredTensor,
        in range: Range<Int>,
        as type: Value.Type
    ) throws -> [Value] {
        let width = MemoryLayout<Value>.size
        return try [Value](unsafeUninitializedCapacity: range.count) { buffer, written in
            let bytes = UnsafeMutableRawBufferPointer(buffer)[..<(width * range.count)]
            try tensor.storage.read(
                at: tensor.offset + width * range.lowerBound,
                into: UnsafeMutableRawBufferPointer(rebasing: bytes)
            )
            written = range.count
        }
    }

    private func values<Value: BitwiseCopyable>(
        _ name: String,
        _ range: Range<Int>,
        as type: Value.Type
    ) throws -> [Value] {
        guard let tensor = tensors[name], !range.isEmpty else { return [] }
        return try Self.values(of: tensor, in: range, as: type)
    }

    /// The samples of a row.
    func sampleRange(ofRow row: Int) -> Range<Int> { rows.map { $0[row]..<$0[row + 1] } ?? row..<row + 1 }

    /// The number of tokens of a sample.
    func length(ofSample sample: Int) -> Int { samples[sample + 1] - samples[sample] }

    /// A sample.
    ///
    /// - Throws: `BridgeError` for a file that cannot be read, and for tokens outside of the vocabulary.
    func sample(at index: Int) throws -> TrainingSample {
        let range = samples[index]..<samples[index + 1]
        let tokens = try values("tokens", range, as: Int32.self)
        let labels = try values("labels", range, as: Int32.self)
        let size = Int32(clamping: vocabulary)
        guard tokens.allSatisfy({ (0..<size).contains($0) }),
            labels.allSatisfy({ (0..<size).contains($0) || $0 == TrainingSample.ignoredLabel })
        else {
            throw BridgeError(
                .corruptInput,
                "\(path): sample \(index) has tokens that are not below \(vocabulary); prepare the data again with 'bridge data prepare --overwrite'"
            )
        }
        let own = images.map { $0[index]..<$0[index + 1] } ?? 0..<0
        var sample = TrainingSample(tokens: tokens, labels: labels, images: try own.map { try image(at: $0) })
        let marks = try values("answer", range, as: UInt8.self)
        if let first = marks.first, first != Self.withoutAnswer { sample.answer = marks.map { $0 != 0 } }
        return sample
    }

    private func image(at index: Int) throws -> PixelPlanes {
        let size = try values("image_sizes", 2 * index..<2 * index + 2, as: Int32.self).map { Int($0) }
        let range = pixels[index]..<pixels[index + 1]
        let (height, width) = (size[0], size[1])
        let (area, overflow) = height.multipliedReportingOverflow(by: width)
        guard height > 0, width > 0, !overflow, area <= range.count, [3 * area, 12 * area].contains(range.count) else {
            throw BridgeError(
                .corruptInput,
                "\(path): image \(index) is \(width)x\(height) pixels in \(range.count) bytes; prepare the data again with 'bridge data prepare --overwrite'"
            )
        }
        let bytes = try values("pixels", range, as: UInt8.self)
        let planes: [Float]
        if range.count == 12 * area {
            planes = bytes.withUnsafeBytes { bytes in
                (0..<3 * area).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        } else {
            let first = 3 * Self.paletteSize * index
            let palettes = try values("palettes", first..<first + 3 * Self.paletteSize, as: Float.self)
            planes = PixelPalette.values(of: bytes, palettes)
        }
        return try BridgeError.ofImage { () throws(ImageError) in
            try PixelPlanes(values: planes, width: width, height: height)
        }
    }
}
