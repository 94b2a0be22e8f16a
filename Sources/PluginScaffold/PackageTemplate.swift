import BridgeCore
import JSONTree

/// The files of a new plugin's package.
struct PackageTemplate {
    let name: String
    let draft: FamilyDraft
    let source: String

    var files: [(path: String, text: String)] {
        [
            ("Package.swift", manifest), ("README.md", readme), (".gitignore", ".build/\nPackage.resolved\n"),
            ("Sources/\(name)/\(name)Plugin.swift", plugin),
            ("Sources/\(name)/\(name)Configuration.swift", configuration),
            ("Sources/\(name)/\(name)Bridge.swift", bridge),
            ("Sources/\(name)/\(name)Model.swift", model),
            ("Sources/\(name)/\(name)Toy.swift", toy),
            ("Tests/\(name)Tests/\(name)ConformanceTests.swift", tests),
            ("Tests/reference.py", reference),
        ]
    }

    /// The family's name, as `bridge toy --family` takes it.
    private var family: String { name.lowercased() }

    /// Lines with an indentation.
    private func indented(_ lines: [String], by count: Int) -> String {
        lines.map { String(repeating: " ", count: count) + $0 }.joined(separator: "\n")
    }

    private var manifest: String {
        """
        // swift-tools-version: 6.1
        import PackageDescription

        // The sources of Bridge. Plugin and program have to be built from the same sources with the same Swift.
        let bridge = Context.environment["BRIDGE_SOURCE"] ?? "\(SwiftLiteral.escaped(source))"
        let core: Target.Dependency = .product(name: "BridgeCore", package: "BridgeCore")

        let package = Package(
            name: "\(name)",
            products: [.library(name: "\(name)Plugin", type: .dynamic, targets: ["\(name)"])],
            dependencies: [.package(path: "\\(bridge)/Sources/BridgeCore")],
            targets: [
                .target(name: "\(name)", dependencies: [core]),
                .testTarget(name: "\(name)Tests", dependencies: ["\(name)", core]),
            ],
            swiftLanguageModes: [.v6]
        )

        """
    }

    private var plugin: String {
        """
        import BridgeCore
        import CPluginABI

        /// The plugin with the family \(name).
        struct \(name)Plugin: ModelPlugin {
            var bridges: [any ModelBridge] { [\(name)Bridge()] }
        }

        /// The fingerprint that Bridge checks before it loads the plugin.
        @_cdecl("bridge_plugin_abi")
        public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

        /// The plugin.
        @_cdecl("bridge_plugin_make")
        public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(\(name)Plugin()) }

        private let descriptor = PluginDescriptor(
            name: "\(family)",
            version: "0.1.0",
            coreBuild: bridge_core_build(),
            compiler: bridge_compiler()
        )

        """
    }

    private var configuration: String {
        """
        import BridgeCore
        import JSONTree
        import TensorRuntime

        /// A model of the family, as `\(draft.architecture)` computes it.
        struct \(name)Provider: ModelProvider {
            var decoder = DecoderConfiguration()
            var elementType: ElementType?
        \(conversionOnly)
            func validate(name: String) throws {
                guard decoder.modelType == "\(SwiftLiteral.escaped(draft.modelType))" else {
                    throw BridgeError(
                        .badConfiguration,
                        "\\(name): model_type is \\"\\(decoder.modelType)\\"; supported: \(SwiftLiteral.escaped(draft.modelType))"
                    )
                }
                try decoder.validate(name: name)
            }
        }

        extension \(name)Provider {
            /// The class that supplies the values of absent keys.
            private static let source = "\(SwiftLiteral.escaped(draft.configurationClass))"

            /// `config.json` and the provider's fields, read in both directions: the key, Megatron-Core's name, the property, and the
            /// behaviour for an absent key.
            static let table = ConfigurationTable<\(name)Provider>(standardizing: standardized) {
        \(indented(draft.configuration, by: 8))
            }

            /// Every spelling of the rotary parameters becomes `rope_theta` and `rope_scaling`.
            @Sendable private static func standardized(_ json: JSON) -> JSON {
                \(FamilyDraft.mark) the base that the class has for a configuration without one
                RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
            }
        }

        """
    }

    /// The reason of a family that can only be converted.
    private var conversionOnly: String {
        guard let reason = draft.conversionOnly else { return "" }
        return """

                \(FamilyDraft.mark) models are converted and not run; without a reason, they run
                static let conversionOnly: String? = "\(SwiftLiteral.escaped(reason))"

            """
    }

