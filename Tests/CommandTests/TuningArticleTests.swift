import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// The commands of the article Two whole tunings, in a row and as they are written, on its toys and without network.
@Suite struct TuningArticleTests {
    private let scratch: TemporaryDirectory

    init() throws {
        scratch = try TemporaryDirectory()
        // A clone of the repository, as far as the commands read it.
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path("Examples"),
            withDestinationPath: "\(Fixtures.repository)/Examples"
        )
    }

    /// Runs the blocks of a tuning, of which the first begins with a toy of the family.
    private func run(_ family: String, has commands: [String]) throws -> BridgeProcess.Outcome {
        let blocks = try CodeBlock.all().filter { $0.document.hasSuffix("/TwoTunings.md") && $0.language == "sh" }
        let start = try #require(blocks.firstIndex { $0.text.hasPrefix("bridge toy --family \(family) ") })
        let rest = blocks[(start + 1)...].prefix { !$0.text.hasPrefix("bridge toy ") }
        let script = ([blocks[start]] + rest).map(\.text).joined()
        for command in commands { #expect(script.contains("\nbridge \(command) "), "the article has no \(command)") }
        try Data(script.utf8).write(to: scratch.url("script"))
        let outcome = try BridgeProcess(
            ["bash", "-euxo", "pipefail", "script"],
            shell: "cd '\(scratch.path)' && PATH=\"$(dirname \"$1\"):$PATH\" && shift && exec \"$@\"",
            environment: ["HF_HUB_OFFLINE": "1", "HF_HOME": scratch.path("cache")]
        ).wait()
        #expect(outcome.status == 0, "\(outcome.output)\n\(outcome.errors)")
        return outcome
    }

    private func json(_ file: String) throws -> JSON { try JSON(contentsOf: scratch.path("work/\(file)")) }

    private func lines(_ file: String) throws -> [JSON] {
        try String(contentsOf: scratch.url("work/\(file)"), encoding: .utf8).split(separator: "\n")
            .map { try JSON(parsing: Array($0.utf8)) }
    }

    /// The loss on rows that are not in the training data falls.
    private func expectLess(_ after: String, than before: String) throws {
        let (before, after) = (try #require(json(before)["loss"]?.double), try #require(json(after)["loss"]?.double))
        #expect(after < before)
    }

    private func expectAdapter(_ directory: String) {
        let files = TemporaryDirectory.content(of: scratch.path("work/\(directory)"))
        #expect(files.contains("adapter_config.json") && files.contains("adapter_model.safetensors"), "\(files)")
    }

    @Test func receiptsFromImagesToTheMergedModel() throws {
        let outcome = try run(
            "gemma3",
            has: [
                "data check", "data preview", "data prepare", "train", "evaluate", "adapter export", "generate",
                "adapter merge",
            ]
        )
        #expect(outcome.output.contains("40 rows: 0 invalid, 0 truncated"))
        let rows = try lines("train.jsonl") + lines("test.jsonl")
        #expect(rows.count == 48)
        for (number, row) in rows.enumerated() {
            let name = "receipts/" + String(String(10000 + number).dropFirst())
            #expect(row["images"] == [.string("\(name).png")])
            let answer = try #require(row["messages"]?.array?.last?["content"]?.string)
            #expect(try JSON(parsing: Array(answer.utf8)) == json("\(name).json"))
        }
        try expectLess("after.json", than: "before.json")
        expectAdapter("adapter")
        for text in ["adapted.txt", "merged.txt"] {
            #expect(try Data(contentsOf: scratch.url("work/\(text)")).count > 1)
        }
        #expect(TemporaryDirectory.content(of: scratch.path("work/tuned")).contains("processor_config.json"))
        #expect(FileManager.default.fileExists(atPath: scratch.path("work/logs/report.html")))
    }

    @Test func chatsFromALogToTheAdapter() throws {
        let outcome = try run(
            "mistral",
            has: ["data check", "train", "evaluate", "adapter export", "generate"]
        )
        #expect(outcome.output.contains("80 rows: 0 invalid, 0 truncated"))
        let log = try String(contentsOf: scratch.url("work/chats.csv"), encoding: .utf8)
        let turns = try (lines("chats.jsonl") + lines("chats-test.jsonl")).compactMap { $0["messages"]?.array?.count }
        #expect(turns.count == 96 && Set(turns) == [2, 4])
        // The head of the columns is a line too.
        #expect(log.split(whereSeparator: \.isNewline).count == turns.reduce(1, +))
        try expectLess("chat-after.json", than: "chat-before.json")
        expectAdapter("chat-adapter")
    }
}
