package import BridgeCore
package import JSONTree

/// A row with a chosen and a rejected answer to the same prompt.
///
/// - `{"prompt": …, "chosen": …, "rejected": …}`, trl's explicit prompt, where `question` is another name of `prompt`;
/// - `{"conversations" or "messages" or "conversation": […], "chosen": …, "rejected": …}`, as in LLaMA-Factory and axolotl;
/// - `{"chosen": […], "rejected": […]}`, trl's implicit prompt: the messages with which both begin.
///
/// A prompt is a text or a list of messages, an answer is a text, a message or a list of messages. Images, tools and the
/// system message are the row's, as in ``ConversationRow``.
package struct PreferenceRow {
    /// The messages of the prompt.
    private let prompt: [JSON]
    private let chosen: [JSON]
    private let rejected: [JSON]
    /// What the row has besides prompt and answers.
    private let rest: JSONObject

    /// The fields that a prompt can be in.
    static let promptKeys = ["prompt", "question"]
    /// The fields of the answers.
    static let answerKeys = ["chosen", "rejected"]

    /// Whether a row has both answers.
    package static func isOne(_ json: JSON) -> Bool { answerKeys.allSatisfy { json[$0]?.nonNull != nil } }

    /// The prompt and the answers of a row.
    ///
    /// - Throws: `BridgeError` with one sentence, without file and line.
    package init(_ json: JSON) throws {
        guard let object = json.object else {
            throw ConversationRow.wrong("the row is \(json.kind), expected an object")
        }
        let answers = try Self.answerKeys.map { try Self.messages(object[$0]?.nonNull, in: $0, textRole: "assistant") }
        let areWhole = answers.map { ConversationRow.roleName($0[0]).map(Self.isOfAssistant) == false }
        guard areWhole[0] == areWhole[1] else {
            throw ConversationRow.wrong(
                "one of chosen and rejected begins with the prompt and the other with the answer, expected the same of both"
            )
        }
        let names = (Self.promptKeys + ConversationRow.keys).filter { object[$0]?.nonNull != nil }
        let own = Self.promptKeys + Self.answerKeys + ConversationRow.keys
        rest = JSONObject(object.filter { !own.contains($0.key) })
        if areWhole[0] {
            let shared = zip(answers[0], answers[1]).prefix { $0 == $1 }.count
            (prompt, chosen, rejected) = (
                Array(answers[0].prefix(shared)), Array(answers[0].dropFirst(shared)),
                Array(answers[1].dropFirst(shared))
            )
            try checkPrompt(object, names, whole: answers[0])
        } else {
            guard let name = names.first else {
                throw ConversationRow.wrong(
                    "the row has answers and no prompt, expected prompt, messages or conversations beside chosen and rejected"
                )
            }
            guard names.count == 1 else {
                throw ConversationRow.wrong("the row has both \(names[0]) and \(names[1]), expected one of them")
            }
            prompt = try Self.messages(object[name], in: name, textRole: "user")
            (chosen, rejected) = (answers[0], answers[1])
        }
        guard chosen != rejected else {
            throw ConversationRow.wrong("chosen and rejected are the same, so neither is preferred; remove the row")
        }
        for (key, answer) in zip(Self.answerKeys, [chosen, rejected])
        where answer.first.flatMap(ConversationRow.roleName).map(Self.isOfAssistant) != true {
            throw ConversationRow.wrong(
                "\(key) has no turn of the assistant after the messages that both answers begin with, expected an answer"
            )
        }
    }

    /// Refuses a prompt beside whole conversations that is another one than theirs.
    private func checkPrompt(_ object: JSONObject, _ names: [String], whole: [JSON]) throws {
        for name in names {
            let isTheirs =
                if let text = object[name]?.string {
                    prompt.contains { ($0["content"]?.nonNull ?? $0["value"])?.string == text }
                } else {
                    object[name]?.array.map { $0 == prompt || $0 == whole } ?? false
                }
            guard isTheirs else {
                throw ConversationRow.wrong(
                    "\(name) is not the prompt with which chosen and rejected begin; remove it, or give the answers alone"
                )
            }
        }
    }

    static func isOfAssistant(_ role: String) -> Bool { ConversationRow.roles[role]?.role == "assistant" }

    /// The messages of a prompt or an answer: a text, a message or a list of messages.
    static func messages(_ value: JSON?, in key: String, textRole: String) throws -> [JSON] {
        switch value {
        case .string(let text)?: return [["role": .string(textRole), "content": .string(text)]]
        case .object?: return [value ?? .null]
        case .array(let list)? where !list.isEmpty: return list
        default:
            throw ConversationRow.wrong(
                "\(key) is \(value.map { $0.array == nil ? $0.kind : "empty" } ?? "missing"), expected a text or messages"
            )
        }
    }

    /// The row of one answer, as ``ConversationRow`` reads it.
    private func row(_ messages: [JSON]) -> JSON {
        var row = rest
        row["messages"] = .array(messages)
        return .object(row)
    }

    /// A row with all messages, for a look at its keys.
    package var keys: JSON { row(prompt + chosen + rejected) }

    /// The keys of a row besides those of ``ConversationRow``.
    package static let describing = [
        "score_chosen", "score_rejected", "chosen_score", "rejected_score", "chosen_rating", "rejected_rating",
        "chosen-rating", "rejected-rating", "chosen_model", "rejected_model", "chosen-model", "rejected-model",
        "margin",
    ]

    /// The conversations with the chosen and with the rejected answer, of which the answer alone is supervised.
    ///
    /// - Parameters:
    ///   - images: The images of the row; nil for those that it names.
    ///   - imageFolder: The directory that their paths are relative to.
    /// - Returns: Both conversations.
    /// - Throws: `BridgeError` with one sentence, without file and line.
    package func conversations(
        images: [ImageSource]? = nil,
        imageFolder: String
    ) throws -> (chosen: Conversation, rejected: Conversation) {
        func read(_ messages: [JSON]) throws -> Conversation {
            guard let images else { return try ConversationRow.conversation(row(messages), imageFolder: imageFolder) }
            return try ConversationRow.conversation(row(messages), images: images, imageFolder: imageFolder)
        }
        // An answer may be one message with the calls of the messages after it, so the prompt is what is counted.
        let start = prompt.isEmpty ? 0 : try read(prompt).messages.count
        func conversation(_ answer: [JSON]) throws -> Conversation {
            var conversation = try read(prompt + answer)
            let marks = conversation.supervised
            conversation.supervised = conversation.messages.indices.map { $0 >= start && marks?[$0] ?? true }
            return conversation
        }
        return (try conversation(chosen), try conversation(rejected))
    }
}
