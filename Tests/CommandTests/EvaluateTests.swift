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

    /// The loss of a file from those of its rows: the mean over tokens, and the standard error of a ratio of sums over samples.
    @Test func theLossIsTheMeanOverSupervisedTokens() throws {
        let scratch = try TemporaryDirectory()
        let rows = (0..<5).map { number -> String in
            let tokens = [1] + (0...2 * number + 1).map { 3 + ($0 * 7 + number) % 50 }
            let labels = [-100, -100] + tokens.dropFirst(2)
            return "{\"input_ids\": \(tokens), \"labels\": \(labels)}"
        }
        func evaluated(_ rows: [String], _ more: String...) throws -> JSON {
            try Data(rows.joined(separator: "\n").utf8).write(to: scratch.url("rows.jsonl"))
            let command = [
                "evaluate", "--hf-model", Fixtures.checkpoint("mistral"), "--data", scratch.path("rows.jsonl"),
            ]
            let outcome = try BridgeProcess(command + ["--dtype", "float32", "--loss", "--json"] + more).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try JSON(parsing: Array(outcome.output.utf8))
        }
        func number(_ json: JSON, _ key: String) throws -> Double { try #require(json[key]?.double) }
        let counts = rows.indices.map { 2 * $0 + 1 }
        let single = try rows.map { try evaluated([$0]) }
        #expect(single.map { $0["tokens"]?.integer } == counts)
        #expect(single.allSatisfy { $0["loss_stderr"] == .null })
        let losses = try single.map { try number($0, "loss") }
        let total = Double(counts.reduce(0, +))
        let mean = zip(losses, counts).reduce(0) { $0 + $1.0 * Double($1.1) } / total
        let squares = zip(losses, counts).reduce(0) { $0 + pow(($1.0 - mean) * Double($1.1), 2) }
        let all = try evaluated(rows)
        #expect(all["samples"] == 5 && all["tokens"]?.integer == Int(total))
        #expect(try abs(number(all, "loss") / mean - 1) < 1e-6)
        #expect(try abs(number(all, "perplexity") / exp(mean) - 1) < 1e-5)
        let error = (5.0 / 4 * squares).squareRoot() / total
        #expect(try abs(number(all, "loss_stderr") / error - 1) < 1e-4)
        #expect(try abs(number(all, "perplexity_stderr") / (exp(mean) * error) - 1) < 1e-4)
        let cut = try evaluated(rows, "--seq-length", "6")
        #expect(cut["truncated_samples"] == 3 && cut["tokens"]?.integer == 1 + 3 + 4 + 4 + 4)
    }

    private func evaluated(_ data: String, model: String, _ more: [String] = []) throws -> JSON {
        let command = ["evaluate", "--hf-model", model, "--data", data, "--dtype", "float32", "--loss", "--json"]
        let outcome = try BridgeProcess(command + more).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSON(parsing: Array(outcome.output.utf8))
    }

    private func prepared(_ data: String, model: String, in scratch: TemporaryDirectory, _ more: [String] = []) throws
        -> String
    {
        let output = scratch.path("kept")
        let command = ["data", "prepare", "--hf-model", model, "--data", data, "--output", output, "--json"]
        let outcome = try BridgeProcess(command + more).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try #require(JSON(parsing: Array(outcome.output.utf8))["data"]?.array?.first?["path"]?.string)
    }

    private func expectSame(_ one: JSON, _ other: JSON) {
        for (key, value) in one.object ?? JSONObject() where key != "seconds" { #expect(other[key] == value, "\(key)") }
        #expect((one["loss"]?.double ?? 0) > 0)
    }

    @Test func preparedDataHasTheLossOfItsFile() throws {
        let scratch = try TemporaryDirectory()
        let rows = try data(in: scratch)
        let kept = try prepared(rows, model: model, in: scratch)
        let own = try evaluated(rows, model: model)
        #expect(own["samples"] == 3)
        expectSame(own, try evaluated(kept, model: model))
        expectSame(
            try evaluated(rows, model: model, ["--seq-length", "70"]),
            try evaluated(kept, model: model, ["--seq-length", "70"])
        )
        let users = ["dataset.roles_to_train=[user]"]
        expectSame(
            try evaluated(rows, model: model, ["--roles-to-train", "human"]),
            try evaluated(try prepared(rows, model: model, in: scratch, users), model: model)
        )
        let command = ["evaluate", "--hf-model", model, "--data", kept]
        expect(try BridgeProcess(command).wait(), failsWith: 64, mentioning: "prepared data", "add --loss")
        for option in [["--loss-mode", "full"], ["--roles-to-train", "user"], ["--date", "2025-03-09"]] {
            expect(
                try BridgeProcess(command + ["--loss"] + option).wait(),
                failsWith: 64,
                mentioning: "\(option[0]) has no effect on \(kept)"
            )
        }
        expect(
            try BridgeProcess(["evaluate", "--hf-model", Fixtures.checkpoint("mistral"), "--loss", "--data", kept])
                .wait(),
            failsWith: 64,
            mentioning: "another tokenizer or processor"
        )
        let pairs = #"{"prompt": "q", "chosen": "a", "rejected": "b"}"#
        try Data(pairs.utf8).write(to: scratch.url("pairs.jsonl"))
        let ofPairs = try prepared(scratch.path("pairs.jsonl"), model: model, in: scratch, ["preference.loss_type=dpo"])
        expect(
            try BridgeProcess(["evaluate", "--hf-model", model, "--loss", "--data", ofPairs]).wait(),
            failsWith: 64,
            mentioning: "has pairs of answers"
        )
    }

    /// Samples that share a row have the loss that they have in rows of their own.
    @Test func packedRowsHaveTheLossOfTheirSamples() throws {
        let scratch = try TemporaryDirectory()
        let model = Fixtures.checkpoint("mistral")
        let packed = "\(Fixtures.root)/training-data/packed.npy"
        let recorded =
            try JSON(parsing: [UInt8](Data(contentsOf: URL(filePath: "\(Fixtures.root)/training-data/packed.json"))))
            .array ?? []
        let rows = try recorded.flatMap { try #require($0.array) }.map { sample -> String in
            func numbers(_ key: String) -> [Int] { (sample[key]?.array ?? []).compactMap(\.integer) }
            // The labels of a packed row are those of the next token.
            let (inputs, labels) = (numbers("inputs"), numbers("labels"))
            return "{\"input_ids\": \(inputs + [max(labels.last ?? 0, 3)]), \"labels\": \([-100] + labels)}"
        }
        try Data(rows.joined(separator: "\n").utf8).write(to: scratch.url("rows.jsonl"))
        let own = try evaluated(scratch.path("rows.jsonl"), model: model)
        #expect(own["samples"]?.integer == rows.count && rows.count > recorded.count)
        let tokenized = ["dataset.dataset_type=tokenized"]
        for data in [packed, try prepared(packed, model: model, in: scratch, tokenized)] {
            let found = try evaluated(data, model: model)
            for key in ["samples", "tokens", "interrupted", "token_accuracy"] {
                #expect(found[key] == own[key], "\(key)")
            }
            let (loss, expected) = (found["loss"]?.double ?? 0, own["loss"]?.double ?? 1)
            #expect(abs(loss / expected - 1) < 1e-6, "\(data)")
        }
    }

    @Test(arguments: [
        (
            ["--loss", "--loss-mode", "full", "--roles-to-train", "user"],
            "--roles-to-train has no effect with --loss-mode full"
        ),
        (["--loss", "--roles-to-train", "usr"], "'usr' is invalid"),
        (["--roles-to-train", "user"], "--roles-to-train has no effect without --loss"),
        (["--loss", "--max-new-tokens", "3"], "--max-new-tokens has no effect with --loss"),
        (["--seq-length", "30"], "--seq-length has no effect without --loss"),
        (["--loss", "--seq-length", "1"], "expected at least 2"),
    ]) func optionsOfTheOtherMeasureAreRefused(_ options: [String], _ words: String) throws {
        let command = ["evaluate", "--hf-model", model, "--data", "rows.jsonl"]
        let outcome = try BridgeProcess(command + options).wait()
        expect(outcome, failsWith: 64, mentioning: words)
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
