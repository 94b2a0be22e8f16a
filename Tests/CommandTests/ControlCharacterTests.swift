import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// Nothing that a file, a server or an argument holds reaches the terminal as a control character.
@Suite struct ControlCharacterTests {
    private let scratch: TemporaryDirectory
    private var model: URL { scratch.url("model") }

    /// A title, a colour, a cleared line, DEL, an 8-bit escape, an override of the direction and a forged message.
    private static let hostile =
        "a\u{1B}]0;title\u{7}\u{1B}[31mb\rc\u{8}d\u{7F}\u{9B}2Je\u{202E}f\u{2066}g\u{2028}h\nerror: forged"

    init() throws {
        scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: model)
    }

    private func expectClean(_ outcome: BridgeProcess.Outcome, _ what: [String], mentions: Bool = true) {
        let text = outcome.output + outcome.errors
        let raw = text.unicodeScalars.filter { PrintableText.isControl($0) && $0 != "\n" && $0 != "\t" }
        #expect(raw.isEmpty, "\(what) printed \(raw.map { String($0.value, radix: 16) })")
        // The text of a sample keeps its lines.
        if what.prefix(2) != ["data", "preview"] {
            #expect(!text.split(separator: "\n").contains { $0.hasPrefix("error: forged") }, "\(what): \(text)")
        }
        #expect(outcome.signal == nil)
        if mentions { #expect(text.contains("]0;title"), "\(what) does not mention it: \(text)") }
    }

    private func run(_ arguments: [String], mentions: Bool = true) throws {
        for more in arguments.contains("--json") ? [[]] : [[], ["--json"]] {
            let outcome = try BridgeProcess(arguments + more).wait()
            expectClean(outcome, arguments + more, mentions: mentions && more.isEmpty)
        }
    }

    @Test func argumentsAreEscaped() throws {
        let hostile = Self.hostile
        for arguments in [
            ["inspect", hostile], ["inspect", "/\(hostile)"], ["verify", hostile, "/\(hostile)"],
            ["convert", "--hf-model", "/\(hostile)", "--megatron-path", scratch.path("out")],
            ["convert", "export", "--megatron-path", "/\(hostile)", "--hf-path", scratch.path("out")],
            ["reshard", "--megatron-path", "/\(hostile)", "--output", scratch.path("out")],
            ["checkpoint", "check", "/\(hostile)"], ["checkpoint", "list", "/\(hostile)"],
            ["generate", "--hf-model", "/\(hostile)", "--prompt", "a"],
            ["generate", "--hf-model", model.path, "--prompt", "a", "--temperature", hostile],
            ["generate", "--hf-model", model.path, "--messages", "/\(hostile)"],
            ["evaluate", "--hf-model", model.path, "--data", "/\(hostile)"],
            ["data", "check", "--hf-model", model.path, "--data", "/\(hostile)"],
            ["tokenize", "--hf-model", model.path, "--file", "/\(hostile)"],
            ["toy", "--family", hostile, "--output", scratch.path("out")], ["plugins", "describe", hostile],
            ["plugins", "doctor", "/\(hostile)"], ["models", "--plugin", "/\(hostile)"], ["recipes", "show", hostile],
            ["recipes", "show", "mistral_7b_finetune_config", "train.\(hostile)=1"],
            ["recipes", "show", "mistral_7b_finetune_config", "train.train_iters=\(hostile)"],
            ["recipes", "show", "mistral_7b_finetune_config", "dataset.train_data_path=\(hostile)"],
            ["recipes", "settings", hostile], ["hub", "ls", hostile],
            ["hub", "download", "a/b", "--revision", hostile],
            [
                "train", "--recipe", "mistral_7b_finetune_config", "--dataset-type", "mock",
                "--pretrained-checkpoint", "/\(hostile)", "dataset.num_images=0",
            ],
            [hostile],
            ["--\(hostile)"], ["process", "strings", model.path, "/\(hostile)"],
        ] { try run(arguments) }
    }

    @Test func whatModelsHoldIsEscaped() throws {
        let hostile = Self.hostile
        let config = model.appendingPathComponent("config.json")
        let plain = try Data(contentsOf: config)
        try Models.edit(config) { $0.set(1, at: hostile.replacing(".", with: "")) }
        try run(["inspect", model.path])
        try run(["inspect", model.path, "--strict"])
        try Models.edit(config) { $0.set(.array([.string(hostile)]), at: "architectures") }
        try run(["inspect", model.path])
        try run(["convert", "--hf-model", model.path, "--megatron-path", scratch.path("out")])
        try plain.write(to: config)

        let directory = scratch.url("tensor")
        try Models.copy("mistral-single-file", to: directory)
        let name = try #require(TemporaryDirectory.content(of: directory.path).first { $0.hasSuffix(".safetensors") })
        let bytes = try [UInt8](Data(contentsOf: directory.appendingPathComponent(name)))
        let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        let header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
        let spelled = String(decoding: JSON.string(hostile).text(pretty: false), as: UTF8.self)
        let renamed = header.replacing("\"model.norm.weight\"", with: spelled)
        #expect(renamed != header)
        let data = Array(bytes[(8 + length)...])
        try (Models.safetensors(renamed, data: 0) + data).write(to: directory.appendingPathComponent(name))
        try run(["inspect", directory.path, "--tensors"])
        try run(["convert", "--hf-model", directory.path, "--megatron-path", scratch.path("out")])
        try run(["verify", directory.path, model.path])
        try run(["generate", "--hf-model", directory.path, "--prompt", "a"])

        try Data("x".utf8).write(to: model.appendingPathComponent("side\(hostile.replacing("/", with: "")).json"))
        try run(
            ["convert", "--hf-model", model.path, "--megatron-path", scratch.path("whole"), "--dry-run"],
            mentions: false
        )
        try run(["convert", "--hf-model", model.path, "--megatron-path", scratch.path("whole")], mentions: false)
    }

    @Test func templatesRolesAndRowsAreEscaped() throws {
        let spelled = String(decoding: JSON.string(Self.hostile).text(pretty: false), as: UTF8.self)
        let messages = scratch.path("messages.json")
        try Data("[{\"role\": \(spelled), \"content\": \"a\"}]".utf8).write(to: URL(fileURLWithPath: messages))
        try run(["generate", "--hf-model", model.path, "--messages", messages], mentions: false)
        let rows = scratch.path("rows.jsonl")
        try Data("{\"messages\": [{\"role\": \(spelled), \"content\": \"a\"}]}\n".utf8).write(
            to: URL(fileURLWithPath: rows)
        )
        for command in [["data", "check"], ["data", "preview"], ["evaluate"]] {
            try run(command + ["--hf-model", model.path, "--data", rows], mentions: false)
        }
        let answer =
            "{\"messages\": [{\"role\": \"user\", \"content\": \(spelled)}, "
            + "{\"role\": \"assistant\", \"content\": \(spelled)}], \(spelled): 1}\n"
        try Data(answer.utf8).write(to: URL(fileURLWithPath: rows))
        for command in [["data", "check"], ["data", "preview"], ["evaluate"]] {
            try run(command + ["--hf-model", model.path, "--data", rows], mentions: false)
        }
        let template = "{{ raise_exception(\(spelled)) }}"
        try Models.edit(model.appendingPathComponent("tokenizer_config.json")) {
            $0.set(.string(template), at: "chat_template")
        }
        try? FileManager.default.removeItem(at: model.appendingPathComponent("chat_template.jinja"))
        try run(["generate", "--hf-model", model.path, "--prompt", "a"])
        let chat = try BridgeProcess(["chat", "--hf-model", model.path], input: "hello\n/\(Self.hostile)\n").wait()
        expectClean(chat, ["chat"])
        let recipe = scratch.path("run.yaml")
        try Data("train:\n  \(spelled): 1\n".utf8).write(to: URL(fileURLWithPath: recipe))
        try run(["recipes", "show", recipe], mentions: false)
    }

    @Test func oneLineStaysOneLineAndAModelKeepsItsOwn() {
        #expect(PrintableText.line("a\nb\tc\rd") == #"a\nb\tc\rd"#)
        #expect(PrintableText.lines("a\nb\tc\rd") == "a\nb\tc\\rd")
        #expect(PrintableText.line("\u{1B}[31m\u{7F}\u{9B}\u{0}") == #"\x1b[31m\x7f\x9b\x00"#)
        #expect(
            PrintableText.line("\u{202E}\u{2066}\u{200F}\u{2028}\u{E0041}")
                == #"\u{202e}\u{2066}\u{200f}\u{2028}\u{e0041}"#
        )
        #expect(PrintableText.line("plain, Grüße, 漢字, 👩‍👩‍👧, عربي") == "plain, Grüße, 漢字, 👩‍👩‍👧, عربي")
        // Text cannot hold a style, whatever stands in the place of its codes.
        #expect(!PrintableText.line("\u{1}31m\u{2}").contains("\u{1}"))
    }

    @Test func jsonHasTheSameTextWithoutControlCharacters() throws {
        let text = "\u{1B}\u{7F}\u{9B}\u{202E}\u{E0041}\n\t\"\\ü"
        let document: JSON = ["key": .string(text), "list": [.string(text)]]
        let printed = PrintableText.json(String(decoding: document.text(), as: UTF8.self))
        #expect(!printed.unicodeScalars.contains { PrintableText.isControl($0) && $0 != "\n" })
        #expect(try JSON(parsing: Array(printed.utf8)) == document)
    }
}
