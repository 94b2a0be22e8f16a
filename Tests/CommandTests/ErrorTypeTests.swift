import BridgeCore
import Foundation
import Imaging
import JSONTree
import Parquet
import TestSupport
import Testing
import Tokenizers

@testable import TensorRuntime
@testable import bridge

/// Every error ends in one place: with a status, a sentence, and a document where that is wanted.
@Suite struct ErrorTypeTests {
    private let scratch: TemporaryDirectory
    private var model: URL { scratch.url("model") }

    init() throws { scratch = try TemporaryDirectory() }

    /// One error of each type that the sources declare, by the type's name.
    private func errors() throws -> [String: any Error] {
        func thrown(_ body: () throws -> Void) -> (any Error)? {
            do { try body() } catch { return error }
            return nil
        }
        let broken = scratch.path("broken.parquet")
        try Data("PAR1 broken PAR1".utf8).write(to: URL(fileURLWithPath: broken))
        let all: [String: (any Error)?] = [
            "BridgeError": BridgeError(.corruptInput, "a"),
            "JSONError": thrown { _ = try JSON(parsing: Array("{".utf8)) },
            "TokenizerError": thrown { _ = try Tokenizer(directory: scratch.path("nothing")) },
            "TemplateError": thrown { _ = try ChatTemplate("{% if %}") },
            "ImageError": thrown {
                _ = try Image(loading: [1, 2], limits: ImageLimits(bytes: 9, side: 9, pixels: 9))
            },
            "ParquetError": thrown { _ = try ParquetFile(path: broken) },
            "LimitError": InstructionLevel.LimitError(),
        ]
        return all.compactMapValues { $0 }
    }

    /// Types that never leave the file or the module that declares them, where a compiler-checked `catch` takes them.
    private static let inner: Set<String> = [
        "Fault", "FollowUpFailure", "HTTPFailure", "NotASize", "Refusal", "Shared", "SkippedRule",
    ]

    @Test func everyErrorTypeOfTheSourcesHasAStatusAndASentence() throws {
        let errors = try errors()
        var declared: Set<String> = []
        let declaration = try Regex(#"(?:struct|enum|class) (\w+): (?:\w+, )*Error\b"#)
        for directory in ["Sources", "Plugins"] {
            let root = URL(filePath: Fixtures.repository).appendingPathComponent(directory)
            // The documentation is built among the sources, with packages of others.
            for name in TemporaryDirectory.content(of: root.path)
            where name.hasSuffix(".swift") && !name.contains(".build/") {
                let text = try String(contentsOf: root.appendingPathComponent(name), encoding: .utf8)
                for match in text.matches(of: declaration) { declared.insert(String(match[1].substring ?? "")) }
            }
        }
        #expect(declared.subtracting(Self.inner) == Set(errors.keys))
        for (name, error) in errors {
            #expect("\(type(of: error))" == name)
            let described = Failure.described(error)
            #expect(described.code == (name == "LimitError" ? .badArgument : .corruptInput), "\(name)")
            #expect(!described.message.isEmpty && !described.message.contains("Error("), "\(described.message)")
        }
        let missing = CocoaError(.fileReadNoSuchFile)
        #expect(Failure.described(missing).code == .fileSystem && !Failure.described(missing).message.isEmpty)
    }

    /// Runs a command as it is and with `--json`, and checks what it says.
    private func expectSentence(_ arguments: [String], status: Int32, naming words: String...) throws {
        for more in [[], ["--json"]] {
            let outcome = try BridgeProcess(arguments + more).wait()
            #expect(outcome.status == status, "\(arguments): \(outcome.status ?? -1) \(outcome.errors)")
            let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
            #expect(lines.count == 1, "\(arguments): \(outcome.errors)")
            for word in words { #expect(outcome.errors.contains(word), "\(arguments): \(outcome.errors)") }
            guard !more.isEmpty else { continue }
            let json = try JSON(parsing: Array(outcome.output.utf8))
            #expect(json[path: "error.message"]?.string.map { !$0.isEmpty } == true, "\(outcome.output)")
        }
    }

    @Test func aDamagedStateOfARunIsASentence() throws {
        let bench = try TrainBench()
        let run = bench.arguments("run", "train.train_iters=2")
        #expect(try BridgeProcess(run).wait().status == 0)
        let state = bench.scratch.url("run/iter_0000002/train_state.json")
        try Data("{\"iteration\": ".utf8).write(to: state)
        try expectSentence(bench.arguments("run", "train.train_iters=3"), status: 4, naming: "train_state.json")
    }

    @Test func whatATokenizerThrowsNamesTheFile() throws {
        try Models.copy("mistral", to: model)
        // A pattern that tries every way to split the text before it gives up.
        try Models.edit(model.appendingPathComponent("tokenizer.json")) {
            $0.set(
                [
                    "type": "Split", "pattern": ["Regex": "(a|a|aa)+$|(a+)+b"], "behavior": "Isolated",
                    "invert": false,
                ],
                at: "pre_tokenizer"
            )
        }
        let text = String(repeating: "a", count: 3000) + "c"
        try Data((text + "\n").utf8).write(to: scratch.url("text"))
        try expectSentence(
            ["tokenize", "--hf-model", model.path, "--file", scratch.path("text")],
            status: 4,
            naming: scratch.path("text"),
            "line 1"
        )
        try Data(JSON.array([.string(text)]).text()).write(to: scratch.url("strings.json"))
        let strings = try BridgeProcess(["process", "strings", model.path, scratch.path("strings.json")]).wait()
        expect(strings, failsWith: 4, mentioning: scratch.path("strings.json"))
    }

    @Test func brokenFilesOfEveryKindAreSentences() throws {
        try Models.copy("ministral3", to: model)
        let files = ["image.png": "\u{89}PNG broken", "rows.json": "[{", "table.parquet": "PAR1 broken PAR1"]
        for (name, text) in files { try Data(text.utf8).write(to: scratch.url(name)) }
        let directory = ["--hf-model", model.path]
        let image = directory + ["--prompt", "a", "--image", scratch.path("image.png")]
        try expectSentence(["generate"] + image, status: 4, naming: scratch.path("image.png"))
        try expectSentence(
            ["generate", "--messages", scratch.path("rows.json")] + directory,
            status: 4,
            naming: "rows.json"
        )
        try expectSentence(
            ["evaluate", "--data", scratch.path("rows.json")] + directory,
            status: 4,
            naming: "rows.json"
        )
        try FileManager.default.createDirectory(at: scratch.url("set"), withIntermediateDirectories: true)
        try FileManager.default.moveItem(at: scratch.url("table.parquet"), to: scratch.url("set/train.parquet"))
        let table = ["--dataset-type", "hf", "--data", scratch.path("set")]
        try expectSentence(["data", "check"] + table + directory, status: 4, naming: "train.parquet")
        try Data("{".utf8).write(to: model.appendingPathComponent("tokenizer.json"))
        try expectSentence(["generate", "--prompt", "a"] + directory, status: 4, naming: "tokenizer.json")
    }

    @Test func wrongUsageBeginsLikeEveryOtherError() throws {
        for arguments in [
            ["bogus"], ["convert"], ["inspect"], ["generate", "--nothing"], ["toy", "--num-layers", "x"],
        ] {
            let outcome = try BridgeProcess(arguments).wait()
            #expect(outcome.status == 64 && outcome.errors.hasPrefix("error: "), "\(outcome.errors)")
        }
    }
}
