import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

/// Exports for llama.cpp; values and logits are compared by Tests/Peers/compare_gguf.py.
@Suite struct GGUFExportTests {
    private func options(_ type: GGUFType? = nil, overwrite: Bool = false) -> ConversionOptions {
        var options = ConversionOptions(overwrite: overwrite)
        (options.writesGGUF, options.ggufType) = (true, type)
        return options
    }

    private func problem(_ body: () throws -> Void) -> String {
        do {
            try body()
            return ""
        } catch let error as BridgeError {
            return ([error.message] + error.names).joined(separator: "\n")
        } catch { return "\(error)" }
    }

    /// A copy of a fixture with other settings.
    private func changed(
        _ name: String,
        in directory: TemporaryDirectory,
        file: String = "config.json",
        change: (inout JSON) -> Void
    ) throws -> AutoBridge {
        let path = directory.path(UUID().uuidString)
        try FileManager.default.copyItem(atPath: Fixtures.checkpoint(name), toPath: path)
        var json = try JSON(parsing: Array(Data(contentsOf: URL(filePath: "\(path)/\(file)"))))
        change(&json)
        try Data(json.text()).write(to: URL(filePath: "\(path)/\(file)"))
        return try AutoBridge.fromHF(path)
    }

    /// A fixture with the scale of attention and the frequencies of a tower that llama.cpp computes with.
    private func supported(_ name: String, in directory: TemporaryDirectory) throws -> AutoBridge {
        switch name.prefix(while: { $0 != "-" }) {
        case "gemma3":
            try changed(name, in: directory) {
                $0.set($0[path: "text_config.head_dim"], at: "text_config.query_pre_attn_scalar")
            }
        case "ministral3" where name.contains("native"):
            try changed(name, in: directory, file: "params.json") { $0.set(10000.0, at: "vision_encoder.rope_theta") }
        case "ministral3":
            try changed(name, in: directory) { $0.set(10000.0, at: "vision_config.rope_parameters.rope_theta") }
        default: try AutoBridge.fromHF(Fixtures.checkpoint(name))
        }
    }

    /// Every parameter becomes tensors of a file, and none twice.
    @Test(arguments: [
        "mistral", "mistral-tied", "ministral3", "ministral3-fp8", "gemma3", "gemma3-untied", "gemma3-5x",
    ])
    func everyParameterHasItsPlace(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let plan = try supported(name, in: directory).ggufPlan(options(.bf16))
        #expect(Set(plan.lines.flatMap(\.sources)) == Set(plan.ledger.mapped))
        #expect(Set(plan.lines.map(\.name)).count == plan.lines.count)
        let isOfText = name.hasPrefix("mistral")
        #expect(plan.files.map(\.name) == (isOfText ? ["model-BF16.gguf"] : ["model-BF16.gguf", "mmproj-BF16.gguf"]))
    }

    /// Whatever the source is: a directory of any spelling, or a checkpoint of any layout.
    @Test(arguments: ["ministral3", "gemma3"]) func allSourcesGiveTheSameFiles(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try supported(name, in: directory)
        try bridge.exportCheckpoint(bridge.ggufPlan(options(.q8)), to: directory.path("one"), options: options(.q8))
        for container in [NativeCheckpoint.Container.native, .torchDist] {
            let layout = RankLayout(tensorSize: 2, pipelineSize: 2)
            try bridge.importCheckpoint(
                to: directory.path("\(container)"),
                options: ConversionOptions(layout: layout, container: container)
            )
            try AutoBridge.fromMegatron(directory.path("\(container)")).exportCheckpoint(
                from: directory.path("\(container)"),
                to: directory.path("other"),
                options: options(.q8, overwrite: true)
            )
            #expect(try contents(of: directory.path("other")) == contents(of: directory.path("one")))
        }
    }

