import JSONTree
import TensorRuntime

/// A model of a known family: its bridge, its provider and its configuration, with the types put aside.
struct FamilyModel {
    let bridge: any ModelBridge
    let provider: any ModelProvider
    /// The configuration in the form of `config.json`.
    let configuration: JSON
    let architecture: String
    /// Keys of the configuration file that have no verdict.
    let unreadKeys: [String]

    /// The model that a configuration file describes.
    ///
    /// - Parameters:
    ///   - json: The content of `config.json` or `params.json`.
    ///   - style: Which of the two it is.
    ///   - name: The file, for messages.
    ///   - catalog: The families to choose from.
    /// - Throws: `BridgeError` when no plugin knows the model, or the configuration lacks something.
    init(json: JSON, style: HuggingFaceFolder.Style, name: String, catalog: PluginCatalog) throws {
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
        guard let architecture = configuration["architectures"]?.array?.first?.string else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has no architectures, so there is no telling what model it describes"
            )
        }
        let bridge = try catalog.bridge(for: architecture)
        self.bridge = bridge
        self.architecture = architecture
        self.configuration = configuration
        let (provider, unread) = try Self.provide(bridge, configuration, name)
        self.provider = provider
        // What a params.json does not say is not in its translation either, so its own keys are looked at.
        unreadKeys = style == .consolidated ? bridge.parameterSettings?.unknownKeys(of: json) ?? [] : unread
    }

    private static func provide<Bridge: ModelBridge>(
        _ bridge: Bridge,
        _ configuration: JSON,
        _ name: String
    ) throws -> (any ModelProvider, [String]) {
        let (provider, unread) = try bridge.provider(configuration: configuration, name: name)
        return (provider, unread)
    }

    /// The type that quantised weights get: the configuration's when numbers can be computed with it.
    var dequantisedType: ElementType {
        provider.elementType.flatMap { $0.isFloatingPoint && $0.byteCount > 1 ? $0 : nil } ?? .bfloat16
    }

    /// The parameters and the tensors that they are made of.
    func table(_ style: HuggingFaceFolder.Style) throws -> ParameterTable {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) throws -> ParameterTable {
            guard let provider = provider as? Bridge.Provider else {
                throw BridgeError(.badPlugin, "the plugin \(bridge.name) was given another family's provider")
            }
            return bridge.parameters(of: provider, style: style)
        }
        return try open(bridge)
    }

    /// The provider's fields under Megatron-Core's names.
    func megatronFields() -> JSONObject {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) -> JSONObject {
            guard let provider = provider as? Bridge.Provider else { return JSONObject() }
            return bridge.configuration.megatronFields(of: provider)
        }
        return open(bridge)
    }

    /// The configuration of the provider, into `base` or from nothing.
    func encoded(elementType: ElementType?, into base: JSON?) -> JSON {
        func open<Bridge: ModelBridge>(_ bridge: Bridge) -> JSON {
            guard var provider = provider as? Bridge.Provider else { return base ?? .object(JSONObject()) }
            if let elementType { provider.elementType = elementType }
            return bridge.configuration.encode(provider, into: base)
        }
        return open(bridge)
    }

    /// What turns text and images into inputs, from the files in a folder.
    func processor(folder: String) throws -> any ModelProcessor {
        let files = try ProcessorFiles(folder: folder)
        func open<Bridge: ModelBridge>(_ bridge: Bridge) throws -> (any ModelProcessor)? {
            guard let provider = provider as? Bridge.Provider else {
                throw BridgeError(.badPlugin, "the plugin \(bridge.name) was given another family's provider")
            }
            return try bridge.processor(for: provider, files: files)
        }
        return try open(bridge) ?? TextProcessor(decoder: provider.decoder, files: files)
    }
}
