import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge data` shows samples as a run sees them, and finds bad rows before it.
@Suite struct DataCommandTests {
    private func checkpoint(_ name: String) -> String { Fixtures.checkpoint(name) }

    private var images: String { "\(Fixtures.root)/images" }

    private func file(_ rows: [String], in scratch: TemporaryDirectory) throws -> String {
        try Data(rows.joined(separator: "\n").utf8).write(to: scratch.url("rows.jsonl"))
        return scratch.path("rows.jsonl")
    }

    private func row(_ question: String, _ answer: String?, image: String? = nil) -> String {
        let turn = answer.map { ", {\"from\": \"gpt\", \"value\": \"\($0)\"}" } ?? ""
        let images = image.map { ", \"images\": [\"\($0)\"]" } ?? ""
        return "{\"conversations\": [{\"from\": \"human\", \"value\": \"\(question)\"}\(turn)]\(images)}"
    }

    @Test func previewPutsTrainedTokensInBrackets() throws {
        let scratch = try TemporaryDirectory()
        let path = try file([row("a", "b"), row("Look: <image>!", "A cat.\\u001b[31m", image: "rgb.png")], in: scratch)
        let arguments = [
            "data", "preview", "--hf-model", checkpoint("gemma3"), "--data", path, "--row", "1", "--image-folder",
            images,
        ]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.output.contains("<start_of_turn>model\n[[A cat.\\x1b[31m<end_of_turn>]]\n"),
            "\(outcome.output)"
        )
        #expect(outcome.output.contains("<image_soft_token>x16<end_of_image>"), "\(outcome.output)")
        #expect(outcome.errors.contains("1 image (32x32)"))

        let printed = try JSON(parsing: Array(BridgeProcess(arguments + ["--json"]).wait().output.utf8))
        let (ids, labels) = (try #require(printed["input_ids"]?.array), try #require(printed["labels"]?.array))
        #expect(ids.count == labels.count && ids.count == printed["tokens"]?.array?.count)
        #expect(ids.count { $0.integer == 640 } == 16)
        let trained = labels.filter { $0.integer != -100 }
        #expect(trained.count == printed["trained_tokens"]?.integer && trained.count > 2)
        for (id, label) in zip(ids, labels) where label.integer != -100 { #expect(id == label) }
    }

    @Test func pairsOfAnswersAreReadAsSuch() throws {
        let scratch = try TemporaryDirectory()
        let path = try file([#"{"prompt": "a?", "chosen": "yes", "rejected": "no"}"#], in: scratch)
        let options = ["--hf-model", checkpoint("mistral"), "--data", path]
        let preview = try BridgeProcess(["data", "preview"] + options).wait()
        #expect(preview.status == 0 && preview.output.contains("[[ yes</s>]]"), "\(preview.output)\(preview.errors)")
        #expect(preview.output.contains("[[ no</s>]]") && preview.errors.contains("the rejected answer"))
        let printed = try JSON(
            parsing: Array(BridgeProcess(["data", "preview", "--json"] + options).wait().output.utf8)
        )
        #expect(printed["rejected"]?["input_ids"]?.array?.isEmpty == false)
        let checked = try BridgeProcess(["data", "check"] + options).wait()
        #expect(checked.status == 0 && checked.output.contains("1 row: 0 invalid"), "\(checked.output)")
        let trained = try BridgeProcess(["train", "checkpoint.save=\(scratch.path("run"))", "-ms", "3"] + options)
            .wait()
        expect(
            trained,
            failsWith: 4,
            mentioning: "is a pair of a chosen and a rejected answer",
            "preference.loss_type=dpo"
        )
    }

    @Test func checkNamesEveryBadRow() throws {
        let scratch = try TemporaryDirectory()
        let rows = [
            row("a", "b"), "not json", "", row("a", nil), row("<image>", "b", image: "none.png"),
            row("<image><image>", "b", image: "rgb.png"), row("<image> a", "b", image: "rgb.png"),
            row("many words and words and words and words and words", "b"), row("<image> a", "b", image: "bad.txt"),
        ]
        let path = try file(rows, in: scratch)
        let arguments = [
            "data", "check", "--hf-model", checkpoint("gemma3"), "--data", path, "--image-folder", images,
            "--seq-length", "40",
        ]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 1 && outcome.signal == nil, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        // Line 3 is empty and no row.
        for (line, words) in [
            (2, "not valid JSON"), (4, "no turn of the assistant"), (5, "none.png"), (6, "1 image and 2 placeholders"),
            (8, "no supervised token remains after truncation"), (9, "bad.txt"),
        ] {
            let found = lines.filter { $0.contains("rows.jsonl, line \(line): ") && !$0.hasPrefix("warning") }
            #expect(found.count == 1 && found[0].contains(words), "\(line): \(found)")
        }
        #expect(!lines.contains { $0.contains("line 1:") || $0.contains("line 7:") }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("warning: ") && $0.contains("line 8: ") && $0.contains("truncated") })
        #expect(lines.last?.hasPrefix("8 rows: 6 invalid, 1 truncated") == true, "\(lines)")

        let printed = try JSON(parsing: Array(BridgeProcess(arguments + ["--json"]).wait().output.utf8))
        #expect(printed["bad_rows"]?.array?.map { $0["row"] } == [1, 2, 3, 4, 6, 7])
        #expect(printed["rows"] == 8)
    }

    @Test func checkPrintsTheFirstBadRowsAndCountsTheRest() throws {
        let scratch = try TemporaryDirectory()
        let path = try file((0..<27).map { row("a\($0)", nil) }, in: scratch)
        let arguments = ["data", "check", "--hf-model", checkpoint("mistral"), "--data", path]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 1, "\(outcome.errors)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 22 && lines[19].contains("line 20: "), "\(lines)")
        #expect(lines[20] == "and 7 more invalid rows; --json has all of them")
        let printed = try JSON(parsing: Array(BridgeProcess(arguments + ["--json"]).wait().output.utf8))
        #expect(printed["bad_rows"]?.array?.count == 27)
    }

    @Test func whatNothingReadsAndAnEndThatIsNotTrainedAreReported() throws {
        let scratch = try TemporaryDirectory()
        let rows = [
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "wieght": 0}], "id": 1, "odd": 2}"#
        ]
        let path = try file(rows, in: scratch)
        let model = scratch.url("model")
        try FileManager.default.copyItem(atPath: checkpoint("mistral"), toPath: model.path)
        let template =
            "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
        try Data(template.utf8).write(to: model.appendingPathComponent("chat_template.jinja"))
        let arguments = ["--hf-model", model.path, "--data", path]
        let check = try BridgeProcess(["data", "check"] + arguments).wait()
        #expect(check.status == 0, "\(check.errors)")
        #expect(
            check.output.contains(
                "warning: messages[].wieght, odd of the data are ignored: neither the data format nor the "
            ),
            "\(check.output)"
        )
        #expect(check.output.contains("warning: the end of the assistant's turns is not supervised"), "\(check.output)")
        #expect(try BridgeProcess(["data", "check", "--strict"] + arguments).wait().status == 1)
        let preview = try BridgeProcess(["data", "preview"] + arguments).wait()
        #expect(preview.errors.contains("warning: messages[].wieght, odd of the data are ignored"), "\(preview.errors)")
        for command in ["check", "preview"] {
            let printed = try JSON(
                parsing: Array(BridgeProcess(["data", command] + arguments + ["--json"]).wait().output.utf8)
            )
            #expect(printed["unread_keys"] == ["messages[].wieght", "odd"] && printed["rows_without_end"] == 1)
        }
    }

    @Test func checkIsContentWithGoodRows() throws {
        let scratch = try TemporaryDirectory()
        let path = try file([#"{"input_ids": [1, 7, 9], "labels": [-100, 7, -100]}"#], in: scratch)
        let arguments = [
            "data", "check", "--hf-model", checkpoint("mistral"), "--data", path, "--dataset-type", "tokenized",
        ]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output == "1 row: 0 invalid, 0 truncated, 3 tokens, 1 supervised, 0 images\n")
    }

    @Test func anImageTooLongForTheSequenceIsFound() throws {
        let scratch = try TemporaryDirectory()
        let path = try file([row("<image>", "b", image: "rgb.png")], in: scratch)
        let outcome = try BridgeProcess([
            "data", "check", "--hf-model", checkpoint("gemma3"), "--data", path, "--image-folder", images,
            "--seq-length", "12",
        ]).wait()
        #expect(outcome.status == 1 && outcome.output.contains("line 1: the sample has"), "\(outcome.output)")
        #expect(outcome.output.contains("raise dataset.seq_length"))
    }

    @Test func aRowThatIsNotThereAndWrongUsageAreSentences() throws {
        let scratch = try TemporaryDirectory()
        let path = try file([row("a", "b")], in: scratch)
        let model = checkpoint("mistral")
        expect(
            try BridgeProcess.run("data", "preview", "--hf-model", model, "--data", path, "--row", "7"),
            failsWith: 64,
            mentioning: "1 rows",
            "no row 7"
        )
        expect(
            try BridgeProcess.run("data", "check", "--hf-model", model, "--data", scratch.path("none")),
            failsWith: 1,
            mentioning: "none"
        )
        let usage = try BridgeProcess.run("data", "check", "--hf-model", model, "--data", path, "--seq-length", "1")
        #expect(usage.status == 64)
    }

    // MARK: Prepared data

    private func prepared(_ scratch: TemporaryDirectory, _ more: [String] = []) throws -> [String] {
        let path = try file(
            (0..<6).map { row("Question \($0) <image>", "Answer \($0)", image: "rgb.png") } + [row("a", "b")],
            in: scratch
        )
        return ["--hf-model", checkpoint("gemma3"), "--data", path, "dataset.image_folder=\(images)", "-sl", "64"]
            + more
    }

    @Test func prepareKeepsDataForARunAndReportsIt() throws {
        let scratch = try TemporaryDirectory()
        let arguments = ["data", "prepare", "--output", scratch.path("kept")] + (try prepared(scratch))
        let first = try BridgeProcess(arguments + ["dataset.packed_sequence_size=128", "--json"]).wait()
        #expect(first.status == 0, "\(first.errors)")
        let report = try JSON(parsing: Array(first.output.utf8))
        let data = try #require(report["data"]?.array?.first)
        #expect(data["is_new"] == true && data["rows"] == 7 && data["images"] == 6, "\(data)")
        #expect(report["notes"]?.array?.count == 1)
        #expect(report["notes"]?.array?.first?.string?.contains("7 samples packed into") == true)
        let second = try BridgeProcess(arguments).wait()
        #expect(second.output.contains("was prepared before, in \(data["path"]?.string ?? "?")"), "\(second.output)")
        #expect(second.output.contains("Train on it with dataset.prepared_path=\(scratch.path("kept"))"))

        let path = try #require(data["path"]?.string)
        let shown = ["--hf-model", checkpoint("gemma3"), "--data", path]
        let check = try BridgeProcess(["data", "check"] + shown).wait()
        #expect(check.status == 0 && check.output.hasPrefix("7 rows: 0 invalid"), "\(check.output) \(check.errors)")
        let raw = try BridgeProcess(
            ["data", "preview", "--hf-model", checkpoint("gemma3"), "--data", scratch.path("rows.jsonl")]
                + ["--image-folder", images]
        ).wait()
        let preview = try BridgeProcess(["data", "preview"] + shown).wait()
        #expect(
            preview.status == 0 && preview.output == raw.output && raw.output.contains("Answer 0"),
            "\(preview.errors)"
        )
        expect(
            try BridgeProcess(["data", "check"] + shown + ["--loss-mode", "full"]).wait(),
            failsWith: 64,
            mentioning: "--loss-mode has no effect on \(path)"
        )
        expect(
            try BridgeProcess(["data", "check"] + shown + ["--roles-to-train", "user"]).wait(),
            failsWith: 64,
            mentioning: "--roles-to-train has no effect on \(path)"
        )
        let roles = try BridgeProcess(
            ["data", "preview", "--hf-model", checkpoint("gemma3"), "--data", scratch.path("rows.jsonl")]
                + ["--image-folder", images, "--roles-to-train", "user"]
        ).wait()
        #expect(roles.output.contains("[[Question 0") && !roles.output.contains("[[Answer 0"), "\(roles.output)")
        expect(
            try BridgeProcess(["data", "check", "--hf-model", checkpoint("mistral"), "--data", path]).wait(),
            failsWith: 64,
            mentioning: "another tokenizer or processor",
            "vocab_size: "
        )
    }

    @Test func theDefaultDirectoryIsThatOfTheCache() throws {
        let scratch = try TemporaryDirectory()
        var environment = ProcessInfo.processInfo.environment
        environment["HF_HOME"] = scratch.path("home")
        let outcome = try BridgeProcess(["data", "prepare"] + prepared(scratch), environment: environment).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("dataset.prepared_path=\(scratch.path("home/bridge/prepared"))"))
    }
}