    /// Mistral's own files have the names and the order of rows of another program; tokenizer and settings are others too.
    @Test func anotherSpellingGivesTheSameTensors() throws {
        let directory = try TemporaryDirectory()
        let files = try ["ministral3", "ministral3-native"].map { name in
            let bridge = try supported(name, in: directory)
            let plan = try bridge.ggufPlan(options())
            try bridge.exportCheckpoint(plan, to: directory.path(name), options: options())
            return try contents(of: directory.path(name))
        }
        #expect(files[0].count == 2 && files[0].keys == files[1].keys)
        for (name, one) in files[0] {
            // The tensors are at the end, and more than half of a file.
            let other = try #require(files[1][name])
            #expect(one.suffix(other.count / 2) == other.suffix(other.count / 2), "\(name)")
        }
    }

    @Test func settingsThatLlamaCppDoesNotComputeAreRefusedByName() throws {
        let directory = try TemporaryDirectory()
        let cases: [(String, (inout JSON) -> Void, String)] = [
            ("mistral", { $0.set(7, at: "sliding_window") }, "sliding_window is 7"),
            (
                "mistral", { $0.set(["rope_type": "yarn", "factor": 4.0, "beta_fast": 20.0], at: "rope_scaling") },
                "yarn_beta_fast is 20.0; supported: 32.0"
            ),
            (
                "mistral",
                {
                    $0.set(
                        [
                            "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                            "original_max_position_embeddings": 64,
                        ],
                        at: "rope_scaling"
                    )
                }, "rotary_scaling_type is llama3; supported: default, linear, yarn"
            ),
            ("mistral", { $0.set("gelu", at: "hidden_act") }, "activation_func is gelu; supported: silu"),
            ("gemma3", { $0.set(77, at: "text_config.query_pre_attn_scalar") }, "query_pre_attn_scalar is 77"),
            ("ministral3", { $0.set(-2, at: "vision_feature_layer") }, "vision_feature_layer is [-2]; supported: -1"),
            (
                "ministral3", { $0.set("relu", at: "projector_hidden_act") },
                "projector_hidden_act is relu; supported: gelu or gelu_pytorch_tanh"
            ),
        ]
        for (name, change, words) in cases {
            let found = problem { _ = try changed(name, in: directory, change: change).ggufPlan(options()) }
            #expect(found.contains("llama.cpp cannot compute with") && found.contains(words), "\(found)")
        }
        // A window that is as long as the context has no effect.
        _ = try changed("mistral", in: directory) { $0.set(640, at: "sliding_window") }.ggufPlan(options())
    }

    @Test func aTokenizerThatLlamaCppDoesNotHaveIsRefused() throws {
        let directory = try TemporaryDirectory()
        let bridge = try changed("mistral", in: directory, file: "tokenizer.json") {
            let split: JSON = [
                "type": "Split", "pattern": ["Regex": "\\w+"], "behavior": "Isolated", "invert": false,
            ]
            let bytes: JSON = [
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
            ]
            $0.set(["type": "Sequence", "pretokenizers": [split, bytes]], at: "pre_tokenizer")
        }
        let found = problem { _ = try bridge.ggufPlan(options()) }
        #expect(found.contains("the tokenizer in") && found.contains("the regular expression \\w+"), "\(found)")
    }

    /// Blocks have 32 elements; the width of a matrix may be another.
    @Test func aMatrixThatBlocksDoNotDivideIsStoredInHalves() throws {
        let plan = try AutoBridge.fromHF(Fixtures.checkpoint("mistral")).ggufPlan(options(.q4))
        #expect(plan.notes.contains { $0.contains("of a width that blocks of 32 do not divide are stored as F16") })
        #expect(plan.lines.first { $0.name == "token_embd.weight" }?.elementType == .float16)
    }

    /// The type of the weights is the default.
    @Test func filesHaveTheTypeOfTheWeights() throws {
        for (name, file) in [("mistral", "model-BF16.gguf"), ("mistral-float32", "model-F32.gguf")] {
            #expect(try AutoBridge.fromHF(Fixtures.checkpoint(name)).ggufPlan(options()).files.map(\.name) == [file])
        }
    }
}
