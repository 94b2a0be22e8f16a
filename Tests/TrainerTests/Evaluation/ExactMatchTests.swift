import BridgeCore
import Foundation
import TestSupport
import Testing
import Tokenizers
import Trainer

/// Right answers are counted to the letter, and rows without a question and an answer are named.
@Suite struct ExactMatchTests {
    private func file(_ text: String) throws -> (directory: TemporaryDirectory, file: AnswerFile) {
        let directory = try TemporaryDirectory()
        try directory.write(Array(text.utf8), to: "rows.jsonl")
        return (directory, try AnswerFile(path: directory.path("rows.jsonl")))
    }

    private func question(_ answer: String, _ category: String? = nil) -> AnswerFile.Question {
        .init(conversation: Conversation(prompt: "?"), answer: answer, category: category, location: "rows, line 7")
    }

    @Test func onlyTheSameLettersAreRight() {
        var result = ExactMatch()
        result.count("two", to: question("two"))
        result.count(" two\n", to: question("two "))
        result.count("Two", to: question("two"))
        result.count("two!", to: question("two"))
        result.count("", to: question("two"))
        #expect(result.all.questions == 5 && result.all.right == 2)
        #expect(result.all.accuracy == 0.4)
        #expect(result.misses.map(\.prediction) == ["Two", "two!", ""])
        #expect(result.misses.allSatisfy { $0.location == "rows, line 7" && $0.expected == "two" })
    }

    @Test func categoriesAreCountedByThemselves() {
        var result = ExactMatch()
        result.count("red", to: question("red", "colour"))
        result.count("blue", to: question("red", "colour"))
        result.count("two", to: question("two", "count"))
        result.count("two", to: question("two"))
        #expect(result.categories["colour"]?.accuracy == 0.5)
        #expect(result.categories["count"]?.questions == 1)
        #expect(result.categories.count == 2 && result.all.questions == 4)
    }

    @Test func withoutQuestionsThereIsNoAccuracy() { #expect(ExactMatch().all.accuracy == 0) }

    @Test func theLastTurnIsTheAnswerAndTheRestTheQuestion() throws {
        let (directory, file) = try file(
            """
            {"messages": [{"role": "user", "content": "<image>Who?"}, {"role": "assistant", "content": "I."}, \
            {"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here."}], "images": ["a.png"], \
            "category": "place"}
            """
        )
        let question = try file.question(at: 0)
        #expect(file.count == 1 && question.answer == "Here." && question.category == "place")
        let roles = question.conversation.messages.compactMap { $0.fields.first { $0.name == "role" }?.value }
        #expect(roles == ["user", "assistant", "user"])
        #expect(question.conversation.images == [.file(directory.path("a.png"))])
        #expect(question.location.hasSuffix("rows.jsonl, line 1"))
    }

    @Test(arguments: [
        #"{"messages": [{"role": "user", "content": "Who?"}]}"#,
        #"{"messages": [{"role": "assistant", "content": "I."}]}"#,
        #"{"messages": [{"role": "assistant", "content": "I."}, {"role": "user", "content": "Who?"}]}"#,
    ])
    func aRowWithoutQuestionAndAnswerIsNamedWithItsLine(_ row: String) throws {
        let good = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        let (directory, file) = try file("\(good)\n\(row)\n")
        _ = directory
        _ = try file.question(at: 0)
        let error = #expect(throws: BridgeError.self) { try file.question(at: 1) }
        #expect(error?.code == .corruptInput)
        #expect(
            error?.message.contains("rows.jsonl, line 2: the last two turns are not a question and an answer") == true
        )
    }

    @Test func anAnswerWithAnImageIsRefused() throws {
        let (directory, file) = try file(
            """
            {"messages": [{"role": "user", "content": "Draw."}, {"role": "assistant", "content": "<image>"}], \
            "images": ["a.png"]}
            """
        )
        _ = directory
        #expect(throws: BridgeError.self) { try file.question(at: 0) }
    }
}
