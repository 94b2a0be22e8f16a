import Foundation
import JSONTree
import TestSupport
import Testing

/// What ends a generation from outside.
@Suite struct InterruptedGenerationTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// A run that generates more tokens than a test waits for.
    private func endless(_ more: [String] = []) throws -> BridgeProcess {
        try? FileManager.default.removeItem(at: scratch.url("model"))
        let model = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("config.json")) {
            $0.set(1_000_000, at: "max_position_embeddings")
        }
        return try BridgeProcess(
            [
                "generate", "--hf-model", model.path, "--prompt", "Hello", "--max-new-tokens", "900000",
                "--ignore-eos",
            ] + more
        )
    }

    @Test(arguments: [SIGINT, SIGTERM]) func anInterruptKeepsTheGeneratedText(_ signal: Int32) throws {
        let run = try endless()
        try run.waitForOutput()
        run.send(signal)
        let outcome = try run.wait()
        #expect(outcome.status == 130)
        #expect(outcome.output.hasSuffix("\n") && outcome.output.count > 1)
        #expect(outcome.errors.isEmpty)
    }

    @Test func anInterruptLeavesOneDocument() throws {
        // Nothing shows when the first token is there; before it, an interrupt leaves no document.
        for seconds in [1.0, 4, 16, 64] {
            let run = try endless(["--json"])
            try run.waitForWork(seconds: seconds)
            run.send(SIGINT)
            let outcome = try run.wait()
            #expect(outcome.status == 130)
            guard !outcome.output.isEmpty else { continue }
            let answer = try Answer(outcome.output)
            #expect(answer.reason == "interrupted" && answer.tokens.count > 0)
            #expect(answer.tokens.count == answer.logProbabilities.count)
            return
        }
        Issue.record("no token within 64 s of work")
    }

    @Test(arguments: [[], ["--json"]]) func aWeightFileThatIsCutShortInUseIsOneSentence(_ more: [String]) throws {
        let run = try endless(more)
        if more.isEmpty { try run.waitForOutput() } else { try run.waitForWork(seconds: 1) }
        for file in TemporaryDirectory.content(of: scratch.path("model")) where file.hasSuffix(".safetensors") {
            let handle = try FileHandle(forWritingTo: scratch.url("model/\(file)"))
            try handle.truncate(atOffset: 0)
            try handle.close()
        }
        let outcome = try run.wait()
        expect(outcome, failsWith: 4, mentioning: "was truncated", "restore the file")
        if !more.isEmpty {
            let json = try JSON(parsing: Array(outcome.output.utf8))
            #expect(json[path: "error.code"] == "corrupt_input")
            #expect(json[path: "error.message"]?.string == outcome.sentence)
        }
    }
}
