import BridgeCore
import Datasets
import JSONTree

/// Pairs of answers as tokens.
///
/// - `{"prompt_ids", "chosen_ids", "rejected_ids"}`, as trl's DPOTrainer makes them;
/// - `{"chosen_input_ids", "chosen_labels", "rejected_input_ids", "rejected_labels"}`, with whole sequences and further keys of a
///   row of tokens after the same prefixes.
extension TokenizedSource {
    private static let sides = ["chosen", "rejected"]
    private static let promptKey = "prompt_ids"

    /// The samples of the chosen and of the rejected answer of a row.
    ///
    /// - Parameters:
    ///   - row: The row.
    ///   - trainsPrompt: Whether the tokens of the prompt have labels too.
    /// - Returns: Two samples.
    /// - Throws: As ``sample(at:)``.
    func pair(at row: Int, trainsPrompt: Bool) throws -> [TrainingSample] {
        let json = try file.json(at: row)
        return try file.about(row) {
            guard json[Self.promptKey]?.nonNull != nil else {
                guard !trainsPrompt else {
                    throw BridgeError(
                        .corruptInput,
                        "dataset.loss_mode is full, but the row has no prompt_ids; expected prompt_ids, chosen_ids and rejected_ids"
                    )
                }
                return try Self.sides.map { side in
                    try named("\(side)_") { try sample(of: Self.row(of: side, in: json)) }
                }
            }
            return try Self.sides.map { try sample(of: json, side: $0, trainsPrompt: trainsPrompt) }
        }
    }

    /// The keys of one side without their prefix, and those of both.
    private static func row(of side: String, in json: JSON) -> JSON {
        var own = JSONObject()
        for (key, value) in json.object ?? JSONObject() {
            if key.hasPrefix("\(side)_") {
                own[String(key.dropFirst(side.count + 1))] = value
            } else if !sides.contains(where: { key.hasPrefix("\($0)_") }) {
                own[key] = value
            }
        }
        return .object(own)
    }

    private func sample(of json: JSON, side: String, trainsPrompt: Bool) throws -> TrainingSample {
        let (promptKey, answerKey) = (Self.promptKey, "\(side)_ids")
        func list(_ key: String) throws -> [JSON] {
            guard let list = json[key]?.array, !list.isEmpty else {
                throw BridgeError(
                    .corruptInput,
                    "\(key) is \(json[key].map { $0.array == nil ? $0.kind : "empty" } ?? "missing"), expected a list of tokens"
                )
            }
            return list
        }
        let (prompt, answer) = (try list(promptKey), try list(answerKey))
        var row = JSONObject()
        for (key, value) in json.object ?? JSONObject()
        where key != promptKey && !Self.sides.contains(where: { key == "\($0)_ids" }) { row[key] = value }
        row["input_ids"] = .array(prompt + answer)
        let ignored = JSON(Int(TrainingSample.ignoredLabel))
        row["labels"] = .array((trainsPrompt ? prompt : prompt.map { _ in ignored }) + answer)
        var sample = try named("\(promptKey) and \(answerKey): ") { try self.sample(of: .object(row)) }
        if trainsPrompt { sample.answer = sample.tokens.indices.map { $0 >= prompt.count } }
        return sample
    }

    /// An error about one side with its name.
    private func named<Result>(_ prefix: String, _ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as BridgeError where error.code != .cancelled {
            throw BridgeError(error.code, prefix + error.message, names: error.names, cause: error.cause)
        }
    }
}
