import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Adapters that lack what their configuration names, and configurations that PEFT refuses.
///
/// What PEFT does: `_check_new_adapter_config` and `load_adapter` of peft 0.21, run on the same files.
@Suite struct IncompleteAdapterTests {
    private static let engine = TestEngine.cpu(threadCount: 2)
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A copy of an adapter with other settings, and without some of its tensors.
    private func copy(_ name: String, _ settings: [String: JSON] = [:], without part: String? = nil) throws -> String {
        let source = "\(Fixtures.root)/adapters/\(name)"
        var json = try JSON(contentsOf: "\(source)/adapter_config.json")
        for (key, value) in settings { json.set(value, at: key) }
        try FileManager.default.createDirectory(atPath: directory.path("adapter"), withIntermediateDirectories: true)
        try directory.write(json.text(), to: "adapter/adapter_config.json")
        let file = directory.path("adapter/adapter_model.safetensors")
        let tensors = try StoredNumbers.all(inFile: "\(source)/adapter_model.safetensors")
            .filter { name in part.map { !name.key.contains($0) } ?? true }
        try SafetensorsFile.write(
            tensors.sorted { $0.key < $1.key }.map {
                ($0.key, Tensor($0.value.values, shape: $0.value.shape, on: Self.engine))
            },
            to: file
        )
        return directory.path("adapter")
    }

    private func notes(_ adapter: String, base: String = "mistral") throws -> [String] {
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(base))
        let model = try bridge.toModel(elementType: .float32, on: Self.engine)
        return try bridge.loadAdapters(from: adapter, on: model).notes
    }

    private func problems(_ adapter: String, base: String = "mistral") -> String {
        let error = #expect(throws: BridgeError.self) { try notes(adapter, base: base) }
        return ([error?.message ?? ""] + (error?.names ?? [])).joined(separator: "\n")
    }

    /// PEFT warns of missing keys, and the matrix B of these modules is then zero.
    @Test func aTargetWithoutItsTensorsIsReported() throws {
        let found = try notes(copy("mistral-patterns", without: "layers.0.self_attn.q_proj."))
        #expect(
            found.contains { $0.contains("model.layers.0.self_attn.q_proj") && $0.contains("no adapter") },
            "\(found)"
        )
        #expect(try !notes(copy("mistral-patterns")).contains { $0.contains("no adapter") })
        let wider = try notes(copy("mistral-layers", ["target_modules": ["q_proj", "v_proj", "lm_head"]]))
        #expect(wider.contains { $0.contains("model.layers.1.self_attn.v_proj") && $0.contains("lm_head") }, "\(wider)")
        #expect(!wider.contains { $0.contains("layers.0.") }, "\(wider)")
    }

    /// PEFT leaves random values in the place of the missing ones.
    @Test func aTargetWithoutItsTensorsIsRefusedWhereItWouldBeRandom() throws {
        let adapter = try copy(
            "mistral-patterns",
            ["init_lora_weights": false],
            without: "layers.0.self_attn.q_proj."
        )
        let text = problems(adapter)
        #expect(text.contains("model.layers.0.self_attn.q_proj") && text.contains("init_lora_weights"), "\(text)")
    }

    /// PEFT raises a KeyError for the first two, and a ValueError for the last.
    @Test(
        arguments: [
            ("mistral", [3, 1], "model.embed_tokens"), ("mistral", ["lm_head": [3]], "lm_head"),
            ("mistral-tied", [3, 1], "model.embed_tokens"), ("mistral", ["foo": [3]], "foo"),
        ] as [(String, JSON, String)]
    )
    func trainedTokensWithoutTheirTensorsAreRefused(_ base: String, _ tokens: JSON, _ module: String) throws {
        let name = base == "mistral" ? "mistral-layers" : "mistral-tied-tokens"
        let adapter = try copy(name, ["trainable_token_indices": tokens], without: "trainable_tokens_delta")
        let text = problems(adapter, base: base)
        #expect(text.contains("trainable_token_indices") && text.contains(module), "\(text)")
    }

    /// Each is a ValueError of PEFT's `LoraConfig`.
    @Test(
        arguments: [
            ["layers_pattern": "layers", "layers_to_transform": nil],
            ["layers_pattern": ["layers"], "layers_to_transform": nil],
            ["layers_pattern": "layers", "layers_to_transform": nil, "target_modules": ".*q_proj"],
            ["target_modules": ".*q_proj"], ["target_modules": "all-linear"],
        ] as [[String: JSON]]
    )
    func layersThatPEFTRefusesAreRefused(_ settings: [String: JSON]) throws {
        let text = try problems(copy("mistral-layers", settings))
        #expect(text.contains("layers_to_transform") || text.contains("layers_pattern"), "\(text)")
        #expect(text.contains("expected"), "\(text)")
    }

    @Test func emptyLayersMeanAllOfThem() throws {
        let settings: [String: JSON] = ["layers_pattern": [], "layers_to_transform": nil]
        #expect(try notes(copy("mistral-layers", settings)).contains { $0.contains("layers.0.self_attn.q_proj") })
    }
}
