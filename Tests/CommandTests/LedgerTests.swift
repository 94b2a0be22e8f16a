import Foundation
import JSONTree
import TestSupport
import Testing

/// Tensors that nothing accounts for.
@Suite struct LedgerTests {
    private let scratch: TemporaryDirectory
    private let model: URL

    init() throws {
        scratch = try TemporaryDirectory()
        model = try Models.copy("mistral", to: scratch.url("model"))
    }

    private func setLayers(_ count: Int) throws {
        try Models.edit(model.appendingPathComponent("config.json")) {
            $0.set(JSON.number(.init(count)), at: "num_hidden_layers")
        }
    }

    private func convert(_ options: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(["convert", "--hf-model", model.path, "--megatron-path", scratch.path("out")] + options)
            .wait()
    }

    /// Exports the converted checkpoint to `back`.
    private func export() throws {
        let megatron = scratch.path("out")
        let back = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            megatron,
            "--hf-path",
            scratch.path("back")
        )
        #expect(back.status == 0, "\(back.errors)")
    }

    private func names(of layer: Int) -> [String] {
        [
            "input_layernorm", "mlp.down_proj", "mlp.gate_proj", "mlp.up_proj", "post_attention_layernorm",
            "self_attn.k_proj", "self_attn.o_proj", "self_attn.q_proj", "self_attn.v_proj",
        ].map { "model.layers.\(layer).\($0).weight" }
    }

    private func allowed() throws -> [String] {
        let manifest = try JSON(
            parsing: [UInt8](Data(contentsOf: scratch.url("out/iter_0000000/manifest.json")))
        )
        return (manifest[path: "ledger.allowed_missing"]?.array ?? []).compactMap(\.string).sorted()
    }

    @Test func leftOverTensorsAreAllListedAndNothingIsWritten() throws {
        try setLayers(3)
        let before = scratch.content
        let outcome = try convert()
        expect(outcome, failsWith: 2, mentioning: "9 tensors of \(model.path)", "--allow-missing")
        for name in names(of: 3) { #expect(outcome.errors.contains("  \(name): no parameter of this model takes it")) }
        #expect(scratch.content == before)
    }

    @Test func missingTensorsAreAllListedAndNothingIsWritten() throws {
        try setLayers(5)
        let before = scratch.content
        let outcome = try convert()
        expect(outcome, failsWith: 2, mentioning: "9 tensors of \(model.path)")
        for name in names(of: 4) {
            #expect(outcome.errors.contains("  \(name): missing, needed for decoder.layers.4."))
        }
        #expect(scratch.content == before)
    }

    @Test func aTensorOfAnotherShapeIsListed() throws {
        try Models.edit(model.appendingPathComponent("config.json")) { $0.set(72, at: "intermediate_size") }
        let outcome = try convert()
        expect(outcome, failsWith: 2, mentioning: "12 tensors", "the configuration gives [72, 36]")
    }

    @Test func jsonListsThemToo() throws {
        try setLayers(3)
        let outcome = try convert("--json")
        #expect(outcome.status == 2)
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json[path: "error.code"] == "unaccounted_tensors")
        #expect(json[path: "error.names"]?.array?.count == 9)
    }

    @Test func allowedTensorsAreListedInTheManifest() throws {
        try setLayers(3)
        let outcome = try convert("--allow-missing", "model.layers.3.*")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try allowed() == names(of: 3))
        try export()
        let verify = try BridgeProcess.run(
            "verify",
            model.path,
            scratch.path("back"),
            "--allow-missing",
            "model.layers.3.*"
        )
        #expect(verify.status == 0, "\(verify.output)\(verify.errors)")
    }

    @Test func allowedMissingTensorsAreListedInTheManifest() throws {
        try setLayers(5)
        let outcome = try convert("--allow-missing", "model.layers.4.*")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try allowed() == names(of: 4))
        try export()
        #expect(TemporaryDirectory.bytes(of: scratch.path("back")) == TemporaryDirectory.bytes(of: model.path))
    }

    @Test func aGlobThatMatchesOtherNamesChangesNothing() throws {
        try setLayers(3)
        expect(try convert("--allow-missing", "model.layers.2.*"), failsWith: 2, mentioning: "9 tensors")
    }
}
