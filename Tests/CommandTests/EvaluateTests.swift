import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge evaluate` answers the questions of a file and counts the correct answers.
@Suite struct EvaluateTests {
    private let model = Fixtures.checkpoint("ministral3")
    private let image = "\(Fixtures.root)/images/rgb.png"

    private func row(
        _ question: String,
        _ answer: String,
        system: String? = nil,
        image: String? = nil,
        category: String
    )
        -> JSON
    {
        let first: [JSON] = system.map { [["role": "system", "content": .string($0)]] } ?? []
        var row: JSON = [
            "messages": .array(
                first + [
                    ["role": "user", "content": .string((image == nil ? "" : "<image>") + question)],
                    ["role": "assistant", "content": .string(answer)],
                ]
            ),
            "category": .string(category),
        ]
        if let image { row.set(["path": .string(image)], at: "image") }
        return row
    }

    /// Two rows with the answers that transformers generates, see `Tests/Fixtures/make_generation_fixtures.py`, and one with
    /// another answer.
    private func data(in scratch: TemporaryDirectory) throws -> String {
        func recorded(_ prompt: String) throws -> (text: String, system: String?) {
            let cases = try Fixtures.cases("generation/expected.json", "answers")
            let one = try #require(cases.first { $0["checkpoint"] == "ministral3" && $0["prompt"]?.string == prompt })
            return (try #require(one["text"]?.string), one["system"]?.string)
        }
        let (text, image) = (try recorded("Say hello."), try recorded("What is it?"))
        let rows = [
            row("Say hello.", text.text, system: text.system, category: "text"),
            row("What is it?", image.text, system: image.system, image: self.image, category: "image"),
            row("What is it?", text.text, system: image.system, image: self.image, category: "image"),
        ]
        let lines = rows.map { String(decoding: $0.text(pretty: false), as: UTF8.self) }
        try Data(lines.joined(separator: "\n").utf8).write(to: scratch.url("rows.jsonl"))
        return scratch.path("rows.jsonl")
    }

    @Test func anInterruptKeepsTheCounts() throws {
        let scratch = try TemporaryDirectory()
        let line = String(decoding: row("Say hello.", "no", category: "text").text(pretty: false), as: UTF8.self)
        let count = 200_000
        try Data(String(repeating: line + "\n", count: count).utf8).write(to: scratch.url("rows.jsonl"))
        for more in [["--json"], []] {
            let run = try BridgeProcess(
                ["evaluate", "--hf-model", model, "--data", scratch.path("rows.jsonl"), "--max-new-tokens", "1"] + more
            )
            // Rows are read and signals are handled long before the toy has answered 200,000 questions.
            try run.waitForWork(seconds: 2)
            run.send(SIGINT)
            let outcome = try run.wait()
            #expect(outcome.status == 130, "\(outcome.errors)")
            if more.isEmpty {
                #expect(
                    outcome.output.contains("interrupted after") && outcome.output.contains("of \(count) questions")
                )
            } else {
                let result = try JSON(parsing: Array(outcome.output.utf8))
                let asked = try #require(result["total"]?.integer)
                #expect(result["interrupted"] == true && asked > 0 && asked < count)
            }
        }
    }

    @Test func aTerminalShowsHowManyQuestionsAreDone() throws {
        let scratch = try TemporaryDirectory()
        let arguments = ["evaluate", "--hf-model", model, "--data", try data(in: scratch), "--max-new-tokens", "1"]
        let shown = try PseudoTerminal.run(arguments)
        #expect(String(decoding: shown.bytes, as: UTF8.self).contains("2 of 3, "))
        let hidden = try PseudoTerminal.run(arguments + ["--no-progress"])
        #expect(!String(decoding: hidden.bytes, as: UTF8.self).contains("2 of 3, "))
    }

    @Test func theAnswersOfTransformersAreCorrectAndOthersAreWrong() throws {
        let scratch = try TemporaryDirectory()
        let arguments = [
            "evaluate", "--hf-model", model, "--data", try data(in: scratch), "--date", "2025-03-09",
            "--max-new-tokens", "16", "--dtype", "float32",
        ]
        let outcome = try BridgeProcess(arguments + ["--json"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let result = try JSON(parsing: Array(outcome.output.utf8))
        #expect(result["total"]?.integer == 3 && result["correct"]?.integer == 2)
        #expect(result[path: "categories.text.accuracy"]?.double == 1)
        #expect(result[path: "categories.image.accuracy"]?.double == 0.5)
        let wrong = try #require(result["errors"]?.array)
        #expect(wrong.count == 1)
        #expect(wrong.first?["location"]?.string?.hasSuffix("rows.jsonl, line 3") == true)

        let table = try BridgeProcess(arguments + ["--min-accuracy", "0.7"]).wait()
        #expect(table.status == 1)
        #expect(table.output.contains("2 of 3") && table.output.contains("66.7 %"), "\(table.output)")
        #expect(table.output.contains("line 3: expected"))
    }

    @Test func aRowWithoutAnswerIsNamed() throws {
        let scratch = try TemporaryDirectory()
        try Data(#"{"messages": [{"role": "user", "content": "Who?"}]}"#.utf8).write(to: scratch.url("rows.jsonl"))
        let outcome = try BridgeProcess.run("evaluate", "--hf-model", model, "--data", scratch.path("rows.jsonl"))
        expect(outcome, failsWith: 4, mentioning: "rows.jsonl, line 1")
    }

    @Test(arguments: [
        ["--data", "a"], ["--hf-model", "a"], ["--hf-model", "a", "--data", "b", "--min-accuracy", "95"],
        ["--hf-model", "a", "--data", "b", "--max-new-tokens", "0"],
        ["--hf-model", "a", "--data", "b", "--max-errors-shown", "-1"],
    ])
    func wrongUsageIsStatus64(_ arguments: [String]) throws {
        #expect(try BridgeProcess(["evaluate"] + arguments).wait().status == 64)
    }
}
