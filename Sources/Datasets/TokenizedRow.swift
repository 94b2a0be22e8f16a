import BridgeCore
package import JSONTree

/// The keys of a tokenized row beside its tokens and labels.
package struct TokenizedRow {
    private let json: JSON
    private let tokens: [Int32]

    /// A row.
    package init(_ json: JSON, tokens: [Int32]) { (self.json, self.tokens) = (json, tokens) }

    /// The keys that are not used.
    package var unreadKeys: Set<String> {
        let unknown = (json.object ?? JSONObject()).filter {
            !$0.value.isNull && !RowKeys.knownOfTokenized.contains($0.key)
        }
        return Set(unknown.map(\.key) + TurnMarks.properties(of: json))
    }

    /// Which tokens the row's masks supervise; nil where it has none.
    ///
    /// - Throws: `BridgeError` for a mask of another length, or with values between 0 and 1.
    package func marks() throws -> [Bool]? { try TurnMarks.tokenMarks(of: json, count: tokens.count) }

    /// Refuses what would change the result and is not supported.
    ///
    /// - Parameter imageTokenID: The token that image features replace, if token types decide what it sees; nil for a model
    ///   that does not read them.
    /// - Throws: `BridgeError` for several sequences in the row, for tensors in place of tokens and images, for other media,
    ///   and for token types that are not those of the image tokens.
    package func check(imageTokenID: Int?) throws {
        for key in RowKeys.inputs + ConversationRow.mediaKeys where !(json[key] ?? .null).imageList.isEmpty {
            throw wrong(
                "the row has \(key), which is not supported; expected tokens in input_ids and paths of images in images"
            )
        }
        if let imageTokenID, let value = json["token_type_ids"]?.nonNull {
            let types = value.array?.map(\.integer) ?? []
            guard types == tokens.map({ Int($0) == imageTokenID ? 1 : 0 }) else {
                throw wrong(
                    "token_type_ids is not 1 for each image token of input_ids and 0 for all others, which is required; remove it"
                )
            }
        }
        for key in RowKeys.sequenceStarts {
            guard let value = json[key]?.nonNull else { continue }
            let starts = value.array?.map(\.integer) ?? [value.integer]
            guard starts == [0] || starts == [0, tokens.count] else { throw packed(key) }
        }
        for key in RowKeys.sequenceLengths {
            guard let value = json[key]?.nonNull else { continue }
            guard (value.array?.map(\.integer) ?? [value.integer]) == [tokens.count] else { throw packed(key) }
        }
        for key in RowKeys.sequenceNumbers {
            guard let list = json[key]?.nonNull?.array else { continue }
            guard list.allSatisfy({ $0 == list.first }) else { throw packed(key) }
        }
    }

    private func packed(_ key: String) -> BridgeError {
        wrong(
            "\(key) divides the row into several sequences, expected one for each row; write each sequence as a row of its own, and "
                + "set dataset.pack_sequences_in_batch=true to train several at once"
        )
    }

    private func wrong(_ message: String) -> BridgeError { BridgeError(.corruptInput, message) }
}
