import BridgeCore
import BridgeSupport
import Imaging
import JSONTree
import Network
import TensorFiles
import TensorRuntime

/// A row of prepared data with its images as they are stored, made on any thread.
struct PreparedRow: Sendable {
    struct StoredImage: Sendable {
        let width: Int
        let height: Int
        let palettes: [Float]
        let bytes: [UInt8]
    }

    /// The samples without their images.
    let samples: [TrainingSample]
    /// The images of each sample.
    let images: [[StoredImage]]

    init(_ samples: [TrainingSample]) {
        images = samples.map { $0.images.map(Self.stored) }
        self.samples = samples.map { sample in
            var sample = sample
            sample.images = []
            return sample
        }
    }

    private static func stored(_ planes: PixelPlanes) -> StoredImage {
        let palette = PixelPalette(planes)
        return StoredImage(
            width: planes.width,
            height: planes.height,
            palettes: palette?.values ?? Array(repeating: 0, count: 3 * PreparedShard.paletteSize),
            bytes: palette?.indices ?? planes.values.withUnsafeBytes { Array($0) }
        )
    }
}

/// Writes rows into the files that ``PreparedShard`` reads.
struct PreparedWriter {
    private let directory: String
    private let shardByteCount: Int
    private var data: PreparedData

    private var tokens: [Int32] = []
    private var labels: [Int32] = []
    private var answer: [UInt8] = []
    private var sampleOffsets: [Int64] = [0]
    private var rowOffsets: [Int64] = [0]
    private var imageOffsets: [Int64] = [0]
    private var imageSizes: [Int32] = []
    private var pixelOffsets: [Int64] = [0]
    private var palettes: [Float] = []
    private var pixels: [UInt8] = []

    /// The size from which on a file is complete.
    static let standardShardByteCount = 256 << 20

    /// A writer.
    ///
    /// - Parameters:
    ///   - data: The description, without counts and files.
    ///   - directory: The directory, which exists.
    ///   - shardByteCount: The size from which on a file is complete.
    init(_ data: PreparedData, in directory: String, shardByteCount: Int = standardShardByteCount) {
        (self.data, self.directory, self.shardByteCount) = (data, directory, shardByteCount)
    }

    /// Adds a row.
    ///
    /// - Throws: `BridgeError` when a file cannot be written.
    mutating func add(_ row: PreparedRow) throws {
        for (sample, images) in zip(row.samples, row.images) { add(sample, images) }
        rowOffsets.append(Int64(sampleOffsets.count - 1))
        data.counts.rows += 1
        if 8 * tokens.count + 4 * palettes.count + pixels.count >= shardByteCount { try writeShard() }
    }

    private mutating func add(_ sample: TrainingSample, _ images: [PreparedRow.StoredImage]) {
        let count = sample.tokens.count
        tokens += sample.tokens
        labels += sample.labels
        answer +=
            sample.answer.map { $0.map { $0 ? 1 : 0 } } ?? Array(repeating: PreparedShard.withoutAnswer, count: count)
        sampleOffsets.append(Int64(tokens.count))
        for image in images {
            imageSizes += [Int32(clamping: image.height), Int32(clamping: image.width)]
            palettes += image.palettes
            pixels += image.bytes
            pixelOffsets.append(Int64(pixels.count))
        }
        imageOffsets.append(Int64(pixelOffsets.count - 1))
        data.counts.samples += 1
        data.counts.tokens += count
        data.counts.supervised += sample.supervisedCount
        data.counts.images += images.count
        data.counts.longest = max(data.counts.longest, count)
    }

    /// A tensor, with its bytes for a function that writes them.
    private struct Part {
        let name: String
        let type: ElementType
        let shape: [Int]
        let write: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void

        init<Value: BitwiseCopyable>(_ name: String, _ type: ElementType, _ values: [Value], _ shape: [Int]? = nil) {
            (self.name, self.type, self.shape) = (name, type, shape ?? [values.count])
            write = { put in if !values.isEmpty { try values.withUnsafeBytes(put) } }
        }
    }

    private mutating func writeShard() throws {
        var parts = [Part("sample_offsets", .int64, sampleOffsets)]
        let (rows, images) = (rowOffsets.count - 1, pixelOffsets.count - 1)
        if rows < sampleOffsets.count - 1 { parts.append(Part("row_offsets", .int64, rowOffsets)) }
        if images > 0 {
            parts.append(Part("image_offsets", .int64, imageOffsets))
            parts.append(Part("pixel_offsets", .int64, pixelOffsets))
        }
        parts.append(Part("tokens", .int32, tokens))
        parts.append(Part("labels", .int32, labels))
        if images > 0 {
            parts.append(Part("image_sizes", .int32, imageSizes, [images, 2]))
            parts.append(Part("palettes", .float32, palettes, [images, 3, PreparedShard.paletteSize]))
            parts.append(Part("pixels", .uint8, pixels))
        }
        if answer.contains(where: { $0 != PreparedShard.withoutAnswer }) {
            parts.append(Part("answer", .uint8, answer))
        }
        let digits = String(data.shards.count + 1)
        let file = "samples-\(String(repeating: "0", count: max(0, 5 - digits.count)))\(digits).safetensors"
        let path = Files.join(directory, file)
        let header = SafetensorsHeader(tensors: parts.map { ($0.name, $0.type, $0.shape) })
        try Files.replace(path) { write in
            try header.prefix(alignment: 8).withUnsafeBytes(write)
            for part in parts { try part.write(write) }
        }
        data.shards.append(.init(file: file, rows: rows, sha256: try FileHash.sha256(of: path)))
        (tokens, labels, answer) = ([], [], [])
        (sampleOffsets, rowOffsets, imageOffsets, pixelOffsets) = ([0], [0], [0], [0])
        (imageSizes, palettes, pixels) = ([], [], [])
    }

    /// Writes the last rows and the description.
    ///
    /// - Parameters:
    ///   - imageFiles: The files of images that were read.
    ///   - notes: What there is to report about the rows.
    /// - Throws: `BridgeError` when a file cannot be written.
    mutating func finish(imageFiles: [SourceFile], notes: JSON) throws {
        if rowOffsets.count > 1 { try writeShard() }
        data.hasImageFiles = !imageFiles.isEmpty
        data.notes = notes
        if !imageFiles.isEmpty {
            let list: JSON = ["files": .array(imageFiles.map(\.json))]
            try Files.replace(Files.join(directory, PreparedData.imagesName), with: list.text())
        }
        try Files.replace(Files.join(directory, PreparedData.fileName), with: data.json.text())
    }
}
