public import BridgeCore
import Datasets
import JSONTree
import Tokenizers

/// Questions with their answers, in a JSON or JSONL file of conversations whose last turn is the assistant's.
///
/// The rows have the forms that ``PreloadedSource`` reads. A row may have a `category`, by which right answers are counted.
public struct AnswerFile: Sendable {
    /// A question.
    public struct Question: Sendable, Equatable {
        /// The turns before the answer, with their images.
        public var conversation: Conversation
        /// The answer.
        public var answer: String
        /// What kind of question it is; nil where the row does not say.
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
    ///   - path: The file: a row to a line, or one list of rows.
    ///   - imageFolder: What paths of images are relative to; empty for the file's own directory.
    /// - Throws: `BridgeError` when the file cannot be read or holds no row.
    public init(path: String, imageFolder: String = "") throws {
        file = try RowFile(path: path)
        self.imageFolder = ImagePaths.directory(imageFolder, for: path)
    }

    /// How many questions there are.
    public var count: Int { file.count }

    /// A question.
    ///
    /// - Throws: `BridgeError` that names file and line of a row that has another form.
    public func question(at row: Int) throws -> Question {
        let json = try file.json(at: row)
        return try file.about(row) {
            var conversation = try ConversationRow.conversation(json, imageFolder: imageFolder)
            guard let last = conversation.messages.popLast(), last.isOfAssistant, !conversation.messages.isEmpty else {
                throw BridgeError(
                    .corruptInput,
                    "the conversation does not end with an answer of the assistant to a question, which is expected"
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
