import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// A flipped bit in a Megatron checkpoint ends whatever reads it, and goes nowhere.
@Suite struct DamagedCheckpointTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws {
        scratch = try TemporaryDirectory()
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            model,
            "--megatron-path",
            scratch.path("megatron"),
            "--tp",
            "2"
        )
        try #require(outcome.status == 0, "\(outcome.errors)")
    }

    private var iteration: String { scratch.path("megatron/iter_0000000") }

    private func flip(_ file: String, at share: Double) throws {
        let url = URL(fileURLWithPath: "\(iteration)/\(file)")
        var bytes = [UInt8](try Data(contentsOf: url))
        bytes[Int(Double(bytes.count - 1) * share)] ^= 16
        try Data(bytes).write(to: url)
    }

    @Test(arguments: [0.3, 0.7, 1]) func aDamagedWeightEndsEveryCommandThatReadsIt(_ share: Double) throws {
        let file = "weights_tp01_pp00.safetensors"
        try flip(file, at: share)
        let inputs = ["--prompt", "a", "--max-new-tokens", "2"]
        for (command, made) in [
            (
                ["convert", "export", "--megatron-path", scratch.path("megatron"), "--hf-path", scratch.path("hf")],
                "hf"
            ),
            (["reshard", "--megatron-path", scratch.path("megatron"), "--output", scratch.path("tp1")], "tp1"),
            (["generate", "--megatron-path", scratch.path("megatron")] + inputs, ""),
            (["generate", "--megatron-path", scratch.path("megatron"), "--dtype", "float32"] + inputs, ""),
            (
                [
                    "forward", "--megatron-path", scratch.path("megatron"), "--prompt", "a", "--output",
                    scratch.path("logits.safetensors"),
                ], "logits.safetensors"
            ),
            (
                [
                    "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint",
                    scratch.path("megatron"),
                    "--dataset-type", "mock", "dataset.num_images=0", "train.train_iters=1",
                    "checkpoint.save=\(scratch.path("run"))",
                ], "run"
            ),
        ] {
            let outcome = try BridgeProcess(command).wait()
            expect(
                outcome,
                failsWith: 4,
                mentioning: "\(iteration)/\(file) is damaged in bytes 0 to ",
                "restore the file from a copy"
            )
            #expect(made.isEmpty || !FileManager.default.fileExists(atPath: scratch.path(made)), "\(command)")
        }
        // A comparison passes nothing on, and says what differs.
        let compared = try BridgeProcess.run("verify", model, scratch.path("megatron"))
        #expect(compared.status == 3, "\(compared.errors)")
    }

    @Test func aMapThatIsNotDamagedRunsAsBefore() throws {
        let plain = try Answer(["--hf-model", model, "--prompt", "a", "--max-new-tokens", "4"])
        let other = try Answer(["--megatron-path", scratch.path("megatron"), "--prompt", "a", "--max-new-tokens", "4"])
        #expect(plain.tokens == other.tokens)
    }

    @Test func anEditedSideFileIsCopiedWithANote() throws {
        let url = URL(fileURLWithPath: "\(iteration)/huggingface/chat_template.jinja")
        try Data("{{ messages[0]['content'] }}".utf8).write(to: url)
        let outcome = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            scratch.path("megatron"),
            "--hf-path",
            scratch.path("hf"),
            "--json"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        let notes = try JSON(parsing: Array(outcome.output.utf8))["notes"]?.array?.compactMap(\.string) ?? []
        #expect(notes.contains { $0.contains("huggingface/chat_template.jinja: not as written with the checkpoint") })
    }
}
