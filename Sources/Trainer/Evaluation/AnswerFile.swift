public import BridgeCore
import Datasets
import JSONTree
import Tokenizers

/// Questions with answers, in a JSON or JSONL file of conversations whose last turn is the assistant's.
///
/// The format is that of ``PreloadedSource``. Accuracy is also counted by the optional `category` of a row.
public struct AnswerFile: Sendable {
    /// A question.
    public struct Question: Sendable, Equatable {
        /// The turns before the answer, with their images.
        public var conversation: Conversation
        /// The answer.
        public var answer: String
        /// The category of the question; nil if the row has none.
        public var category: String?
        /// File and line.
        public var location: String

        /// A question from its parts.
        public init(conversation: Conversation, answer: String, category: String? = nil, location: String) {
            self.conversation = conversation
            self.answer = answer
            self.category = category
            self.location = location
        }
    }

    private let file: RowFile
    private let imageFolder: String

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: The file: one row per line, or one list of rows.
    ///   - imageFolder: The directory that image paths are relative to; empty for the directory of the file.
    /// - Throws: `BridgeError` when the file cannot be read or has no rows.
    public init(path: String, imageFolder: String = "") throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
    }

    /// The number of questions.
    public var count: Int { file.count }

    /// A question.
    ///
    /// - Throws: `BridgeError` with file and line of a row in another format.
    public func question(at row: Int) throws -> Question {
        let json = try file.json(at: row)
        return try file.about(row) {
            var conversation = try ConversationRow.conversation(json, imageFolder: imageFolder)
            guard let last = conversation.messages.popLast(), last.isOfAssistant, !conversation.messages.isEmpty else {
                throw BridgeError(
                    .corruptInput,
                    "the last two turns are not a question and an answer of the assistant, which is expected"
                )
            }
            guard let content = last.fields.last(where: { $0.name == "content" })?.value,
                case .text(let answer) = content
            else {
                throw BridgeError(.corruptInput, "the assistant's answer is not a text, which is expected")
            }
            return Question(
                conversation: conversation,
                answer: answer,
                category: json["category"]?.string,
                location: file.name(of: row)
            )
        }
    }
}
