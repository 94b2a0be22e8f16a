public import BridgeCore
import Datasets
import JSONTree

/// Conversations in a JSON or JSONL file, with paths of images.
///
/// Rows are read, rendered and tokenized lazily. See ``SampleEncoder`` for the supervised tokens.
public struct PreloadedSource: SampleSource {
    private let file: RowFile
    private let imageFolder: String
    private let encoder: SampleEncoder
    private let spans = SpanCache()

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: The file: one row per line, or one list of rows.
    ///   - imageFolder: The directory that image paths are relative to; empty for the directory of the file.
    ///   - encoder: Converts conversations to samples.
    /// - Throws: `BridgeError` when the file cannot be read or has no rows.
    public init(path: String, imageFolder: String = "", encoder: SampleEncoder) throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
        self.encoder = encoder
    }

    /// The rows of a file: pairs of answers where the first row is one, otherwise conversations.
    ///
    /// - Parameters:
    ///   - path: The file: one row per line, or one list of rows.
    ///   - imageFolder: The directory that image paths are relative to; empty for the directory of the file.
    ///   - encoder: Converts conversations to samples.
    /// - Returns: The samples, two for each row of pairs.
    /// - Throws: `BridgeError` when the file cannot be read or has no rows.
    public static func orPairs(path: String, imageFolder: String, encoder: SampleEncoder) throws -> any SampleSource {
        let rows = try Self(path: path, imageFolder: imageFolder, encoder: encoder)
        // A first row that cannot be read is reported with all others.
        guard let first = try? rows.file.json(at: 0), PreferenceRow.isOne(first) else { return rows }
        return PreferenceSource(.file(rows.file, imageFolder: rows.imageFolder), encoder: encoder)
    }

    /// The number of rows.
    public var count: Int { file.count }

    /// The location of a row: the file and its first line.
    public func location(of row: Int) -> String { file.name(of: row) }

    /// The conversation of a row, with images not loaded yet.
    ///
    /// - Throws: `BridgeError` with file and line of a row in another format.
    public func conversation(at row: Int) throws -> Conversation {
        let json = try file.json(at: row)
        return try file.about(row) { try ConversationRow.conversation(json, imageFolder: imageFolder) }
    }

    /// The files of the images of a row.
    ///
    /// - Throws: As ``conversation(at:)``.
    public func imageFiles(at row: Int) throws -> [String] { try conversation(at: row).images.files }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` with file and line of a row that cannot be used, such as one with a missing image.
    public func sample(at row: Int) throws -> TrainingSample {
        let json = try file.json(at: row)
        return try file.about(row) {
            let conversation = try ConversationRow.conversation(json, imageFolder: imageFolder)
            encoder.notes.add(json, trainedRoles: encoder.trainedRoles)
            return try encoder.encode(conversation, row: row, spans)
        }
    }
}
