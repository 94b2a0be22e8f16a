import BridgeCore
import JSONTree

/// A row with a prompt and its answer.
///
/// - `{"prompt": …, "completion": …}`, as in trl, in OpenAI's first format and in Megatron Bridge;
/// - `{"input": …, "output": …}`, as in Megatron Bridge and NeMo.
///
/// A prompt is a text or a list of messages, an answer is a text, a message or a list of messages. Images, tools and the
/// system message are the row's, as in ``ConversationRow``.
enum CompletionRow {
    private static let pairs = [(prompt: "prompt", answer: "completion"), (prompt: "input", answer: "output")]
    /// The fields of answers, without which a row has another form.
    static let answerKeys = pairs.map(\.answer)
    /// The fields of prompts and answers.
    static let keys = pairs.flatMap { [$0.prompt, $0.answer] }
    /// The field that Alpaca's rows have beside `input` and `output`.
    static let instructionKey = "instruction"

    /// The row as ``ConversationRow`` reads it; nil for a row of another form.
    ///
    /// - Throws: `BridgeError` with one sentence, without file and line.
    static func row(_ json: JSON) throws -> JSON? {
        guard var object = json.object, !ConversationRow.keys.contains(where: { object[$0]?.nonNull != nil }) else {
            return nil
        }
        let found = pairs.filter { object[$0.answer]?.nonNull != nil }
        guard let pair = found.first else { return nil }
        guard found.count == 1 else {
            throw ConversationRow.wrong("the row has both \(answerKeys[0]) and \(answerKeys[1]), expected one of them")
        }
        guard object[instructionKey]?.nonNull == nil else {
            throw ConversationRow.wrong(
                "the row has \(instructionKey) beside \(pair.answer), expected one text before the answer; write all of it into prompt, "
                    + "and the answer into completion"
            )
        }
        var prompt = try PreferenceRow.messages(object[pair.prompt]?.nonNull, in: pair.prompt, textRole: "user")
        let answer = try PreferenceRow.messages(object[pair.answer], in: pair.answer, textRole: "assistant")
        guard ConversationRow.roleName(answer[0]).map(PreferenceRow.isOfAssistant) == true else {
            throw ConversationRow.wrong(
                "\(pair.answer) does not begin with a turn of the assistant, expected the answer"
            )
        }
        // Answers of the prompt are not the one that is trained.
        for (index, message) in prompt.enumerated()
        where ConversationRow.roleName(message).map(PreferenceRow.isOfAssistant) == true {
            guard var marked = message.object, !TurnMarks.keys.contains(where: { marked[$0]?.nonNull != nil }) else {
                continue
            }
            marked["train"] = .bool(false)
            prompt[index] = .object(marked)
        }
        object = JSONObject(object.filter { $0.key != pair.prompt && $0.key != pair.answer })
        object["messages"] = .array(prompt + answer)
        return .object(object)
    }
}
