import BridgeCore
import Datasets
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// The forms of rows with two answers.
@Suite struct PreferenceRowTests {
    private func texts(
        _ text: String
    ) throws -> (chosen: [ChatMessage], rejected: [ChatMessage], supervised: [[Bool]?]) {
        let pair = try PreferenceRow(JSON(parsing: Array(text.utf8))).conversations(imageFolder: "")
        return (pair.chosen.messages, pair.rejected.messages, [pair.chosen.supervised, pair.rejected.supervised])
    }

    /// Messages of alternating roles that begin with the user's.
    private func turns(_ texts: String...) -> [ChatMessage] {
        texts.enumerated().map { ChatMessage(role: $0.offset % 2 == 0 ? "user" : "assistant", content: $0.element) }
    }

    static let forms = [
        #"{"prompt": "Hi", "chosen": "Good", "rejected": "Bad"}"#,
        #"{"question": "Hi", "chosen": "Good", "rejected": "Bad"}"#,
        #"{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "Good"}], "rejected": [{"role": "assistant", "content": "Bad"}]}"#,
        #"{"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Good"}, "rejected": {"from": "gpt", "value": "Bad"}}"#,
        #"{"messages": [{"role": "user", "content": "Hi"}], "chosen": {"role": "assistant", "content": "Good"}, "rejected": {"role": "assistant", "content": "Bad"}}"#,
        #"{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bad"}]}"#,
        // As in UltraFeedback: the prompt once more, and scores.
        #"{"prompt": "Hi", "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bad"}], "score_chosen": 8.5, "score_rejected": 2}"#,
    ]

    @Test(arguments: forms) func everyFormIsRead(_ row: String) throws {
        let (chosen, rejected, supervised) = try texts(row)
        #expect(chosen == turns("Hi", "Good") && rejected == turns("Hi", "Bad"))
        #expect(supervised == [[false, true], [false, true]])
    }

    @Test func earlierTurnsAndTheSystemMessageAreThePrompt() throws {
        let (chosen, rejected, supervised) = try texts(
            #"{"system": "Be short.", "messages": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}], "chosen": "D", "rejected": "E"}"#
        )
        let system = ChatMessage(role: "system", content: "Be short.")
        #expect(chosen == [system] + turns("A", "B", "C", "D") && rejected == [system] + turns("A", "B", "C", "E"))
        #expect(supervised == [[false, false, false, false, true], [false, false, false, false, true]])
    }

    @Test func answersOfSeveralTurnsPartWhereTheyDiffer() throws {
        let (chosen, _, supervised) = try texts(
            #"{"chosen": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}, {"role": "assistant", "content": "D"}], "rejected": [{"role": "user", "content": "A"}, {"role": "assistant", "content": "X"}]}"#
        )
        #expect(chosen.count == 4)
        // The user's turn in an answer is not supervised, as in every conversation; the mark only allows it.
        #expect(supervised == [[false, true, true, true], [false, true]])
    }

    static let wrong: [(row: String, words: String)] = [
        (#"[1]"#, "expected an object"), (#"{"prompt": "Hi", "chosen": "Good"}"#, "rejected is missing"),
        (#"{"chosen": "Good", "rejected": "Bad"}"#, "no prompt"),
        (#"{"prompt": "Hi", "chosen": "Same", "rejected": "Same"}"#, "are the same"),
        (#"{"prompt": "Hi", "chosen": [], "rejected": "Bad"}"#, "chosen is empty"),
        (#"{"prompt": "Hi", "chosen": 3, "rejected": "Bad"}"#, "chosen is"),
        (
            #"{"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}], "chosen": "Good", "rejected": "Bad"}"#,
            "both prompt and messages"
        ),
        (
            #"{"prompt": "Hi", "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good"}], "rejected": "Bad"}"#,
            "expected the same of both"
        ),
        (
            #"{"prompt": "Other", "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Bad"}]}"#,
            "prompt is not the prompt"
        ),
        (
            #"{"chosen": [{"role": "user", "content": "Hi"}], "rejected": [{"role": "user", "content": "Ho"}]}"#,
            "no turn of the assistant"
        ),
        (
            #"{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "A"}], "rejected": [{"role": "user", "content": "Hi"}]}"#,
            "rejected has no turn"
        ),
    ]

    @Test(arguments: wrong) func otherRowsAreRefusedWithTheReason(_ row: String, _ words: String) {
        let error = #expect(throws: BridgeError.self) { _ = try texts(row) }
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func keysOfPairsHaveVerdicts() throws {
        let row = try PreferenceRow(
            JSON(parsing: Array(#"{"prompt": "Hi", "chosen": "A", "rejected": "B", "margin": 2, "wieght": 1}"#.utf8))
        )
        let unread = UnreadKeys(row: row.keys).keys.subtracting(RowKeys.preference.map(\.key))
        #expect(unread == ["wieght"])
    }
}
