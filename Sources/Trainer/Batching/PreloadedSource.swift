public import BridgeCore
import Datasets
import JSONTree

/// Conversations in a JSON or JSONL file of one's own, with paths of images.
///
/// Rows are read, rendered and tokenized when they are asked for. See ``SampleEncoder`` for what is supervised.
public struct PreloadedSource: SampleSource {
    private let file: RowFile
    private let imageFolder: String
    private let encoder: SampleEncoder

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: The file: a row to a line, or one list of rows.
    ///   - imageFolder: What paths of images are relative to; empty for the file's own directory.
    ///   - encoder: Makes samples of conversations.
    /// - Throws: `BridgeError` when the file cannot be read or holds no row.
    public init(path: String, imageFolder: String = "", encoder: SampleEncoder) throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
        self.encoder = encoder
    }

    /// How many rows there are.
    public var count: Int { file.count }

    /// Where a row stands: the file and the line it begins in.
    public func location(of row: Int) -> String { file.name(of: row) }

    /// The conversation of a row, with images not loaded yet.
    ///
    /// - Throws: `BridgeError` that names file and line of a row that has another options.
    public func conversation(at row: Int) throws -> Conversation {
        let json = try file.json(at: row)
        return try file.about(row) { try ConversationRow.conversation(json, imageFolder: imageFolder) }
    }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` that names file and line of a row that cannot be used, an image that is not there among them.
    public func sample(at row: Int) throws -> TrainingSample {
        let json = try file.json(at: row)
        return try file.about(row) {
            let conversation = try ConversationRow.conversation(json, imageFolder: imageFolder)
            encoder.notes.add(json)
            return try encoder.encode(conversation)
        }
    }
}
