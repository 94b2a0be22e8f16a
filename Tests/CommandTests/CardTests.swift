import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge card`, from the options to the file.
@Suite struct CardTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")
    private let reference = "\(Fixtures.root)/reference/mistral.safetensors"

    init() throws {
        scratch = try TemporaryDirectory()
        try FileManager.default.createDirectory(atPath: scratch.path("work"), withIntermediateDirectories: true)
    }

    private func card(_ arguments: String..., environment: [String: String] = [:]) throws -> BridgeProcess.Outcome {
        let fixed = ["--layouts", "1", "--steps", "2", "--work-dir", scratch.path("work")]
        return try BridgeProcess(["card"] + arguments + fixed, environment: environment).wait()
    }

    @Test func theFileHasTheChecksAndThePlainFacts() throws {
        let file = scratch.path("CARD.md")
        let outcome = try card(
            model,
            "--reference-logits",
            reference,
            "--output",
            file,
            environment: ["SOURCE_DATE_EPOCH": "1767225599"]
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let text = try String(contentsOfFile: file, encoding: .utf8)
        #expect(text.hasPrefix("# Verification card of mistral\n"))
        // The last second of a year, in UTC.
        #expect(text.contains("| Date | 2025-12-31 |"))
        #expect(text.contains("| `forward` | passed |") && text.contains("| `lora_export` | passed |"))
        let sum = try BridgeProcess(
            [],
            shell: "cd '\(model)' && find . -type f | sed 's,^./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum"
        ).wait()
        let hash = try #require(sum.output.split(separator: " ").first)
        #expect(hash.count == 64 && text.contains(hash), "\(sum.output)")
        #expect(scratch.content == ["CARD.md", "work"])

        expect(try card(model, "--output", file), failsWith: 1, mentioning: file, "--overwrite")
        let again = try card(model, "--output", file, "--overwrite", "--date", "2024-02-29")
        #expect(again.status == 0, "\(again.errors)")
        #expect(try String(contentsOfFile: file, encoding: .utf8).contains("| Date | 2024-02-29 |"))
    }

    @Test func aFailedCheckIsStatusOneWithTheWholeDocument() throws {
        let outcome = try card(Fixtures.checkpoint("ministral3-fp8-row"), "--json")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("error: 2 of 11 checks failed"), "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["failed"] == 2 && json["checks"]?.array?.count == 11)
        #expect(json["reference_command"]?.string?.contains("AutoModelForImageTextToText") == true)
        #expect(scratch.content == ["work"])
    }

    @Test func wrongUsageIsOneSentence() throws {
        for (words, found) in [
            (["--layouts", "1,tp0"], "1,tp0"), (["--layouts", "1,1"], "twice"), (["--steps", "1"], "--steps is 1"),
            (["--date", "2026-02-30"], "--date is 2026-02-30"), (["--max-memory", "lots"], "--max-memory is lots"),
            (["--overwrite"], "--overwrite"), (["--json", "--output", "x"], "give one of them"),
        ] {
            let outcome = try BridgeProcess(["card", model] + words).wait()
            expect(outcome, failsWith: 64, mentioning: found)
        }
        expect(
            try card(model, "--reference-logits", scratch.path("none")),
            failsWith: 64,
            mentioning: "there is no file"
        )
        expect(try card(model, "--output", "\(model)/CARD.md"), failsWith: 64, mentioning: "a file of the model")
        expect(
            try card(model, "--output", scratch.path("a/b.md")),
            failsWith: 1,
            mentioning: "not a writable directory"
        )
    }
}
