import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge chat` over a pipe, line by line.
@Suite struct ChatTests {

    /// What every run gets: float32, since two runs that add up in another order may only differ in the last bits, and
    /// tokens are compared.
    private static let options = [
        "--max-new-tokens", "6", "--ignore-eos", "--date", "2025-01-01", "--dtype", "float32",
    ]

    private func directory(_ model: String) -> String { Fixtures.checkpoint(model) }

    private func chat(_ model: String, _ lines: String..., more: [String] = []) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            ["chat", "--hf-model", directory(model)] + Self.options + more,
            input: lines.map { $0 + "\n" }.joined()
        ).wait()
    }

    /// Whether nothing went wrong; models that recommend sampling are told that they are not followed.
    private static func holdsNotesOnly(_ errors: String) -> Bool {
        errors.split(separator: "\n").allSatisfy { line in
            ["note: generation_config.json recommends sampling", "warning: --date has no effect"].contains {
                line.hasPrefix($0)
            }
        }
    }

    private func image(_ name: String) -> String {
        "\(Fixtures.root)/images/\(name)"
    }

    private func answer(_ model: String, _ prompt: [String]) throws -> Answer {
        try Answer(["--hf-model", directory(model)] + prompt + Self.options)
    }

    /// What `generate` outputs for one question.
    private func generated(_ model: String, _ prompt: String, _ more: String...) throws -> String {
        try answer(model, ["--prompt", prompt] + more).text + "\n"
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func aSecondTurnHasTheContextOfTheFirst(_ model: String) throws {
        let first = try answer(model, ["--prompt", "Hello"])
        let outcome = try chat(model, "Hello", "", "Hello")
        #expect(outcome.status == 0)
        #expect(Self.holdsNotesOnly(outcome.errors), "\(outcome.errors)")
        let alone = first.text + "\n"
        #expect(outcome.output.hasPrefix(alone) && outcome.output.count > alone.count)
        let messages = """
            [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": ANSWER},
             {"role": "user", "content": "Hello"}]
            """
        let scratch = try TemporaryDirectory()
        let text = messages.replacing(
            "ANSWER",
            with: String(decoding: try JSONEncoder().encode(first.text), as: UTF8.self)
        )
        try Data(text.utf8).write(to: scratch.url("chat.json"))
        let second = try answer(model, ["--messages", scratch.path("chat.json")])
        // The chat computes the second turn behind what it has cached, and this run in one pass: the tokens may be compared
        // because no other is nearly as likely.
        let turns = try Conversation(contentsOf: scratch.path("chat.json"))
        for (answer, asked) in [(first, Conversation(prompt: "Hello")), (second, turns)] {
            let margin = try margin(of: answer.tokens, to: asked, by: directory(model))
            try #require(margin.isCertain, "\(margin)")
        }
        #expect(outcome.output == alone + second.text + "\n")
    }

    @Test func aTekkenFileAloneFramesAChat() throws {
        // No tokenizer.json, no template: the control tokens of the file's version.
        let answer = try answer("mistral-native", ["--prompt", "Hello"])
        #expect(answer.tokens.count == 6)
        let outcome = try chat("mistral-native", "Hello", "Hello")
        #expect(outcome.status == 0 && Self.holdsNotesOnly(outcome.errors), "\(outcome.errors)")
        #expect(outcome.output.hasPrefix(answer.text + "\n"))
        let raw = try Answer([
            "--hf-model", directory("mistral-native"), "--no-chat-template", "--prompt", "[INST]Hello[/INST]",
            "--max-new-tokens",
            "6",
            "--ignore-eos", "--dtype", "float32",
        ])
        let margin = try margin(
            of: answer.tokens,
            to: Conversation(prompt: "Hello"),
            by: directory("mistral-native")
        )
        try #require(margin.isCertain, "\(margin)")
        #expect(answer.tokens == raw.tokens)
    }

    @Test func anInterruptDiscardsWhatIsTypedAndEndsTheChatOnAnEmptyLine() throws {
        let arguments = ["chat", "--hf-model", directory("mistral"), "--no-history"] + Self.options
        let (bytes, status) = try PseudoTerminal.run(
            arguments,
            atEachPrompt: ["half a line\u{3}", "/help\n", "\u{3}"]
        )
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(status == 130, "\(text)")
        // Three prompts: after what was discarded, and after the help.
        #expect(text.components(separatedBy: "> ").count == 4, "\(text)")
        #expect(text.contains("/reset"), "\(text)")
        let (_, end) = try PseudoTerminal.run(arguments, atEachPrompt: ["\u{4}"])
        #expect(end == 0)
    }

    /// Keys as a terminal sends them: Home and the right arrow, then the up arrow for the line before, also in a later chat.
    @Test func linesAreEditedAndComeBack() throws {
        let scratch = try TemporaryDirectory()
        let environment = ["TERM": "xterm", "XDG_STATE_HOME": scratch.path("state")]
        let arguments = ["chat", "--hf-model", directory("mistral")] + Self.options
        let (bytes, status) = try PseudoTerminal.run(
            arguments,
            atEachPrompt: ["/elp\u{1b}[H\u{1b}[Ch\n", "\u{1b}[A\n", "\u{4}"],
            environment: environment
        )
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(status == 0 && text.components(separatedBy: "list these commands").count == 3, "\(text)")
        let history = scratch.path("state/bridge/chat_history")
        let attributes = try FileManager.default.attributesOfItem(atPath: history)
        #expect((attributes[.posixPermissions] as? Int) == 0o600)
        let (later, _) = try PseudoTerminal.run(
            arguments,
            atEachPrompt: ["\u{1b}[A\n", "\u{4}"],
            environment: environment
        )
        #expect(String(decoding: later, as: UTF8.self).contains("list these commands"))
        let (none, _) = try PseudoTerminal.run(
            arguments + ["--no-history"],
            atEachPrompt: ["\u{1b}[A/nothing\n", "\u{4}"],
            environment: environment
        )
        #expect(String(decoding: none, as: UTF8.self).contains("/nothing is not a command"))
        // A file that is no history is replaced.
        try scratch.write(Array("not a history".utf8), to: "state/bridge/chat_history")
        let (_, last) = try PseudoTerminal.run(
            arguments,
            atEachPrompt: ["/help\n", "\u{4}"],
            environment: environment
        )
        #expect(last == 0)
        #expect(try String(contentsOfFile: history, encoding: .utf8).contains("/help"))
    }

    /// What a terminal marks as pasted is one message with its line ends; what follows it is typed.
    @Test func pastedLinesAreOneMessage() throws {
        let scratch = try TemporaryDirectory()
        let (bytes, status) = try PseudoTerminal.run(
            ["chat", "--hf-model", directory("mistral"), "--no-history"] + Self.options,
            atEachPrompt: [
                "Say: \u{1b}[200~first\rzweite Zeile: ä\r\u{1b}[201~!\n", "/save \(scratch.path("chat.json"))\n",
                "\u{4}",
            ],
            environment: ["TERM": "xterm"]
        )
        #expect(status == 0, "\(String(decoding: bytes, as: UTF8.self))")
        let messages = try #require(try JSON(contentsOf: scratch.path("chat.json")).array)
        #expect(messages.map { $0["role"]?.string } == ["user", "assistant"])
        #expect(messages.first?["content"]?.string == "Say: first\nzweite Zeile: ä!")
    }

    @Test func aSystemMessageIsSetAndRemoved() throws {
        let outcome = try chat("ministral3", "/system Be brief.", "Hello", "/undo", "/system", "Hello")
        #expect(outcome.status == 0 && Self.holdsNotesOnly(outcome.errors), "\(outcome.errors)")
        #expect(
            outcome.output
                == (try generated("ministral3", "Hello", "--system", "Be brief.") + generated("ministral3", "Hello"))
        )
    }

    @Test func aSavedConversationIsContinued() throws {
        let scratch = try TemporaryDirectory()
        let file = scratch.path("chat.json")
        let whole = try chat("gemma3", "/image \(image("rgb.png"))", "Hello", "/save \(file)", "And now?", "/stats")
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(whole.errors.contains("saved 1 question to \(file)"))
        let stats =
            /prompt and conversation: \d+ tokens; answer: 6 tokens, the first after [\d.]+ s, then [\d.]+ tokens\/s/
        #expect(whole.errors.contains(stats), "\(whole.errors)")
        let rest = try chat("gemma3", "/load \(file)", "And now?")
        #expect(rest.status == 0 && whole.output.hasSuffix(rest.output) && !rest.output.isEmpty, "\(rest.errors)")
        // The same file for another command: it ends with an answer, and a chat that is undone asks again.
        let again = try chat("gemma3", "/load \(file)", "/undo", "/image \(image("rgb.png"))", "Hello")
        #expect(whole.output.hasPrefix(again.output))
        let refused = try chat(
            "mistral",
            "/undo",
            "/save",
            "/save \(file)",
            "/load",
            "/load \(scratch.path("none.json"))",
            "/stats"
        )
        #expect(refused.status == 1)
        for words in [
            "there is no message to remove", "/save requires the path", "already exists", "/load requires the path",
            "none.json", "there is no answer yet",
        ] { #expect(refused.errors.contains(words), "\(words)") }
    }

    @Test func aResetRemovesTheFirstTurn() throws {
        let alone = try generated("mistral", "Hello")
        #expect(try chat("mistral", "Hello", "/reset", "Hello", "/exit", "never asked").output == alone + alone)
    }

    @Test(arguments: ["ministral3", "gemma3"]) func anImageIsSentWithTheNextMessage(_ model: String) throws {
        let outcome = try chat(model, "/image \(image("rgb.png"))", "What is it?", more: ["--system", "Be brief."])
        #expect(outcome.status == 0 && Self.holdsNotesOnly(outcome.errors), "\(outcome.errors)")
        let image = image("rgb.png")
        #expect(outcome.output == (try generated(model, "What is it?", "--image", image, "--system", "Be brief.")))
    }

    @Test func anErrorIsOneSentenceAndTheChatContinues() throws {
        let outcome = try chat(
            "ministral3",
            "/nonsense",
            "/image",
            "/image /nowhere.png",
            "/image \(Fixtures.checkpoint("mistral/README.md"))",
            String(repeating: "too long ", count: 2000),
            "Hello"
        )
        // A script has nobody who saw the sentence.
        #expect(outcome.status == 1)
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.count == 5, "\(outcome.errors)")
        for (line, words) in zip(lines, ["/nonsense", "requires the path", "/nowhere.png", "README.md", "shorter"]) {
            #expect(line.contains(words))
        }
        #expect(outcome.output == (try generated("ministral3", "Hello")))
    }

    @Test func aTextModelRefusesAnImageAndTheChatContinues() throws {
        let outcome = try chat("mistral", "/image \(image("rgb.png"))", "Hello")
        #expect(outcome.errors.contains("text-only"))
        #expect(outcome.output == (try generated("mistral", "Hello")))
    }
}
