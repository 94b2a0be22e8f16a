import BridgeSupport
package import CheckpointFormats
package import JSONTree
package import ModelSchema
package import Processing
package import TensorRuntime

/// A model of a known family: its bridge, its provider and its configuration, with the types put aside.
package struct FamilyModel {
    package let bridge: any ModelBridge
    package let provider: any ModelProvider
    /// The configuration in the form of `config.json`.
    package let configuration: JSON
    package let architecture: String
    /// Keys of the configuration file that have no verdict.
    package let unreadKeys: [String]

    /// The model that a configuration file describes.
    ///
    /// - Parameters:
    ///   - json: The content of `config.json` or `params.json`.
    ///   - style: Which of the two it is.
    ///   - name: The file, for messages.
    ///   - catalog: The families to choose from.
    /// - Throws: `BridgeError` when no plugin knows the model, or the configuration lacks something.
    package init(json: JSON, style: HuggingFaceDirectory.Style, name: String, catalog: PluginCatalog) throws {
        var configuration = json
        if style == .consolidated {
            guard
                let translated = try catalog.bridges.lazy.compactMap({ try $0.translated(parameters: json, name: name) }
                ).first
            else {
                throw BridgeError(
                    .unsupportedArchitecture,
                    "\(name) describes no model of the loaded plugins (\(catalog.summary))"
                )
            }
            configuration = translated
        }
        let architecture = try Self.architecture(of: configuration, name: name, catalog: catalog)
        let bridge = try catalog.bridge(for: architecture)
        self.bridge = bridge
        self.architecture = architecture
        self.configuration = configuration
        let (provider, unread) = try Self.provide(bridge, configuration, name)
        self.provider = provider
        // What a params.json does not say is not in its translation either, so its own keys are looked at.
        unreadKeys = style == .consolidated ? bridge.parameterSettings?.unknownKeys(of: json) ?? [] : unread
    }

    /// The class of a configuration's model: the one that it names, or transformers' for its `model_type`.
    private static func architecture(of configuration: JSON, name: String, catalog: PluginCatalog) throws -> String {
        if let architecture = configuration["architectures"]?.array?.first?.string { return architecture }
        let type = configuration["model_type"]?.string
        if let architecture = type.flatMap({ catalog.architecture(ofModelType: $0) }) { return architecture }
        throw BridgeError(
            .badConfiguration,
            "\(name) has no architectures, and its model_type is \(type ?? "missing"); expected one of \(catalog.summary), "
                + "written as \"architectures\": [\"\(catalog.architectures.first ?? "...")\"]"
        )
    }

    /// Checks that the model runs: that the family does, and that its table decides all keys of the configuration.
    ///
    /// - Throws: `BridgeError` with the reason, or the keys.
    package func checkRuns() throws {
        try type(of: provider).checkRuns()
        let keys = bridge.configurationSettings.settings.compactMap { setting -> String? in
            guard setting.verdict == .undecided, let value = configuration[path: setting.key]?.nonNull else {
                return nil
            }
            return "\(setting.key): \(value.compactText)"
        }
        guard !keys.isEmpty else { return }
        throw BridgeError(
            .badPlugin,
            "the configuration has \(ByteFormat.counted(keys.count, "key")) that the table of the plugin \(bridge.name) does not decide, so "
                + "that the model can be converted and not run; correct each line Field.undecided: read the key and compute with it, or "
                + "use Field.fixed or Field.noEffect",
            names: keys
        )
    }

    /// The same model with another vocabulary or another output layer.
    ///
    /// - Throws: `BridgeError` when the family cannot be described so.
    package func with(vocabSize: Int, isTied: Bool, catalog: PluginCatalog) throws -> FamilyModel {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) -> JSON {
            guard var provider = provider as? Bridge.Provider else { return configuration }
            provider.decoder.vocabSize = vocabSize
            provider.decoder.shareEmbeddingsAndOutputWeights = isTied
            return bridge.configuration.encode(provider, into: configuration)
        }
        return try FamilyModel(json: open(bridge), style: .transformers, name: "the configuration", catalog: catalog)
    }

    private static func provide<Bridge: ModelBridge>(
        _ bridge: Bridge,
        _ configuration: JSON,
        _ name: String
    ) throws -> (any ModelProvider, [String]) {
        let (provider, unread) = try bridge.provider(configuration: configuration, name: name)
        return (provider, unread)
    }

    /// The type of dequantised weights: the configuration's if it is a supported compute type.
    package var dequantisedType: ElementType {
        provider.elementType.flatMap { $0.isFloatingPoint && $0.byteCount > 1 ? $0 : nil } ?? .bfloat16
    }

    /// The parameters with their tensors.
    package func table(_ style: HuggingFaceDirectory.Style) throws -> ParameterTable {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) throws -> ParameterTable {
            guard let provider = provider as? Bridge.Provider else {
                throw BridgeError(.badPlugin, "the plugin \(bridge.name) was given another family's provider")
            }
            return bridge.parameters(of: provider, style: style)
        }
        return try open(bridge)
    }

    /// The provider's fields under Megatron-Core's names.
    package func megatronFields() -> JSONObject {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) -> JSONObject {
            guard let provider = provider as? Bridge.Provider else { return JSONObject() }
            return bridge.configuration.megatronFields(of: provider)
        }
        return open(bridge)
    }

    /// The provider's fields in which another model of the same architecture differs, under Megatron-Core's names.
    ///
    /// - Returns: The fields with the values of this model and of the other one, `none` where it has none.
    package func differences(from other: FamilyModel) -> [(field: String, own: String, other: String)] {
        let (own, others) = (megatronFields(), other.megatronFields())
        return Set(own.keys).union(others.keys).sorted().filter { own[$0] != others[$0] }
            .map { ($0, own[$0]?.compactText ?? "none", others[$0]?.compactText ?? "none") }
    }

    /// The configuration of the provider, into `base` or from nothing.
    package func encoded(elementType: ElementType?, into base: JSON?) -> JSON {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) -> JSON {
            guard var provider = provider as? Bridge.Provider else { return base ?? .object(JSONObject()) }
            if let elementType { provider.elementType = elementType }
            return bridge.configuration.encode(provider, into: base)
        }
        return open(bridge)
    }

    /// The files of the tokenizer and the processor in a directory.
    package func processorFiles(directory: String) throws -> ProcessorFiles {
        try ProcessorFiles(
            directory: directory,
            hasProcessor: !bridge.processorSettings.isEmpty,
            tokenizerClass: bridge.tokenizerClass
        )
    }

    /// The model as llama.cpp has it.
    package func gguf(files: ProcessorFiles) throws -> GGUFModel {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) throws -> GGUFModel {
            guard let provider = provider as? Bridge.Provider else {
                throw BridgeError(.badPlugin, "the plugin \(bridge.name) was given another family's provider")
            }
            return try bridge.gguf(of: provider, files: files)
        }
        return try open(bridge)
    }

    /// The processor of text and images, from the files in a directory.
    package func processor(directory: String) throws -> any ModelProcessor {
        let files = try processorFiles(directory: directory)
        func open<Bridge: ModelBridge>(_ bridge: Bridge) throws -> (any ModelProcessor)? {
            guard let provider = provider as? Bridge.Provider else {
                throw BridgeError(.badPlugin, "the plugin \(bridge.name) was given another family's provider")
            }
            return try bridge.processor(for: provider, files: files)
        }
        return try open(bridge) ?? TextProcessor(decoder: provider.decoder, files: files)
    }
}
