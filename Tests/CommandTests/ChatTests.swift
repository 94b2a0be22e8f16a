import Foundation
import Testing

/// `bridge chat` over a pipe, line by line.
@Suite struct ChatTests {
    private let fixtures = Models.fixtures

    private func chat(_ model: String, _ lines: String..., more: [String] = []) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            [
                "chat", "--hf-model", fixtures.appendingPathComponent(model).path, "--max-new-tokens", "6",
                "--ignore-eos", "--date", "2025-01-01",
            ] + more,
            input: lines.map { $0 + "\n" }.joined()
        ).wait()
    }

    private func picture(_ name: String) -> String {
        fixtures.deletingLastPathComponent().appendingPathComponent("images/\(name)").path
    }

    /// What `generate` says to one question.
    private func said(_ model: String, _ prompt: String, _ more: String...) throws -> String {
        try Answer(
            [
                "--hf-model", fixtures.appendingPathComponent(model).path, "--prompt", prompt,
                "--max-new-tokens", "6", "--ignore-eos", "--date", "2025-01-01",
            ] + more
        ).text + "\n"
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"])
    func aSecondTurnKnowsTheFirst(_ model: String) throws {
        let alone = try said(model, "Hello")
        let outcome = try chat(model, "Hello", "", "Hello")
        #expect(outcome.status == 0)
        #expect(outcome.errors.isEmpty)
        #expect(outcome.output.hasPrefix(alone) && outcome.output.count > alone.count)
        let messages = """
            [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": ANSWER},
             {"role": "user", "content": "Hello"}]
            """
        let scratch = try Scratch()
        let answer = try JSONEncoder().encode(String(alone.dropLast()))
        let text = messages.replacing("ANSWER", with: String(decoding: answer, as: UTF8.self))
        try Data(text.utf8).write(to: scratch.url("chat.json"))
        let second = try Answer([
            "--hf-model", fixtures.appendingPathComponent(model).path, "--messages", scratch.path("chat.json"),
            "--max-new-tokens", "6", "--ignore-eos", "--date", "2025-01-01",
        ])
        #expect(outcome.output == alone + second.text + "\n")
    }

    @Test func aResetForgetsTheFirstTurn() throws {
        let alone = try said("mistral", "Hello")
        #expect(try chat("mistral", "Hello", "/reset", "Hello", "/exit", "never asked").output == alone + alone)
    }

    @Test(arguments: ["ministral3", "gemma3"]) func aPictureGoesWithTheNextMessage(_ model: String) throws {
        let outcome = try chat(model, "/image \(picture("rgb.png"))", "What is it?", more: ["--system", "Be brief."])
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
        let image = picture("rgb.png")
        #expect(outcome.output == (try said(model, "What is it?", "--image", image, "--system", "Be brief.")))
    }

    @Test func whatGoesWrongIsOneSentenceAndTheChatGoesOn() throws {
        let outcome = try chat(
            "ministral3",
            "/nonsense",
            "/image",
            "/image /nowhere.png",
            "/image \(fixtures.appendingPathComponent("mistral/README.md").path)",
            String(repeating: "too long ", count: 2000),
            "Hello"
        )
        // A script has nobody who saw the sentence.
        #expect(outcome.status == 1)
        let lines = outcome.errors.split(separator: "\n")
        #expect(lines.count == 5, "\(outcome.errors)")
        for (line, words) in zip(lines, ["/nonsense", "needs the path", "/nowhere.png", "README.md", "shorter"]) {
            #expect(line.contains(words))
        }
        #expect(outcome.output == (try said("ministral3", "Hello")))
    }

    @Test func aModelOfTextTakesNoPictureAndGoesOn() throws {
        let outcome = try chat("mistral", "/image \(picture("rgb.png"))", "Hello")
        #expect(outcome.errors.contains("text only"))
        #expect(outcome.output == (try said("mistral", "Hello")))
    }
}
