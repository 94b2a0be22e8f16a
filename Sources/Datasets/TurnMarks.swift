import BridgeCore
package import JSONTree

/// The marks of rows that select the supervised turns.
///
/// A message or a row is marked by any of ``keys``, with a truth value or 0 or 1. Values in between would be weights of
/// the loss, which are not supported, so they are refused. A row may also have a list, with an element for each message
/// or for each turn of the assistant; a tokenized row one for each token.
package enum TurnMarks {
    /// The marks: OpenAI and mistral-finetune (`weight`), axolotl (`train`, `training`), ms-swift and xtuner (`loss`),
    /// torchtune (`masked`, which is the opposite) and others.
    static let keys = [
        "weight", "train", "trainable", "training", "train_on_turn", "loss", "loss_mask", "loss_weight", "loss_scale",
        "masked",
    ]
    /// The names under which a row has one mark for all turns, or a list of marks.
    static let lists = keys + ["loss_masks", "train_mask", "weights"]
    /// The names under which a tokenized row has one mark for all tokens, or a list of marks; those that TRL writes are
    /// among them.
    static let tokenLists =
        lists + ["loss_weights", "token_weights", "completion_mask", "assistant_masks", "assistant_mask"]
    /// The names that a row uses for nothing but marks.
    ///
    /// A value of another kind under the others is more likely a property of
    /// the row, such as a recorded loss: it is reported, not refused.
    private static let unambiguous: Set<String> = [
        "weight", "loss_weight", "loss_scale", "weights", "loss_masks", "train_mask", "loss_weights", "token_weights",
        "completion_mask", "assistant_masks", "assistant_mask",
    ]
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
                guard let mark = try mark(ofAll: value, key) else { continue }
                marks = roles.map { _ in mark }
            }
            result = zip(result ?? roles.map { _ in nil }, marks).map { $0 == false || $1 == false ? false : $1 ?? $0 }
        }
        return result
    }

    /// The mark of the parts of a message, if all of them have the same one; nil where nothing marks them.
    ///
    /// - Throws: `BridgeError` for an answer of which only some parts are marked as not supervised.
    static func mark(ofParts parts: [JSON], isAnswer: Bool, at location: String) throws -> Bool? {
        let marks = try parts.enumerated().map { index, part in
            try part.object.flatMap { try mark(of: $0, at: "\(location).content[\(index)]") }
        }
        guard let first = marks.firstIndex(of: false) else {
            return marks.allSatisfy { $0 == true } ? marks.first ?? nil : nil
        }
        guard isAnswer, marks.contains(where: { $0 != false }) else { return false }
        throw BridgeError(
            .corruptInput,
            "\(location).content[\(first)] is marked as not to be trained and other parts of the message are not, and only whole "
                + "messages can be; split the message, or mark all of it with \"train\": false"
        )
    }

    /// Which tokens of a tokenized row are supervised by its marks; nil where it has none.
    ///
    /// - Parameters:
    ///   - row: The row.
    ///   - count: The number of its tokens.
    /// - Returns: A mark for each token.
    /// - Throws: `BridgeError` for a mark that is neither true nor false, and for a list of another length.
    package static func tokenMarks(of row: JSON, count: Int) throws -> [Bool]? {
        for key in prompts where try truth(row[key], key) == true { throw promptMark("the row", key) }
        var result: [Bool]?
        for key in tokenLists {
            guard let value = row[key]?.nonNull else { continue }
            var marks: [Bool]
            if let list = value.array {
                guard list.count == count else {
                    throw BridgeError(
                        .corruptInput,
                        "\(key) has \(ByteFormat.counted(list.count, "element")) for \(count) input_ids, expected one for each, at the "
                            + "position of its token as in labels"
                    )
                }
                marks = try list.enumerated().map { index, element in
                    guard let truth = try truth(element, "\(key)[\(index)]") else {
                        throw BridgeError(.corruptInput, "\(key)[\(index)] is null, expected true or false, or 1 or 0")
                    }
                    return inverted.contains(key) ? !truth : truth
                }
            } else {
                guard let mark = try mark(ofAll: value, key) else { continue }
                marks = [Bool](repeating: mark, count: count)
            }
            result = result.map { zip($0, marks).map { $0 && $1 } } ?? marks
        }
        return result
    }

    /// The keys of a row that marks have, with values that are more likely something else and mark nothing.
    static func properties(of row: JSON) -> [String] {
        tokenLists.filter { key in
            guard let value = row[key]?.nonNull, value.array == nil, !unambiguous.contains(key) else { return false }
            return (try? truth(value, key)) == nil
        }
    }

    /// The keys that mark a message whose role is not trained as supervised, which selects nothing.
    ///
    /// One mark for the whole row, and one for each turn of the assistant, is not meant for prompts.
    static func marksOfPrompts(
        of row: JSON,
        _ messages: [JSON],
        roles: [String?],
        _ trained: Set<String>
    ) -> Set<String> {
        func isTrained(_ role: String?) -> Bool { role.map(trained.contains) ?? false }
        var found: Set<String> = []
        for (message, role) in zip(messages, roles) where !isTrained(role) {
            guard let object = message.object else { continue }
            let parts = object["content"]?.array ?? []
            for key in keys + prompts {
                if isTrue(object[key], key) { found.insert("messages[].\(key)") }
                if parts.contains(where: { isTrue($0[key], key) }) { found.insert("messages[].content[].\(key)") }
            }
        }
        for key in lists {
            guard let list = row[key]?.array, list.count == roles.count,
                zip(list, roles).contains(where: { !isTrained($1) && isTrue($0, key) })
            else { continue }
            found.insert(key)
        }
        return found
    }

    private static func isTrue(_ json: JSON?, _ key: String) -> Bool {
        guard let truth = try? truth(json, key) else { return false }
        return inverted.contains(key) ? false : truth
    }

    /// The mark of all turns or tokens of a row; nil for a value that is more likely a property of the row.
    private static func mark(ofAll value: JSON, _ key: String) throws -> Bool? {
        guard let truth = try unambiguous.contains(key) ? truth(value, key) : (try? truth(value, key)) else {
            return nil
        }
        return inverted.contains(key) ? !truth : truth
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
