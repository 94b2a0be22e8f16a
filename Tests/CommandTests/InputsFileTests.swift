import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

/// `--inputs` of `bridge forward` and `bridge generate`: no tensor and no option beside it is ignored silently.
@Suite struct InputsFileTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// A safetensors file of the tokens 5 and 6 and further tensors of whole numbers.
    private func file(_ more: (name: String, shape: [Int], numbers: [Int64])...) throws -> String {
        let entries = [("input_ids", [1, 2], [5, 6] as [Int64])] + more.map { ($0.name, $0.shape, $0.numbers) }
        try Models.safetensors(entries).write(to: scratch.url("in"))
        return scratch.path("in")
    }

    private func forward(_ inputs: String, _ more: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            [
                "forward", "--hf-model", Fixtures.checkpoint("mistral"), "--inputs", inputs, "--output",
                scratch.path("out.safetensors"),
            ] + more
        ).wait()
    }

    private func generate(_ inputs: String, _ more: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            [
                "generate", "--hf-model", Fixtures.checkpoint("mistral"), "--inputs", inputs, "--max-new-tokens", "1",
            ] + more
        ).wait()
    }

    @Test(arguments: [
        ("inputs_embeds", "input_ids"), ("logits_to_keep", "--last"), ("loss_mask", "-100"),
        ("shift_labels", "labels"), ("cu_seq_lens_q", "attention_mask"), ("cache_position", "position_ids"),
    ])
    func aTensorThatWouldChangeTheResultIsRefused(_ name: String, _ advice: String) throws {
        let inputs = try file((name, [1, 2], [0, 1]))
        for outcome in [try forward(inputs), try generate(inputs)] {
            expect(outcome, failsWith: 64, mentioning: "has \(name), which is not supported", advice)
        }
    }

    @Test func anUnknownTensorIsReported() throws {
        let inputs = try file(("foo", [1], [3]), ("mm_token_type_ids", [1, 2], [0, 0]))
        for outcome in [try forward(inputs), try generate(inputs)] {
            #expect(outcome.status == 0 && outcome.errors.contains("ignored tensors: foo"), "\(outcome.errors)")
            #expect(!outcome.errors.contains("mm_token_type_ids"), "\(outcome.errors)")
        }
    }

    @Test func theNumberOfItemsDividesTheLoss() throws {
        func loss(_ more: (name: String, shape: [Int], numbers: [Int64])...) throws -> Float {
            let labels = ("labels", [1, 2], [5, 6] as [Int64])
            let inputs = more.isEmpty ? try file(labels) : try file(labels, more[0])
            let outcome = try forward(inputs)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try Reference(file: scratch.path("out.safetensors")).floats("loss")[0]
        }
        // One label is left after the shift.
        let (one, quarter) = (try loss(), try loss(("num_items_in_batch", [1], [4])))
        #expect(abs(quarter * 4 - one) <= 1e-6 * one)
    }

    @Test func wrongTokenTypesAreRefusedByGenerate() throws {
        let reference = Fixtures.checkpoint("gemma3")
        let inputs = try file(("token_type_ids", [1, 2], [0, 1]))
        let outcome = try BridgeProcess.run("generate", "--hf-model", reference, "--inputs", inputs)
        expect(outcome, failsWith: 64, mentioning: "token_type_ids", "bridge forward")
        // In Mistral it has no effect.
        #expect(try generate(inputs).status == 0)
    }

    @Test(arguments: [
        ["--date", "2025-03-09"], ["--no-chat-template"], ["--pan-and-scan"], ["--system", "s"], ["--tools", "t.json"],
    ])
    func anOptionOfAPromptIsRefused(_ option: [String]) throws {
        let inputs = try file()
        for command in ["forward", "generate"] {
            let output = command == "forward" ? ["--output", scratch.path("out.safetensors")] : []
            let outcome = try BridgeProcess(
                [command, "--hf-model", Fixtures.checkpoint("mistral"), "--inputs", inputs] + output + option
            ).wait()
            expect(outcome, failsWith: 64, mentioning: "\(option[0]) has no effect with --inputs")
        }
    }
}
