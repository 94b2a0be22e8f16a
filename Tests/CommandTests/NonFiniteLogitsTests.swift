import Foundation
import JSONTree
import TestSupport
import Testing

/// Models whose logits are not numbers, because weights are damaged or overflow.
@Suite struct NonFiniteLogitsTests {
    private let scratch: TemporaryDirectory
    private var model: String { scratch.path("model") }

    init() throws { scratch = try TemporaryDirectory() }

    /// A model of which all elements of one tensor have the same bits.
    private func makeModel(_ tensor: String, bits: UInt16) throws {
        let directory = try Models.copy("mistral", to: scratch.url("model"))
        for name in TemporaryDirectory.content(of: directory.path) where name.hasSuffix(".safetensors") {
            let url = directory.appendingPathComponent(name)
            var bytes = try [UInt8](Data(contentsOf: url))
            let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            let header = try JSON(parsing: Array(bytes[8..<8 + length]))
            guard let entry = header[tensor], let ends = entry["data_offsets"]?.array?.compactMap(\.integer) else {
                continue
            }
            #expect(entry["dtype"] == "BF16")
            for place in stride(from: 8 + length + ends[0], to: 8 + length + ends[1], by: 2) {
                (bytes[place], bytes[place + 1]) = (UInt8(bits & 255), UInt8(bits >> 8))
            }
            try Data(bytes).write(to: url)
            return
        }
        Issue.record("no \(tensor)")
    }

    /// bfloat16: a NaN, infinity, and the largest number, whose sums overflow.
    @Test(arguments: [0x7FC0, 0x7F80, 0x7F7F] as [UInt16]) func theyAreAnErrorWithAdvice(_ bits: UInt16) throws {
        try makeModel("model.norm.weight", bits: bits)
        let data = scratch.path("questions.jsonl")
        let row = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        try Data((row + "\n").utf8).write(to: URL(fileURLWithPath: data))
        for arguments in [
            ["generate", "--hf-model", model, "--prompt", "a"],
            ["generate", "--hf-model", model, "--prompt", "a", "--temperature", "0.7"],
            ["generate", "--hf-model", model, "--prompt", "a", "--json"],
            ["evaluate", "--hf-model", model, "--data", data],
            ["evaluate", "--hf-model", model, "--data", data, "--json"],
        ] {
            let outcome = try BridgeProcess(arguments).wait()
            expect(outcome, failsWith: 4, mentioning: "logits are not numbers", "bridge verify", "checkpoint check")
            guard arguments.contains("--json") else { continue }
            #expect(try JSON(parsing: Array(outcome.output.utf8))[path: "error.code"] == "corrupt_input")
        }
        let chat = try BridgeProcess(["chat", "--hf-model", model], input: "hello\n").wait()
        expect(chat, failsWith: 1, mentioning: "logits are not numbers")
        // In float32 the largest number of bfloat16 does not overflow yet, and verify computes in that.
        guard bits != 0x7F7F else { return }
        let compared = try BridgeProcess.run("verify", model, model, "--logits", "a")
        expect(compared, failsWith: 3, mentioning: "logits are not numbers")
    }

    @Test func forwardWritesThemAndWarns() throws {
        try makeModel("model.norm.weight", bits: 0x7FC0)
        let arguments = ["forward", "--hf-model", model, "--prompt", "a", "--output", scratch.path("out")]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 0)
        #expect(outcome.errors.hasPrefix("warning: ") && outcome.errors.contains("logits are not numbers"))
        #expect(FileManager.default.fileExists(atPath: scratch.path("out")))
    }
}
