import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge compare-runs` reads the logs of two runs.
@Suite struct CompareRunsTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// A log of three steps, the second with the given loss, and one validation.
    private func log(_ name: String, loss: Double = 2.5, count: Int = 3) throws -> String {
        let rows = (1...count).map { step in
            """
            {"iteration": \(step), "consumed_samples": \(4 * step), "elapsed_time_per_iteration": 0.5, "tokens": 100, \
            "trained_tokens": 60, "learning_rate": 0.001, "global_batch_size": 4, "lm_loss": \(step == 2 ? loss : 3.0), \
            "grad_norm": 1.5, "operations": 0, "skipped_iterations": 0, "nan_iterations": 0}
            """
        }
        let validation =
            #"{"iteration": 3, "validation_lm_loss": 2.75, "validation_perplexity": 15.6, "validation_seconds": 1}"#
        let directory = scratch.url("\(name)_logs")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let text = (rows + [validation]).joined(separator: "\n") + "\n"
        try Data(text.utf8).write(to: directory.appendingPathComponent("log.jsonl"))
        return scratch.path(name)
    }

    private func compared(_ arguments: String...) throws -> (status: Int32?, json: JSON) {
        let outcome = try BridgeProcess(["compare-runs"] + arguments + ["--json"]).wait()
        return (outcome.status, try JSON(parsing: Array(outcome.output.utf8)))
    }

    @Test func equalRunsAreEqual() throws {
        let (one, other) = (try log("one"), try log("other"))
        let (status, json) = try compared(one, "\(other)_logs", "--assert-equal")
        #expect(status == 0 && json["equal"] == true && json["common_steps"] == 3 && json["differences"] == [:])
        #expect(json["tokens_per_second"]?.array?.map(\.double) == [200, 200])
    }

    @Test func theLargestDifferenceIsFound() throws {
        let (one, other) = (try log("one"), try log("other", loss: 2.0, count: 4))
        let (status, json) = try compared(one, other, "--assert-equal")
        #expect(status == 1 && json["equal"] == false && json["unmatched_steps"] == [0, 1])
        let difference = json[path: "differences.lm_loss"]
        #expect(difference?["relative_difference"] == 0.2 && difference?["iteration"] == 2)
        #expect(json["differences"]?.object?.keys == ["lm_loss"])
        #expect(try compared(one, other, "--max-difference", "0.2").status == 0)
        #expect(try compared(one, other, "--max-difference", "0.19").status == 1)
        let text = try BridgeProcess(["compare-runs", one, other]).wait()
        #expect(text.status == 0 && text.output.contains("lm_loss: first different at step 2"), "\(text.output)")
        #expect(text.output.contains("\(other) has 1 more step") && text.output.contains("ratio 1"), "\(text.output)")
    }

    /// A part without a rate of its own has that of the run.
    @Test func ratesOfPartsAreCompared() throws {
        let (one, other) = (try log("one"), try log("other"))
        let path = "\(other)_logs/log.jsonl"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        func write(_ rate: String) throws {
            let more = text.replacing(
                #""learning_rate": 0.001,"#,
                with: #""learning_rate": 0.001, "learning_rates": {"vision_model": \#(rate)},"#
            )
            try Data(more.utf8).write(to: URL(filePath: path))
        }
        try write("0.002")
        let (status, json) = try compared(one, other, "--assert-equal")
        #expect(status == 1 && json["differences"]?.object?.keys == ["learning_rates"])
        #expect(json[path: "differences.learning_rates.relative_difference"] == 0.5)
        try write("0.001")
        #expect(try compared(one, other, "--assert-equal").status == 0)
    }

    @Test func aRunWithoutALogIsAnError() throws {
        let one = try log("one")
        let outcome = try BridgeProcess(["compare-runs", one, scratch.path("none")]).wait()
        expect(outcome, failsWith: 1, mentioning: "none has no log", "none_logs/log.jsonl")
        let later = scratch.url("later.jsonl")
        let text = try String(contentsOf: scratch.url("one_logs/log.jsonl"), encoding: .utf8)
        try Data(text.replacing("\"iteration\": ", with: "\"iteration\": 7").utf8).write(to: later)
        expect(
            try BridgeProcess(["compare-runs", one, later.path]).wait(),
            failsWith: 64,
            mentioning: "no step in common: steps 1 to 3 and steps 71 to 73"
        )
    }
}
