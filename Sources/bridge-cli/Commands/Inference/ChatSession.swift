import BridgeCore
import JSONTree

/// The messages so far, as they are saved, and the images for the next message.
struct ChatSession {
    /// The images for the next message: paths, addresses or data: URLs.
    var pending: [String] = []
    /// The messages in the form of `bridge generate --messages`.
    private(set) var messages: [JSON] = []

    /// A new conversation.
    init(system: String?) { set(system: system) }

    /// A saved conversation.
    ///
    /// - Throws: `BridgeError` for a file that is none, and for one with tools, which a chat has no answers of.
    init(contentsOf path: String) throws {
        let conversation = try Conversation(contentsOf: path)
        let json = try JSON(contentsOf: path)
        guard conversation.tools == nil else {
            throw BridgeError(
                .badArgument,
                "\(path) has tools, which a chat cannot use; use 'bridge generate --messages'"
            )
        }
        messages = json.array ?? json["messages"]?.array ?? []
        guard messages.last?["role"]?.string == "assistant" else {
            throw BridgeError(
                .badArgument,
                "\(path) ends with a message of the \(messages.last?["role"]?.string ?? "user"), expected an answer; use 'bridge generate "
                    + "--messages', or remove the last message"
            )
        }
    }

    /// The number of questions.
    var questionCount: Int { messages.count { $0["role"]?.string == "user" } }

    /// Replaces the system message; nil for none.
    mutating func set(system: String?) {
        if messages.first?["role"]?.string == "system" { messages.removeFirst() }
        if let system { messages.insert(["role": "system", "content": .string(system)], at: 0) }
    }

    /// The conversation with one more question.
    ///
    /// - Throws: `BridgeError` for images that are none.
    func asking(_ question: String) throws -> Conversation {
        try Conversation(json: .array(messages + [record(of: question)]), name: "the chat")
    }

    /// Adds a question and its answer to the conversation.
    mutating func append(_ question: String, answer: String) {
        messages += [record(of: question), ["role": "assistant", "content": .string(answer)]]
        pending = []
    }

    /// Removes the last question and what follows it; false without one.
    mutating func undo() -> Bool {
        guard let last = messages.lastIndex(where: { $0["role"]?.string == "user" }) else { return false }
        messages.removeSubrange(last...)
        return true
    }

    /// Writes the conversation to a file that does not exist.
    ///
    /// - Throws: `BridgeError` for an existing file, and when it cannot be written.
    func save(to path: String) throws {
        guard !Files.exists(path) else {
            throw BridgeError(.destinationTaken, "\(path) already exists; choose another file")
        }
        try Files.replace(path, with: JSON.array(messages).text())
    }

    private func record(of question: String) -> JSON {
        guard !pending.isEmpty else { return ["role": "user", "content": .string(question)] }
        let images = pending.map { image -> JSON in
            let isAddress = ["http://", "https://", "data:"].contains { image.lowercased().hasPrefix($0) }
            // A saved conversation is loaded from any directory.
            return [
                "type": "image", isAddress ? "url" : "path": .string(isAddress ? image : Files.real(image) ?? image),
            ]
        }
        return ["role": "user", "content": .array(images + [["type": "text", "text": .string(question)]])]
    }
}
