import Foundation
import JSONTree
import TestSupport
import Testing

/// `--json` is one document, whatever the outcome.
@Suite struct JSONOutputTests {
    private let one = Fixtures.checkpoint("mistral")
    private let other = Fixtures.checkpoint("mistral-tied")

    private func document(_ arguments: [String], status: Int32) throws -> JSON {
        let outcome = try BridgeProcess(arguments + ["--json"]).wait()
        #expect(outcome.status == status, "\(outcome.errors)")
        return try JSON(parsing: Array(outcome.output.utf8))
    }

    @Test func aComparisonThatFailsIsOneDocument() throws {
        let json = try document(["verify", one, other], status: 3)
        #expect(json["equal"] == false)
        #expect(json["differences"]?.array?.isEmpty == false)
    }

    @Test func anErrorIsADocumentWithItsCode() throws {
        let json = try document(["inspect", "/nowhere"], status: 1)
        #expect(json[path: "error.code"] == "file_system")
    }

    @Test func aCheckThatFailsListsEveryDamagedFile() throws {
        let scratch = try TemporaryDirectory()
        let imported = try BridgeProcess([
            "convert", "--hf-model", one, "--megatron-path", scratch.path("m"), "--tp", "2",
        ]).wait()
        #expect(imported.status == 0)
        let iteration = scratch.path("m") + "/iter_0000000"
        try FileManager.default.removeItem(atPath: "\(iteration)/weights_tp01_pp00.safetensors")
        let path = "\(iteration)/weights_tp00_pp00.safetensors"
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        bytes[bytes.count - 1] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let json = try document(["checkpoint", "check", scratch.path("m")], status: 4)
        let damaged = json["damages"]?.array?.compactMap { $0["file"]?.string }
        #expect(damaged == ["weights_tp00_pp00.safetensors", "weights_tp01_pp00.safetensors"])
    }

    @Test func aCheckpointOfAnotherContainerIsNamed() throws {
        let scratch = try TemporaryDirectory()
        let iteration = scratch.path("torch") + "/iter_0000000"
        try FileManager.default.createDirectory(atPath: iteration, withIntermediateDirectories: true)
        try Data("0".utf8).write(to: URL(fileURLWithPath: scratch.path("torch") + "/latest_checkpointed_iteration.txt"))
        try Data().write(to: URL(fileURLWithPath: "\(iteration)/__0_0.distcp"))
        let json = try document(
            ["convert", "export", "--megatron-path", scratch.path("torch"), "--hf-path", scratch.path("out")],
            status: 64
        )
        #expect(json[path: "error.message"]?.string?.contains("is an incomplete torch_dist checkpoint") ?? false)
    }
}
