import BridgeCore
import JSONTree

/// The marks of rows that select the supervised turns.
///
/// A message or a row is marked by any of ``keys``, with a truth value or 0 or 1. Values in between would be weights of
/// the loss, which are not supported, so they are refused. A row may also have a list, with an element for each message
/// or for each turn of the assistant.
enum TurnMarks {
    /// The marks: OpenAI and mistral-finetune (`weight`), axolotl (`train`, `training`), ms-swift and xtuner (`loss`),
    /// torchtune (`masked`, which is the opposite) and others.
    static let keys = [
        "weight", "train", "trainable", "training", "train_on_turn", "loss", "loss_mask", "loss_weight", "loss_scale",
        "masked",
    ]
    /// The names under which a row has a list of marks.
    static let lists = keys + ["loss_masks", "train_mask", "weights"]
    /// Marks of parts of a message, by characters.
    static let details = ["train_detail", "training_detail"]
    /// Marks of a message or a row that the prompt is supervised too, which `dataset.loss_mode=full` does.
    static let prompts = ["train_on_input", "train_on_inputs"]
    private static let inverted: Set<String> = ["masked"]

    /// Whether a message is marked as supervised or as not; nil where nothing marks it.
    ///
    /// - Throws: `BridgeError` for a mark that is neither, and for marks that contradict each other.
    static func mark(of message: JSONObject, at location: String) throws -> Bool? {
        for key in details {
            for detail in message[key]?.nonNull?.array ?? []
            where try truth(detail["train"], "\(location).\(key)") == false {
                throw BridgeError(
                    .corruptInput,
                    "\(location) has \(key), which excludes parts of the message from training, and only whole messages can be; "
                        + "split the message, or mark all of it with \"train\": false"
                )
            }
        }
        for key in prompts where try truth(message[key], "\(location).\(key)") == true {
            throw promptMark(location, key)
        }
        var found: (key: String, value: Bool)?
        for key in keys {
            guard let truth = try truth(message[key], "\(location).\(key)") else { continue }
            let value = inverted.contains(key) ? !truth : truth
            if let found, found.value != value {
                throw BridgeError(.corruptInput, "\(location) has \(found.key) and \(key), which contradict each other")
            }
            found = (key, value)
        }
        return found?.value
    }

    /// For each message of a row whether the row's own mark has it supervised; nil where the row has none.
    ///
    /// - Throws: `BridgeError` for a mark that is neither true nor false, and for a list of another length.
    static func marks(of row: JSON, roles: [String?]) throws -> [Bool?]? {
        for key in prompts where try truth(row[key], key) == true { throw promptMark("the row", key) }
        var result: [Bool?]?
        for key in lists {
            guard let value = row[key]?.nonNull else { continue }
            var marks: [Bool?]
            if let list = value.array {
                let answers = roles.indices.filter { roles[$0] == "assistant" }
                guard list.count == roles.count || list.count == answers.count else {
                    throw BridgeError(
                        .corruptInput,
                        "\(key) has \(list.count) elements for \(roles.count) messages, of which \(answers.count) are the "
                            + "assistant's; expected one for each"
                    )
                }
                marks = roles.map { _ in nil }
                for (element, index) in zip(list, list.count == roles.count ? Array(roles.indices) : answers) {
                    let truth = try truth(element, key)
                    marks[index] = inverted.contains(key) ? truth.map { !$0 } : truth
                }
            } else {
                guard keys.contains(key) else { continue }
                // A number other than 0 and 1 next to the messages is more likely a property of the row than a mark,
                // such as a recorded loss; a `weight` is always a mark.
                let isWeight = ["weight", "loss_weight", "loss_scale"].contains(key)
                guard let truth = try isWeight ? truth(value, key) : (try? truth(value, key)) else { continue }
                marks = roles.map { _ in inverted.contains(key) ? !truth : truth }
            }
            result = zip(result ?? roles.map { _ in nil }, marks).map { $0 == false || $1 == false ? false : $1 ?? $0 }
        }
        return result
    }

    private static func truth(_ json: JSON?, _ name: String) throws -> Bool? {
        switch json {
        case nil, .null?: return nil
        case .bool(let value)?: return value
        case .number(let number)? where number.double == 0 || number.double == 1: return number.double == 1
        case .string(let text)? where ["0", "1", "true", "false"].contains(text.lowercased()):
            return ["1", "true"].contains(text.lowercased())
        case let other?:
            let text = String(decoding: other.text(pretty: false).prefix(40), as: UTF8.self)
            throw BridgeError(
                .corruptInput,
                "\(name) is \(text), expected true or false, or 1 or 0; a turn is trained or not, with no weight in between"
            )
        }
    }

    private static func promptMark(_ location: String, _ key: String) -> BridgeError {
        BridgeError(
            .corruptInput,
            "\(location) has \(key), and which parts are trained is the same for all rows; set dataset.loss_mode=full to train "
                + "prompts too, or remove \(key)"
        )
    }
}
