import BridgeCore
import Datasets
import Foundation
import TestSupport
import Testing
import Trainer

/// Every key of a tokenized row is honoured, refused or reported.
///
/// Masks are read as TRL 0.24 reads them (`DataCollatorForLanguageModeling`): labels where a mask is 0 become -100.
@Suite struct TokenizedKeysTests {
    /// The labels of a row of the tokens 1, 2, 3, 4, and the keys that are reported.
    private func read(
        _ keys: String,
        labels: [Int] = [-100, 2, 3, 4],
        model: String = "mistral",
        tokens: [Int] = [1, 2, 3, 4]
    ) throws -> (labels: [Int32], unread: [String]) {
        let directory = try TemporaryDirectory()
        let row = "{\"input_ids\": \(tokens), \"labels\": \(labels), \(keys)}"
        let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
        let processor = try DataSupport.processor(model)
        let notes = DataNotes(processor: processor)
        let source = try TokenizedSource(path: path, processor: processor, notes: notes)
        return (try source.sample(at: 0).labels, notes.unreadKeys)
    }

    @Test(arguments: [
        "loss_mask", "loss_masks", "train_mask", "weights", "loss_weights", "token_weights", "completion_mask",
        "assistant_masks", "loss_scale", "weight", "train",
    ])
    func aMaskExcludesTokens(_ key: String) throws {
        for mask in ["[0, 0, 0, 1]", "[false, false, false, true]", "[0.0, 0.0, 0.0, 1.0]"] {
            #expect(try read("\"\(key)\": \(mask)") == ([-100, -100, -100, 4], []))
        }
        #expect(try read("\"\(key)\": [1, 1, 1, 1]") == ([-100, 2, 3, 4], []))
        #expect(try read("\"\(key)\": null") == ([-100, 2, 3, 4], []))
        #expect(try read("\"\(key)\": 0") == ([-100, -100, -100, -100], []))
        #expect(try read("\"\(key)\": true") == ([-100, 2, 3, 4], []))
    }

    @Test func masksExcludeTogether() throws {
        #expect(
            try read(#""masked": [false, false, true, false], "completion_mask": [0, 0, 1, 1]"#).labels
                == [-100, -100, -100, 4]
        )
        #expect(try read(#""masked": [true, false, false, true]"#).labels == [-100, 2, 3, -100])
    }

    @Test(arguments: [
        (#""loss_mask": [0, 1]"#, "loss_mask has 2 elements for 4 input_ids"),
        (#""loss_mask": [0, 1, 0.5, 1]"#, "loss_mask[2] is 0.5, expected true or false"),
        (#""weights": 0.5"#, "weights is 0.5"), (#""loss_mask": [0, 1, null, 1]"#, "loss_mask[2] is null"),
        (#""train_on_inputs": true"#, "the row has train_on_inputs"),
        (#""seq_start_id": [0, 2]"#, "seq_start_id divides the row into several sequences"),
        (#""cu_seqlens": [0, 2, 4]"#, "cu_seqlens divides"), (#""seq_lengths": [2, 2]"#, "seq_lengths divides"),
        (#""segment_ids": [0, 0, 1, 1]"#, "segment_ids divides"),
        (#""inputs_embeds": [[0.5]]"#, "the row has inputs_embeds, which is not supported"),
        (#""pixel_values": [[0.5]]"#, "the row has pixel_values"), (#""videos": ["a.mp4"]"#, "the row has videos"),
    ])
    func whatCannotBeFollowedIsRefused(_ keys: String, _ words: String) throws {
        expectError(mentioning: "rows.jsonl, line 1", words) { try read(keys) }
    }

    @Test(arguments: [
        #""seq_start_id": [0]"#, #""cu_seqlens": [0, 4]"#, #""seq_lengths": [4]"#, #""segment_ids": [3, 3, 3, 3]"#,
        #""token_type_ids": [0, 0, 0, 0]"#, #""special_tokens_mask": [1, 0, 0, 0]"#, #""length": 4, "text": "a""#,
        #""videos": [], "pixel_values": null, "foo": null"#,
    ])
    func whatChangesNothingIsAccepted(_ keys: String) throws {
        #expect(try read(keys) == ([-100, 2, 3, 4], []))
    }

    @Test func keysThatNothingReadsAreReported() throws {
        #expect(try read(#""foo": 1, "loss": 0.7, "prompt_len": 2"#).unread == ["foo", "loss", "prompt_len"])
    }

    /// Of Gemma 3 `token_type_ids` decides which tokens see each other; of Mistral it has no effect in transformers 5.23.
    @Test func tokenTypesAreThoseOfTheImageTokens() throws {
        let id = try #require(DataSupport.processor("gemma3").imageTokens?.featureID)
        let tokens = [2] + [Int](repeating: id, count: 16) + [5]
        let image = "\"images\": [\"\(DataSupport.image)\"]"
        func labels(_ types: [Int]) throws -> [Int32] {
            try read(
                "\(image), \"token_type_ids\": \(types)",
                labels: tokens.map { $0 == 5 ? 5 : -100 },
                model: "gemma3",
                tokens: tokens
            ).labels
        }
        #expect(try labels(tokens.map { $0 == id ? 1 : 0 }).last == 5)
        expectError(mentioning: "token_type_ids is not 1 for each image token") { try labels(tokens.map { _ in 0 }) }
    }

    @Test func everyKeyHasOneVerdict() {
        let keys = RowKeys.tokenized.map(\.key)
        #expect(Set(keys).count == keys.count, "\(keys)")
    }
}
