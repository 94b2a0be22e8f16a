public import BridgeCore
import Datasets
import Imaging
import JSONTree

/// Tokenized samples: rows of `input_ids`, `labels` and optional `images`.
///
/// Labels are at the positions of their tokens, not shifted, with -100 for unsupervised tokens, as in transformers. A mask such
/// as `loss_mask`, at the same positions, excludes further tokens. `input_ids` has one image token for each image feature.
/// Padding at the end, which an `attention_mask` of zeros shows, is removed where it has no labels; other padding is refused,
/// and so are several sequences in one row. `RowKeys` lists all keys with their effect.
public struct TokenizedSource: SampleSource {
    let file: RowFile
    private let imageFolder: String
    private let processor: any ModelProcessor
    private let options: ProcessingOptions
    private let notes: DataNotes

    /// Opens a file with one row per line.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - imageFolder: The directory that image paths are relative to; empty for the directory of the file.
    ///   - processor: The model's processor, which prepares images and has the vocabulary.
    ///   - options: The arguments of image processing.
    ///   - notes: Notes about the rows; nil for notes that nobody reads.
    /// - Throws: `BridgeError` when the file cannot be read or has no rows.
    public init(
        path: String,
        imageFolder: String = "",
        processor: any ModelProcessor,
        options: ProcessingOptions = ProcessingOptions(),
        notes: DataNotes? = nil
    ) throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
        self.processor = processor
        self.options = options
        self.notes = notes ?? DataNotes(processor: processor)
    }

    /// The number of rows.
    public var count: Int { file.count }

    /// The location of a row: the file and its first line.
    public func location(of row: Int) -> String { file.name(of: row) }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` with file and line when the row is not JSON, its lists do not fit each other or the
    ///   vocabulary, or its images do not fit its image tokens.
    public func sample(at row: Int) throws -> TrainingSample {
        let json = try file.json(at: row)
        return try file.about(row) { try sample(of: json) }
    }

    /// The files of the images of a row.
    ///
    /// - Throws: `BridgeError` with file and line for images that are not named as expected.
    public func imageFiles(at row: Int) throws -> [String] {
        let json = try file.json(at: row)
        return try file.about(row) { try imageSources(of: json).files }
    }

    /// The sample of a row that was read.
    func sample(of json: JSON) throws -> TrainingSample {
        var tokens = try ids("input_ids", of: json)
        var labels = try ids("labels", of: json)
        guard !tokens.isEmpty else { throw BridgeError(.corruptInput, "input_ids is empty, expected tokens") }
        guard tokens.count == labels.count else {
            throw BridgeError(
                .corruptInput,
                "found \(labels.count) labels for \(tokens.count) input_ids, expected one label per token, not shifted"
            )
        }
        let row = TokenizedRow(json, tokens: tokens)
        notes.add(unreadOfTokens: row.unreadKeys)
        if let marks = try row.marks() {
            labels = zip(labels, marks).map { $1 ? $0 : TrainingSample.ignoredLabel }
        }
        try row.check(imageTokenID: processor.readsTokenTypes ? processor.imageTokens?.featureID : nil)
        let padding = try self.padding(of: json, labels: labels)
        (tokens, labels) = (tokens.dropLast(padding), labels.dropLast(padding))
        let images = try self.images(of: json, tokens: tokens)
        return TrainingSample(tokens: tokens, labels: labels, images: images)
    }

    /// The number of padding tokens at the end.
    ///
    /// Padding on the right changes no other token; padding elsewhere, and labels of padding, would change the loss.
    private func padding(of json: JSON, labels: [Int32]) throws -> Int {
        if let positions = json["position_ids"]?.nonNull,
            positions.array?.enumerated().allSatisfy({ $1.integer == $0 }) != true
                || positions.array?.count != labels.count
        {
            throw BridgeError(
                .corruptInput,
                "position_ids are not 0, 1, 2, ..., which is required; remove them"
            )
        }
        guard let mask = json["attention_mask"]?.nonNull else { return 0 }
        let flags = mask.array?.compactMap(\.integer) ?? []
        guard flags.count == labels.count, mask.array?.count == flags.count, flags.allSatisfy({ $0 == 0 || $0 == 1 })
        else {
            throw BridgeError(
                .corruptInput,
                "attention_mask is not a list of \(labels.count) zeros and ones, one for each of input_ids"
            )
        }
        let present = flags.count { $0 == 1 }
        guard present > 0, flags.prefix(present).allSatisfy({ $0 == 1 }) else {
            throw BridgeError(
                .corruptInput,
                "attention_mask has zeros before its last one; padding is supported at the end of a row only; remove it"
            )
        }
        guard labels[present...].allSatisfy({ $0 == TrainingSample.ignoredLabel }) else {
            throw BridgeError(
                .corruptInput,
                "labels of padding, where attention_mask is 0, are not -100, expected -100"
            )
        }
        return flags.count - present
    }

    private func ids(_ key: String, of json: JSON) throws -> [Int32] {
        guard let list = json[key]?.array else {
            throw BridgeError(.corruptInput, "\(key) is \(json[key]?.kind ?? "missing"), expected a list of numbers")
        }
        let vocabulary = processor.decoder.vocabSize
        return try list.enumerated().map { index, value in
            guard let id = value.integer,
                (0..<vocabulary).contains(id) || (key == "labels" && id == Int(TrainingSample.ignoredLabel))
            else {
                let text = String(decoding: value.text(pretty: false).prefix(40), as: UTF8.self)
                throw BridgeError(
                    .corruptInput,
                    "\(key)[\(index)] is \(text), expected a token below \(vocabulary)\(key == "labels" ? " or -100" : "")"
                )
            }
            return Int32(clamping: id)
        }
    }

    private func imageSources(of json: JSON) throws -> [ImageSource] {
        let fields = ["images", "image"].map { (json[$0] ?? .null).imageList }.filter { !$0.isEmpty }
        guard fields.count <= 1 else {
            throw BridgeError(.corruptInput, "the row has both images and image, expected one of them")
        }
        return try fields.joined().map { try ImagePaths.source($0, in: imageFolder) }
    }

    private func images(of json: JSON, tokens: [Int32]) throws -> [PixelPlanes] {
        let sources = try imageSources(of: json)
        let prepared = try sources.map { try processor.prepared($0, options: options) }
        let features = prepared.reduce(0) { $0 + $1.featureCount }
        let positions = processor.imageTokens.map { image in tokens.count { Int($0) == image.featureID } } ?? 0
        guard features == positions else {
            throw BridgeError(
                .corruptInput,
                "\(sources.count) images have \(features) features and input_ids has \(positions) image tokens; "
                    + "expected one image token for each feature"
            )
        }
        return prepared.flatMap(\.passes)
    }
}