    private var bridge: String {
        """
        import BridgeCore
        import JSONTree

        /// The family \(name).
        struct \(name)Bridge: ModelBridge {
            let name = "\(family)"
            let architectures = ["\(SwiftLiteral.escaped(draft.architecture))"]
            let modelTypes = ["\(SwiftLiteral.escaped(draft.modelType))": "\(SwiftLiteral.escaped(draft.architecture))"]

            var configuration: ConfigurationTable<\(name)Provider> { \(name)Provider.table }

            var toy: ToyRecipe { \(name)Toy.recipe }

            /// Megatron's parameter and its tensors, read in both directions; `*` is the layer.
            func parameters(of provider: \(name)Provider, style: HuggingFaceDirectory.Style) -> ParameterTable {
                let decoder = provider.decoder
                return ParameterTable {
        \(indented(draft.parameters, by: 12))
                }
            }
        }

        """
    }

    private var model: String {
        """
        import BridgeCore
        import TensorRuntime

        /// A model of the family: a decoder that differs from that of Llama in the settings below.
        final class \(name)Model: CausalModel {
            let decoder: TransformerDecoder

            init(_ provider: \(name)Provider, _ weights: ModelWeights) throws {
                \(draft.form.isEmpty ? "let" : "var") form = try DecoderArchitecture(alike: provider.decoder)
        \(draft.form.isEmpty ? "" : indented(draft.form, by: 8) + "\n")\
                decoder = try TransformerDecoder(provider.decoder, form: form, weights: weights)
            }
        }

        extension \(name)Provider {
            func provide(_ weights: ModelWeights) throws -> any CausalModel { try \(name)Model(self, weights) }
        }

        """
    }

    private var toy: String {
        let published =
            draft.published.map { published in
                """

                    /// The configuration that the plugin was drafted from.
                    private static let published: JSON = [
                \(indented(SwiftLiteral.lines(published), by: 8))
                    ]

                """
            } ?? ""
        return """
            import BridgeCore
            import JSONTree

            /// Toy models of the family, which the conformance suite and `bridge toy` make.
            enum \(name)Toy {
                static let recipe = ToyRecipe(
                    tiny: tiny,
                    realSizes: \(draft.published == nil ? "[]" : "[(\"published\", published)]"),
                    layersPath: "num_hidden_layers",
                    hiddenPath: "hidden_size",
                    hiddenDivisor: { configuration in
                        guard configuration["head_dim"]?.integer == nil, let heads = configuration["num_attention_heads"]?.integer
                        else { return nil }
                        return ToyDivisor(2 * heads, "twice the \\(heads) attention heads, whose width follows from it")
                    },
                    \(FamilyDraft.mark) weights of norms are near 1, and multiplied as they are
                    values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
                    sideFiles: sideFiles
                )

                /// No two sizes are alike, and no value is the default of a class, so that a wrong one shows.
                private static let tiny: JSON = [
            \(indented(SwiftLiteral.lines(draft.tiny), by: 8))
                ]
            \(published)
                private static func sideFiles(_ configuration: JSON) -> [ToyFile] {
                    ToyTokenizer.byteLevelFiles(
                        size: configuration["vocab_size"]?.integer ?? 0,
                        special: [(0, "<pad>"), (1, "<s>"), (2, "</s>")],
                        named: [("bos_token", "<s>"), ("eos_token", "</s>"), ("pad_token", "<pad>")],
                        start: (1, "<s>"),
                        pattern: #"[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#,
                        chatTemplate: "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
                    ) + [ToyFile("generation_config.json", ["bos_token_id": 1, "eos_token_id": 2])]
                }
            }

            """
    }

    private var tests: String {
        """
        import BridgeCore
        import Foundation
        import PluginConformance
        import TensorRuntime
        import Testing

        @testable import \(name)

        /// The rules that every plugin keeps, on a toy and, once Tests/reference.py has made it, on a fixture.
        @Suite struct \(name)ConformanceTests {
            /// The directory with `checkpoint/` and `reference.safetensors`.
            private static let fixture = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Fixture").path

            private static var fixtures: [ReferenceFixture] {
                guard FileManager.default.fileExists(atPath: fixture) else { return [] }
                return [
                    ReferenceFixture(checkpoint: "\\(fixture)/checkpoint", reference: "\\(fixture)/reference.safetensors")
                ]
            }

            @Test func thePluginKeepsTheRules() throws {
                let suite = ConformanceSuite(
                    catalog: try PluginCatalog(linked: [\(name)Plugin()]),
                    engine: CPUEngine(threadCount: 2),
                    fixtures: Self.fixtures
                )
                for finding in try suite.run().flatMap(\\.findings) { Issue.record("\\(finding.sentence)") }
            }
        }

        """
    }

