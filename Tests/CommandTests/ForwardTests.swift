import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// `bridge forward` and `bridge verify --logits`.
@Suite struct ForwardTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func directory(_ name: String) -> String { Fixtures.checkpoint(name) }

    private func forward(_ model: String, _ more: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            ["forward", "--hf-model", directory(model), "--output", scratch.path("out.safetensors")] + more
        )
        .wait()
    }

    private func shapes() throws -> [String: [Int]] {
        let tensors = try SafetensorsFile(path: scratch.path("out.safetensors")).tensors
        #expect(tensors.allSatisfy { $0.elementType == ($0.name == "input_ids" ? .int64 : .float32) })
        return Dictionary(tensors.map { ($0.name, $0.shape) }) { first, _ in first }
    }

    /// A safetensors file with integers.
    private func inputs(_ entries: [(name: String, shape: [Int], numbers: [Int64])]) throws -> String {
        try Models.safetensors(entries).write(to: scratch.url("in"))
        return scratch.path("in")
    }

    @Test func aPromptGivesLogitsForItsTokens() throws {
        #expect(try forward("mistral", "--prompt", "a", "--no-chat-template").status == 0)
        let shape = try #require(try shapes()["logits"])
        #expect(shape[0] == 1 && shape[1] > 1 && shape[2] == 1000)
        #expect(try forward("mistral", "--prompt", "a", "--no-chat-template", "--last", "1").status == 0)
        #expect(try shapes() == ["input_ids": [1, shape[1]], "logits": [1, 1, 1000]])
        // What it wrote is the input of another run.
        func logits() throws -> Data {
            let file = try SafetensorsFile(path: scratch.path("out.safetensors"))
            let logits = try #require(file.tensors.first { $0.name == "logits" })
            return Data(try TensorReader().bytes(of: TensorView(logits)))
        }
        let first = try logits()
        try FileManager.default.moveItem(atPath: scratch.path("out.safetensors"), toPath: scratch.path("prompt"))
        #expect(try forward("mistral", "--inputs", scratch.path("prompt"), "--last", "1").status == 0)
        #expect(try shapes() == ["logits": [1, 1, 1000]] && logits() == first)
    }

    @Test func aFileThatTheCommandHasNotWrittenIsKept() throws {
        let output = scratch.url("out.safetensors")
        let content = Data("measured for a week".utf8)
        try content.write(to: output)
        let outcome = try forward("mistral", "--prompt", "a", "--no-chat-template")
        expect(outcome, failsWith: 1, mentioning: output.path, "was not written by 'bridge forward'", "--overwrite")
        #expect(try Data(contentsOf: output) == content)
        let process = try BridgeProcess.run(
            "process",
            "prompt",
            directory("mistral"),
            "--prompt",
            "a",
            "--output",
            output.path
        )
        expect(process, failsWith: 1, mentioning: output.path, "--overwrite")
        #expect(try forward("mistral", "--prompt", "a", "--no-chat-template", "--overwrite").status == 0)
        // Its own output is replaced, that of another command is not.
        #expect(try forward("mistral", "--prompt", "b", "--no-chat-template").status == 0)
        let other = try BridgeProcess.run(
            "process",
            "prompt",
            directory("mistral"),
            "--prompt",
            "a",
            "--output",
            output.path
        )
        expect(other, failsWith: 1, mentioning: "--overwrite")
    }

    @Test func inputsMayHaveSeveralSequencesAndPadding() throws {
        let tokens: [Int64] = [5, 6, 7, 0, 9, 8]
        let path = try inputs([("input_ids", [2, 3], tokens), ("attention_mask", [2, 3], [1, 1, 1, 0, 1, 1])])
        let clock = ContinuousClock()
        let start = clock.now
        let outcome = try forward("mistral", "--inputs", path, "--hidden-states", "--json")
        let seconds = (clock.now - start) / .seconds(1)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let expected = [("logits", [2, 3, 1000])] + (0...4).map { ("hidden_states.\($0)", [2, 3, 36]) }
        #expect(try shapes() == Dictionary(uniqueKeysWithValues: expected))
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["shape"] == [2, 3, 1000])
        let forward = try #require(json[path: "timings.forward_seconds"]?.double)
        #expect(forward > 0 && forward < seconds, "\(forward) of \(seconds)")
    }

    @Test func wrongInputsAreOneSentenceAndLeaveNoFile() throws {
        let cases: [([(String, [Int], [Int64])], Int32, String)] = [
            ([("input_ids", [1, 2], [5, 1000])], 64, "token 1000"),
            ([("input_ids", [1, 2], [5, -1])], 64, "token -1"),
            ([("input_ids", [2], [5, 6])], 64, "[batch, tokens]"),
            ([("labels", [1, 2], [5, 6])], 64, "input_ids"),
            ([("input_ids", [1, 2], [5, 6]), ("position_ids", [1, 2], [0, -4])], 64, "position of -4"),
            ([("input_ids", [1, 2], [5, 6]), ("attention_mask", [1, 3], [1, 1, 1])], 64, "attention_mask"),
        ]
        for (entries, status, words) in cases {
            expect(try forward("mistral", "--inputs", try inputs(entries)), failsWith: status, mentioning: words)
        }
        try Data([1, 2, 3]).write(to: scratch.url("in"))
        expect(try forward("mistral", "--inputs", scratch.path("in")), failsWith: 4, mentioning: "3 bytes")
        expect(try forward("mistral", "--inputs", scratch.path("none")), failsWith: 1, mentioning: "does not exist")
        #expect(scratch.content == ["in"])
    }

    @Test func anUnwritableOutputPathIsOneSentence() throws {
        let outcome = try BridgeProcess.run(
            "forward",
            "--hf-model",
            directory("mistral"),
            "--prompt",
            "a",
            "--output",
            scratch.path("no/out")
        )
        expect(outcome, failsWith: 1, mentioning: "is not a writable directory")
    }

    @Test func aFullDiskLeavesNoFile() throws {
        let run = try BridgeProcess(
            ["forward", "--hf-model", directory("mistral"), "--prompt", "a", "--output", scratch.path("out")],
            shell: "ulimit -f 4; exec \"$@\""
        )
        expect(try run.wait(), failsWith: 1, mentioning: "cannot write")
        #expect(scratch.content.isEmpty)
    }

    @Test func modelsThatSayTheSameAreEqual() throws {
        try BridgeProcess.convert(directory("gemma3"), to: scratch.path("m"), "--tp", "2", "--pp", "2")
        let image = "\(Fixtures.root)/images/rgb.png"
        let outcome = try BridgeProcess.run(
            "verify",
            directory("gemma3"),
            scratch.path("m"),
            "--logits",
            "What is it?",
            "--image",
            image,
            "--json"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["equal"] == true && json["max_difference"]?.double == 0)
        #expect(json["positions"] == json["same_likeliest"] && json["positions"]?.integer ?? 0 > 10)
    }

    @Test func modelsThatSayOtherThingsDiffer() throws {
        let model = try Models.copy("mistral", to: scratch.url("model"))
        let file = model.appendingPathComponent("model-00003-of-00003.safetensors")
        var bytes = try Data(contentsOf: file)
        for index in bytes.indices.suffix(400) { bytes[index] ^= 0x40 }
        try bytes.write(to: file)
        let outcome = try BridgeProcess.run("verify", directory("mistral"), model.path, "--logits", "Hello")
        expect(outcome, failsWith: 3, mentioning: "apart")
        #expect(outcome.output.contains("same most likely token"))
    }

    @Test(arguments: [("mistral", "mistral-float32"), ("mistral-float32", "mistral")])
    func vocabulariesThatDifferAreOneSentence(_ one: String, _ other: String) throws {
        let outcome = try BridgeProcess.run(
            "verify",
            directory(one),
            directory(other),
            "--logits",
            "Hello there",
            "--json"
        )
        expect(outcome, failsWith: 3, mentioning: "vocabular", "tokens")
    }
}
