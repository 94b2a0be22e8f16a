public import JSONTree
public import TensorRuntime

/// The way in: a model by the place of its files, whatever its family.
///
/// ```swift
/// let bridge = try AutoBridge.fromHF("models/Ministral-3-3B-Instruct-2512")
/// try bridge.importCheckpoint(to: "megatron/ministral-3-3b", options: .init(layout: .init(tensorSize: 2)))
/// ```
public struct AutoBridge: Sendable {
    /// The families that are known.
    public let catalog: PluginCatalog
    /// The folder with the weights; nil for a bridge made from a configuration alone.
    public let folder: HuggingFaceFolder?

    let model: FamilyModel
    /// The folder with the tokenizer; nil for a bridge made from a configuration alone.
    let processorFolder: String?
    /// Whose names the Hugging Face side of the checkpoint has that the bridge was made from.
    let checkpointStyle: HuggingFaceFolder.Style
    /// The checkpoint's files from the Hugging Face side, as paths inside it.
    let checkpointSideFiles: [String]

    /// The bridge for a Hugging Face folder.
    ///
    /// Reads the configuration and the headers of the weight files, no weight.
    ///
    /// - Parameters:
    ///   - path: The folder.
    ///   - catalog: The families to choose from; without one, the plugins beside the core's library.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when the folder holds no model, or one that no plugin knows.
    public static func fromHF(_ path: String, catalog: PluginCatalog? = nil) throws -> AutoBridge {
        let folder = try HuggingFaceFolder(path: path)
        let catalog = try catalog ?? .standard()
        let name = Files.join(folder.path, folder.style.configurationName)
        let model = try FamilyModel(json: folder.configuration, style: folder.style, name: name, catalog: catalog)
        return AutoBridge(catalog: catalog, folder: folder, model: model)
    }

    /// The bridge for a configuration alone, which has no weights to convert.
    ///
    /// - Parameters:
    ///   - configuration: The content of `config.json`.
    ///   - catalog: The families to choose from; without one, the plugins beside the core's library.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when no plugin knows the model.
    public static func fromHFConfig(_ configuration: JSON, catalog: PluginCatalog? = nil) throws -> AutoBridge {
        let catalog = try catalog ?? .standard()
        let model = try FamilyModel(
            json: configuration,
            style: .transformers,
            name: "the configuration",
            catalog: catalog
        )
        return AutoBridge(catalog: catalog, folder: nil, model: model)
    }

    /// The bridge for a Megatron checkpoint, which carries the configuration of its model.
    ///
    /// - Parameters:
    ///   - path: The checkpoint, or a folder with iterations, of which the newest is taken.
    ///   - catalog: The families to choose from; without one, the plugins beside the core's library.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when there is no checkpoint, or one of a model that no plugin knows.
    public static func fromMegatron(_ path: String, catalog: PluginCatalog? = nil) throws -> AutoBridge {
        try AutoBridge(checkpoint: NativeCheckpoint(path: path), catalog: catalog ?? .standard())
    }

    /// The bridge for a folder of either kind.
    ///
    /// - Throws: `BridgeError` when the folder holds no model, or one that no plugin knows.
    public static func fromAny(_ path: String, catalog: PluginCatalog? = nil) throws -> AutoBridge {
        (try? NativeCheckpoint.iterationPath(path)) == nil
            ? try fromHF(path, catalog: catalog) : try fromMegatron(path, catalog: catalog)
    }

    init(checkpoint: NativeCheckpoint, catalog: PluginCatalog) throws {
        let name = Files.join(
            checkpoint.path,
            "\(NativeCheckpoint.huggingFaceFolder)/\(checkpoint.manifest.style.configurationName)"
        )
        self.catalog = catalog
        folder = nil
        processorFolder = Files.join(checkpoint.path, NativeCheckpoint.huggingFaceFolder)
        checkpointStyle = checkpoint.manifest.style
        checkpointSideFiles = checkpoint.manifest.files.map(\.name).filter {
            $0.hasPrefix("\(NativeCheckpoint.huggingFaceFolder)/")
        }
        model = try FamilyModel(
            json: checkpoint.configuration,
            style: checkpoint.manifest.style,
            name: name,
            catalog: catalog
        )
    }

    private init(catalog: PluginCatalog, folder: HuggingFaceFolder?, model: FamilyModel) {
        self.catalog = catalog
        self.folder = folder
        self.model = model
        processorFolder = folder?.path
        checkpointStyle = .transformers
        checkpointSideFiles = []
    }

    /// Whether a folder holds a model that can be converted.
    ///
    /// Never throws; ``fromHF(_:catalog:)`` says why not.
    public static func canHandle(_ path: String, catalog: PluginCatalog? = nil) -> Bool {
        (try? fromHF(path, catalog: catalog)) != nil
    }

    /// The architectures that can be converted, sorted.
    public static func supportedModels(catalog: PluginCatalog? = nil) throws -> [String] {
        try (catalog ?? .standard()).architectures
    }

    /// The model's architecture, as `config.json` has it.
    public var architecture: String { model.architecture }
    /// The family's bridge.
    public var bridge: any ModelBridge { model.bridge }
    /// Keys of the configuration that nothing here reads.
    public var unreadKeys: [String] { model.unreadKeys }

    /// The provider's fields under Megatron-Core's names, as they stand in `run_config.yaml`.
    public var megatronFields: JSONObject { model.megatronFields() }

    /// The translated configuration.
    public func toProvider() -> any ModelProvider { model.provider }

    /// What turns text and images into the inputs of this model.
    ///
    /// - Throws: `BridgeError` when there is no tokenizer beside the model, or its files do not fit the model.
    public func processor() throws -> any ModelProcessor {
        guard let processorFolder else {
            throw BridgeError(
                .badArgument,
                "this bridge was made from a configuration alone and has no tokenizer; use fromHF"
            )
        }
        return try model.processor(folder: processorFolder)
    }

    /// `config.json` made from the provider alone.
    ///
    /// - Parameter elementType: The type of the weights; nil for the provider's.
    /// - Returns: The configuration.
    public func configuration(elementType: ElementType? = nil) -> JSON {
        var json: JSON = ["architectures": .array([.string(model.architecture)])]
        for (key, value) in model.encoded(elementType: elementType, into: nil).object ?? JSONObject() {
            json.set(value, at: key)
        }
        return json
    }
}
