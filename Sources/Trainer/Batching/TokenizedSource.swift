public import BridgeCore
import Datasets
import Imaging
import JSONTree

/// Samples that somebody else has tokenized: rows of `input_ids`, `labels` and perhaps `images`.
///
/// Labels stand where their tokens stand, not shifted, with -100 where nothing is supervised, as transformers' models take them.
/// Image tokens are in `input_ids` already, as often as the images have features. Padding at the end, which an
/// `attention_mask` of zeros shows, is removed where it has no labels; other padding is refused.
public struct TokenizedSource: SampleSource {
    private let file: RowFile
    private let imageFolder: String
    private let processor: any ModelProcessor
    private let options: ProcessingOptions

    /// Opens a file with a row to a line.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - imageFolder: What paths of images are relative to; empty for the file's own directory.
    ///   - processor: The model's processor, which prepares images and knows the vocabulary.
    ///   - options: How images are prepared.
    /// - Throws: `BridgeError` when the file cannot be read or holds no row.
    public init(
        path: String,
        imageFolder: String = "",
        processor: any ModelProcessor,
        options: ProcessingOptions = ProcessingOptions()
    ) throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
        self.processor = processor
        self.options = options
    }

    /// How many rows there are.
    public var count: Int { file.count }

    /// Where a row stands: the file and the line it begins in.
    public func location(of row: Int) -> String { file.name(of: row) }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` that names file and line when the row is not JSON, its lists do not fit each other or the
    ///   vocabulary, or its images do not fit its image tokens.
    public func sample(at row: Int) throws -> TrainingSample {
        let json = try file.json(at: row)
        return try file.about(row) {
            var tokens = try ids("input_ids", of: json)
            var labels = try ids("labels", of: json)
            guard !tokens.isEmpty else { throw BridgeError(.corruptInput, "input_ids is empty, expected tokens") }
            guard tokens.count == labels.count else {
                throw BridgeError(
                    .corruptInput,
                    "there are \(labels.count) labels for \(tokens.count) input_ids; labels are not shifted and as many"
                )
            }
            let padding = try self.padding(of: json, labels: labels)
            (tokens, labels) = (tokens.dropLast(padding), labels.dropLast(padding))
            let images = try self.images(of: json, tokens: tokens)
            return TrainingSample(tokens: tokens, labels: labels, images: images)
        }
    }

    /// How many tokens at the end are padding.
    ///
    /// Padding on the right changes no other token; padding elsewhere, and labels of padding, would change the loss.
    private func padding(of json: JSON, labels: [Int32]) throws -> Int {
        if let positions = json["position_ids"]?.nonNull,
            positions.array?.enumerated().allSatisfy({ $1.integer == $0 }) != true
                || positions.array?.count != labels.count
        {
            throw BridgeError(
                .corruptInput,
                "position_ids do not count the tokens from 0 on, which is all that is supported; leave them out"
            )
        }
        guard let mask = json["attention_mask"]?.nonNull else { return 0 }
        let flags = mask.array?.compactMap(\.integer) ?? []
        guard flags.count == labels.count, mask.array?.count == flags.count, flags.allSatisfy({ $0 == 0 || $0 == 1 })
        else {
            throw BridgeError(
                .corruptInput,
                "attention_mask has to be a list of \(labels.count) zeros and ones, as many as input_ids"
            )
        }
        let present = flags.count { $0 == 1 }
        guard present > 0, flags.prefix(present).allSatisfy({ $0 == 1 }) else {
            throw BridgeError(
                .corruptInput,
                "attention_mask has zeros before its last one; padding is supported at the end of a row only, so remove it"
            )
        }
        guard labels[present...].allSatisfy({ $0 == TrainingSample.ignoredLabel }) else {
            throw BridgeError(
                .corruptInput,
                "labels of padding, where attention_mask is 0, are not -100; set them to -100, so that it is not supervised"
            )
        }
        return flags.count - present
    }

    private func ids(_ key: String, of json: JSON) throws -> [Int32] {
        guard let list = json[key]?.array else {
            throw BridgeError(.corruptInput, "\(key) is \(json[key]?.kind ?? "not there"), expected a list of numbers")
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

    private func images(of json: JSON, tokens: [Int32]) throws -> [PixelPlanes] {
        let sources = try (json["images"] ?? .null).imageList.map { try ImagePaths.source($0, in: imageFolder) }
        let prepared = try sources.map { try processor.prepared($0, options: options) }
        let features = prepared.reduce(0) { $0 + $1.featureCount }
        let places = processor.imageTokens.map { image in tokens.count { Int($0) == image.featureID } } ?? 0
        guard features == places else {
            throw BridgeError(
                .corruptInput,
                "\(sources.count) images have \(features) features and input_ids has \(places) image tokens; "
                    + "both have to be as many"
            )
        }
        return prepared.flatMap(\.passes)
    }
}
