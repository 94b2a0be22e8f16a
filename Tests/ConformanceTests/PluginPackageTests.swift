import BridgeCore
import Foundation
import JSONTree
import PluginScaffold
import TestSupport
import Testing

/// The packages of new plugins; `scripts/test-plugin-packages` builds some and runs their suites.
@Suite struct PluginPackageTests {
    private static let example = "\(Fixtures.repository)/Examples/Plugins/Qwen/Tests/Fixtures/qwen3"

    private static func package(from path: String, name: String = "Sample") throws -> PluginPackage {
        try PluginPackage(name: name, draft: FamilyDraft(name: name, from: path), source: "/bridge")
    }

    private static func text(_ package: PluginPackage, _ file: String) throws -> String {
        try #require(package.files.first { $0.path.hasSuffix(file) }).text
    }

    private static func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was thrown"
        } catch { return (error as? BridgeError)?.message ?? "\(error)" }
    }

    @Test(arguments: ["mistral", "mistral-tied", "mistral-odd-vocab"])
    func everyTensorAndEveryKeyOfTheModelIsInTheTables(_ name: String) throws {
        let package = try Self.package(from: Fixtures.checkpoint(name))
        let (bridge, configuration) = (
            try Self.text(package, "Bridge.swift"), try Self.text(package, "Configuration.swift")
        )
        let directory = try HuggingFaceDirectory(path: Fixtures.checkpoint(name))
        for tensor in directory.tensors.keys {
            let pattern = tensor.replacing(/\.\d+\./, with: ".*.")
            #expect(bridge.contains("\"\(pattern)\""), "\(pattern)")
        }
        let common = Set(SettingsTable.common.settings.map(\.key))
        for (key, _) in directory.configuration.object ?? JSONObject() where !common.contains(key) {
            #expect(configuration.contains("\"\(key)\""), "\(key)")
        }
        #expect(!bridge.contains("not recognised"))
    }

    @Test func whatTheModelDoesNotDecideIsMarked() throws {
        let scratch = try TemporaryDirectory()
        let model = try scratch.copy(ofCheckpoint: "mistral")
        try Models.edit(URL(filePath: "\(model)/config.json")) { json in
            json.set(7, at: "attention_sink_size")
            json.set(["deep": [1, nil, "a\"b\\(c)"]], at: "odd")
            json.set(false, at: "attention_bias")
            json.set(1.0, at: "logits_scaling")
        }
        let package = try Self.package(from: model)
        let lines = try Self.text(package, "Configuration.swift").split(separator: "\n").map(String.init)
        for (field, words) in [
            (#"Field.undecided("attention_sink_size")  // 7"#, "until then models are converted and not run"),
            (#"Field.undecided("odd.deep")  // [1, nil, "a\"b\\(c)"]"#, "until then models are converted and not run"),
            (#"Field.fixed("attention_bias", [false], ifAbsent: source)"#, "has to be the default of the class"),
            (#"Field.fixed("logits_scaling", [1.0], ifAbsent: source)"#, "has to be the default of the class"),
        ] {
            let index = try #require(lines.firstIndex { $0.hasSuffix(field) }, "\(field)")
            #expect(lines[index - 1].contains(FamilyDraft.mark) && lines[index - 1].contains(words))
        }
        let marks = package.files.filter { $0.path.hasPrefix("Sources") }.reduce(0) {
            $0 + $1.text.components(separatedBy: FamilyDraft.mark).count - 1
        }
        #expect(package.guesses == marks && marks > 4)
    }

    @Test func headNormsAreFoundInTheNames() throws {
        let package = try Self.package(from: Self.example)
        #expect(try Self.text(package, "Model.swift").contains("form.normalizesHeads = true"))
        #expect(
            try Self.text(package, "Bridge.swift").contains(
                "Rename(\"decoder.layers.*.self_attention.q_layernorm.weight\", \"model.layers.*.self_attn.q_norm.weight\", [decoder.kvChannels])"
            )
        )
        // The toy has the keys of the model and other sizes.
        let toy = try Self.text(package, "Toy.swift")
        #expect(toy.contains("\"use_sliding_window\": true,") && toy.contains("\"hidden_size\": 48,"))
        #expect(toy.contains("\"hidden_size\": 24,"))
    }

    /// OLMo 2 has no norms before attention and MLP, and norms of query and key over all heads.
    @Test func layersThatTheDecoderDoesNotHaveAreMarked() throws {
        let scratch = try TemporaryDirectory()
        let model = try scratch.copy(ofCheckpoint: "mistral")
        let file = URL(filePath: "\(model)/config.json")
        var sizes = (heads: 0, groups: 0, width: 0)
        try Models.edit(file) { json in
            sizes = (
                json["num_attention_heads"]?.integer ?? 0, json["num_key_value_heads"]?.integer ?? 0,
                json["head_dim"]?.integer ?? 0
            )
            json.set(nil, at: "tie_word_embeddings")
            json.set([true, false, true, true], at: "attn_types")
            json.set(4, at: "num_hidden_layers")
        }
        #expect(sizes.groups != sizes.heads && sizes.groups > 1)
        let tensors = try HuggingFaceDirectory(path: model).tensors.values.map { tensor in
            (tensor.name.replacing("input_layernorm", with: "post_feedforward_layernorm"), tensor.shape)
        }
        let norms = [("q", sizes.heads), ("k", sizes.groups)].map { part, count in
            ("model.layers.0.self_attn.\(part)_norm.weight", [count * sizes.width])
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: model) where file.contains("safetensors") {
            try Files.remove("\(model)/\(file)")
        }
        let weights = Models.safetensors(
            (tensors + norms).map { ($0, $1, [Int64](repeating: 0, count: $1.reduce(1, *))) }
        )
        try weights.write(to: URL(filePath: "\(model)/model.safetensors"))
        let package = try Self.package(from: model)
        let bridge = try Self.text(package, "Bridge.swift")
        for part in ["attention", "MLP"] {
            #expect(
                bridge.contains(
                    "\(FamilyDraft.mark) no tensor was recognised as the norm before \(part), which every layer"
                )
            )
        }
        for (part, count) in [("q", "numAttentionHeads"), ("k", "numQueryGroups")] {
            #expect(bridge.contains("self_attn.\(part)_norm.weight\", [decoder.\(count) * decoder.kvChannels])"))
        }
        #expect(
            bridge.contains(
                "\(FamilyDraft.mark) a norm over all heads together, which the shared decoder does not compute"
            )
        )
        #expect(try !Self.text(package, "Model.swift").contains("normalizesHeads"))
        let configuration = try Self.text(package, "Configuration.swift")
        #expect(
            configuration.contains("config.json has no tie_word_embeddings; the default has to be that of the class")
        )
        #expect(configuration.contains("source = \"MistralConfig\""))
        // The toy has five layers.
        #expect(try Self.text(package, "Toy.swift").contains("\"attn_types\": [true, false, true, false, true],"))
    }

    /// StableLM has LayerNorm and rotates a quarter of each head.
    @Test func whatTheDecoderDoesNotComputeMakesAFamilyThatIsConverted() throws {
        let scratch = try TemporaryDirectory()
        let model = try scratch.copy(ofCheckpoint: "mistral")
        let tensors = try HuggingFaceDirectory(path: model).tensors.values.map { ($0.name, $0.shape) }
        let hidden = try #require(tensors.first { $0.0 == "model.norm.weight" }?.1)
        try Models.edit(URL(filePath: "\(model)/config.json")) { json in
            json.set(nil, at: "rms_norm_eps")
            json.set(0.00001, at: "layer_norm_eps")
            json.set(0.25, at: "partial_rotary_factor")
        }
        for file in try FileManager.default.contentsOfDirectory(atPath: model) where file.contains("safetensors") {
            try Files.remove("\(model)/\(file)")
        }
        // A projection with rows that no size of the configuration makes, and one of query, key and value together.
        let all =
            tensors.map { $0.0.hasSuffix("0.self_attn.o_proj.weight") ? ($0.0, [7, $0.1[1]]) : $0 }
            + [("model.norm.bias", hidden), ("model.layers.0.self_attn.qkv.weight", [160, hidden[0]])]
        let weights = Models.safetensors(all.map { ($0, $1, [Int64](repeating: 0, count: $1.reduce(1, *))) })
        try weights.write(to: URL(filePath: "\(model)/model.safetensors"))
        let package = try Self.package(from: model)
        let configuration = try Self.text(package, "Configuration.swift")
        #expect(
            configuration.contains(
                "static let conversionOnly: String? = \"its norms are LayerNorm (model.norm.bias), and the shared decoder computes RMSNorm; "
                    + "it rotates a part of each head (partial_rotary_factor 0.25), and the shared decoder whole heads\""
            )
        )
        #expect(configuration.contains(#"Field("layer_norm_eps", "layernorm_epsilon", \.decoder.layernormEpsilon)"#))
        #expect(
            configuration.contains(
                "\(FamilyDraft.mark) partial_rotary_factor is 0.25, and the shared decoder rotates whole heads"
            )
        )
        #expect(configuration.contains("\\.decoder.ropeScaling, ignoresPartialRotaryFactor: true)"))
        let bridge = try Self.text(package, "Bridge.swift")
        #expect(
            bridge.contains("self_attn.o_proj.weight has the shape [7, 80], and the sizes of config.json make [36, 80]")
        )
        #expect(
            bridge.contains(
                "[(decoder.numAttentionHeads + 2 * decoder.numQueryGroups) * decoder.kvChannels, decoder.hiddenSize])"
            )
        )
        // A model that the decoder seems to compute has no reason.
        let plain = try Self.text(Self.package(from: Fixtures.checkpoint("mistral")), "Configuration.swift")
        #expect(!plain.contains("conversionOnly") && !plain.contains("ignoresPartialRotaryFactor"))
        #expect(
            try !Self.text(Self.package(from: Fixtures.checkpoint("mistral")), "Bridge.swift").contains("has the shape")
        )
    }

    /// The modules of the core are the directories of its sources.
    @Test func namesOfModulesAndOfTypesOfTheCoreAreRefused() throws {
        let modules = try FileManager.default.contentsOfDirectory(atPath: "\(Fixtures.repository)/Sources/BridgeCore")
            .filter { !$0.contains(".") }
        #expect(modules.count > 30)
        for name in modules + ["Model", "Causal", "Dispatch", "Foundation", "FoundationEssentials", "Glibc", "Testing"]
        {
            #expect(throws: BridgeError.self, "\(name)") { try PluginPackage.check(name) }
        }
        try PluginPackage.check("ModelFamily")
    }

    @Test(arguments: ["", "small", "My-Family", "1Family", "Ä", "A b", "BridgeCore", "../Up"])
    func aNameThatCannotBeginTypesIsRefused(_ name: String) {
        #expect(throws: BridgeError.self) { try PluginPackage.check(name) }
    }

    @Test func modelsWithoutADraftAreRefused() throws {
        #expect(
            Self.message { _ = try Self.package(from: Fixtures.checkpoint("gemma3")) }
                .contains("has text_config, and drafts are for models that read text only")
        )
        #expect(
            Self.message { _ = try Self.package(from: Fixtures.checkpoint("mistral-native")) }
                .contains("is not a config.json of transformers")
        )
        let scratch = try TemporaryDirectory()
        let model = try scratch.copy(ofCheckpoint: "mistral")
        try Models.edit(URL(filePath: "\(model)/config.json")) { $0.set(["A`\nimport Glibc"], at: "architectures") }
        #expect(Self.message { _ = try Self.package(from: model) }.contains("expected a word of letters"))
    }

    @Test func anExistingDirectoryIsKept() throws {
        let scratch = try TemporaryDirectory()
        let package = try PluginPackage(name: "Sample", draft: FamilyDraft(name: "Sample"), source: "/bridge")
        try package.write(to: scratch.path("Sample"))
        #expect(scratch.content.filter { $0.hasSuffix("Plugin.swift") } == ["Sample/Sources/Sample/SamplePlugin.swift"])
        #expect(Self.message { try package.write(to: scratch.path("Sample")) }.contains("already exists"))
        try FileManager.default.createDirectory(atPath: scratch.path("a/Empty"), withIntermediateDirectories: true)
        #expect(Self.message { try package.write(to: scratch.path("a/Empty")) } == "nothing was thrown")
        #expect(Self.message { try package.write(to: scratch.path("a/b/Sample")) } == "nothing was thrown")
        // Nothing is left of what could not be written.
        try Data().write(to: scratch.url("file"))
        #expect(Self.message { try package.write(to: scratch.path("file/Sample")) }.contains("file/Sample"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["Sample", "a", "file"])
    }

    @Test func insideOfTheSourcesTheirPathIsRelative() throws {
        let root = Fixtures.repository
        #expect(PluginPackage.isSource(root) && !PluginPackage.isSource("\(root)/Sources"))
        #expect(PluginPackage.path(to: root, from: "\(root)/Examples/Plugins/New") == "../../..")
        #expect(PluginPackage.path(to: root, from: "\(root)/New") == "..")
        let scratch = try TemporaryDirectory()
        #expect(PluginPackage.path(to: root, from: scratch.path("New")) == Files.real(root))
        #expect(PluginPackage.source(above: BridgeProcess.executable.path) == Files.real(root))
        #expect(PluginPackage.source(above: "/bin/sh") == nil)
        // As `make install` puts them.
        for directory in ["lib/hfbridge", "share/hfbridge/Sources/BridgeCore"] {
            try FileManager.default.createDirectory(atPath: scratch.path(directory), withIntermediateDirectories: true)
        }
        try scratch.write([], to: "lib/hfbridge/bridge")
        #expect(PluginPackage.source(above: scratch.path("lib/hfbridge/bridge")) == nil)
        try scratch.write([], to: "share/hfbridge/Sources/BridgeCore/Package.swift")
        let installed = Files.real(scratch.path("share/hfbridge"))
        #expect(PluginPackage.source(above: scratch.path("lib/hfbridge/bridge")) == installed)
    }
}
