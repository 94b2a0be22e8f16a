import Foundation
import JSONTree
import TestSupport
import Testing

@testable import bridge

/// What a model generates cannot control the terminal that it is shown on.
@Suite struct TerminalTests {
    private let scratch: TemporaryDirectory
    private var model: String { scratch.path("model") }

    /// A title, a cleared screen, colours, a bell, a carriage return, DEL, 8-bit controls and overridden directions; with a
    /// line break and a tab, which stay, and letters that look like none.
    private static let hostile =
        "a\u{1B}]0;title\u{7}\u{1B}[2J\u{1B}[31mb\rc\u{8}\u{0}\u{7F}\u{9B}5n\u{90}q\u{202E}f\u{2066}g\u{2028}h\n\ti é漢👩‍👩‍👧"
    /// The same as it may be shown.
    private static let shown =
        "a␛]0;title␇␛[2J␛[31mb␍c␈␀␡\u{FFFD}5n\u{FFFD}q\\u{202e}f\\u{2066}g\\u{2028}h\n\ti é漢👩‍👩‍👧"

    /// A model that says nothing else, whatever its weights choose.
    init() throws {
        scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(scratch.url("model/tokenizer.json")) {
            $0.set(
                ["type": "Replace", "pattern": ["Regex": #"(?s)\A.+\z"#], "content": .string(Self.hostile)],
                at: "decoder"
            )
        }
    }

    private static let count = ["--max-new-tokens", "3", "--stop", "never"]

    private func expectShown(_ bytes: [UInt8]) {
        let text = String(decoding: bytes, as: UTF8.self)
        let raw = text.unicodeScalars.filter { PrintableText.isControl($0) && $0 != "\n" && $0 != "\t" }
        #expect(raw.isEmpty, "\(raw.map { String($0.value, radix: 16) }) in \(text)")
        #expect(text.contains(Self.shown), "\(text)")
    }

    @Test func generatedTextIsShownWithoutControlCharacters() throws {
        let arguments = ["generate", "--hf-model", model, "--prompt", "Hello"] + Self.count
        let (bytes, status) = try PseudoTerminal.run(arguments)
        #expect(status == 0)
        expectShown(bytes)
        // In a file it is exact, which also shows that the model says it.
        let piped = try BridgeProcess(arguments).wait()
        #expect(piped.output.contains(Self.hostile), "\(piped.output)")
    }

    @Test func answersOfAChatAreShownWithoutControlCharacters() throws {
        let (bytes, status) = try PseudoTerminal.run(
            ["chat", "--hf-model", model, "--no-history"] + Self.count,
            typed: "Hello\nAgain\n/exit\n",
            // A terminal to which the line editor sends no sequences of its own.
            environment: ["TERM": "dumb"]
        )
        #expect(status == 0)
        // Enter is shown as the line editor has it.
        expectShown(Array(String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n").utf8))
        #expect(String(decoding: bytes, as: UTF8.self).components(separatedBy: Self.shown).count >= 3)
    }

    @Test func errorsAreShownWithoutControlCharacters() throws {
        let (bytes, status) = try PseudoTerminal.run(["inspect", "/\(Self.hostile.replacing("/", with: ""))"])
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(status != 0 && text.hasPrefix("error: "))
        #expect(!text.unicodeScalars.contains { PrintableText.isControl($0) && $0 != "\n" }, "\(text)")
    }
}