    private var reference: String {
        """
        #!/usr/bin/env python3
        \"\"\"Writes the fixture of the conformance test: a toy checkpoint and the logits of transformers for it.

            bridge toy --plugin .build/release/lib\(name)Plugin.so --family \(family) --output Tests/Fixture/checkpoint
            python3 Tests/reference.py Tests/Fixture

        The model may be any of the family, such as a published one: `reference.py DIRECTORY` reads DIRECTORY/checkpoint, or the model
        in DIRECTORY itself, and writes DIRECTORY/reference.safetensors; `reference.py MODEL FILE` writes another file.

        Needs torch, transformers and safetensors.
        \"\"\"

        import os
        import sys

        import torch
        from safetensors.torch import save_file
        from transformers import AutoModelForCausalLM

        fixture = sys.argv[1]
        checkpoint = f"{fixture}/checkpoint" if os.path.isdir(f"{fixture}/checkpoint") else fixture
        output = sys.argv[2] if len(sys.argv) > 2 else f"{fixture}/reference.safetensors"
        model = AutoModelForCausalLM.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager", local_files_only=True
        ).eval()
        tokens = [(i * i * 7 + i * 3 + 11) % model.config.vocab_size for i in range(48)]
        input_ids = torch.tensor([tokens])
        with torch.no_grad():
            output = model(input_ids, output_hidden_states=True, use_cache=False)
        tensors = {"input_ids": input_ids, "logits": output.logits}
        for index, state in enumerate(output.hidden_states):
            tensors[f"hidden_states.{index}"] = state.contiguous()
        save_file(tensors, output)

        """
    }

    private var readme: String {
        let origin =
            draft.published == nil
            ? "The tables are those of a decoder as Llama's." : "The tables were drafted from a published model."
        return """
            # \(name)

            A plugin for Bridge with the family `\(family)` (`\(draft.architecture)`). \(origin)
            Lines with `\(FamilyDraft.mark)` are guesses; check each against the code of the reference program and remove the mark.

            | File | Contents |
            | --- | --- |
            | `Sources/\(name)/\(name)Plugin.swift` | the two C functions that Bridge calls |
            | `Sources/\(name)/\(name)Configuration.swift` | the keys of `config.json` and the provider's fields |
            | `Sources/\(name)/\(name)Bridge.swift` | the architecture and the parameter table |
            | `Sources/\(name)/\(name)Model.swift` | the differences from the shared decoder |
            | `Sources/\(name)/\(name)Toy.swift` | toy models |
            | `Tests/` | the conformance suite; `reference.py` records logits of transformers |

            ## Build and test

            ```
            swift build -c release        # .build/release/lib\(name)Plugin.so
            swift test -Xcc -O2           # the conformance suite
            ```

            `swift test` builds in debug, so that it builds the core again, which takes minutes once. Packages that are built with the same
            flags and the same `--scratch-path DIRECTORY` share the core.

            The sources of Bridge are found at the path in `Package.swift`, or at that of the variable `BRIDGE_SOURCE`. Build Bridge and the
            plugin from the same sources with the same Swift; otherwise Bridge refuses the plugin and reports which one to rebuild.

            ## Use

            ```
            bridge plugins test .build/release/lib\(name)Plugin.so
            bridge toy --plugin .build/release/lib\(name)Plugin.so --family \(family) --output toy
            export BRIDGE_PLUGIN_PATH=$PWD/.build/release
            bridge convert --hf-model toy --megatron-path toy-megatron --tp 2
            ```

            ## Compare with transformers

            ```
            bridge toy --plugin .build/release/lib\(name)Plugin.so --family \(family) --output Tests/Fixture/checkpoint
            python3 Tests/reference.py Tests/Fixture
            swift test -Xcc -O2
            ```

            A published model of the family shows more than a toy:

            ```
            python3 Tests/reference.py path/to/model logits.safetensors
            bridge plugins test .build/release/lib\(name)Plugin.so --hf-model path/to/model --reference logits.safetensors
            ```

            """
    }
}
