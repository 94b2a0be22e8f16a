import BridgeSupport
public import CheckpointFormats
import Conversion
public import HuggingFaceHub
public import JSONTree
public import ModelPlugins
public import Processing
public import TensorRuntime

/// The entry point: a model of any family by the location of its files.
///
/// ```swift
/// let bridge = try AutoBridge.fromHF("models/Ministral-3-3B-Instruct-2512")
/// try bridge.importCheckpoint(to: "megatron/ministral-3-3b", options: .init(layout: .init(tensorSize: 2)))
/// ```
public struct AutoBridge: Sendable {
    /// The supported families.
    public let catalog: PluginCatalog
    /// The directory with the weights; nil for a bridge made from a configuration alone.
    public let directory: HuggingFaceDirectory?

    let model: FamilyModel
    /// The checkpoint that the bridge was made from, open; nil for a bridge that was made from something else.
    let checkpoint: NativeCheckpoint?
    /// The directory with the tokenizer; nil for a bridge made from a configuration alone.
    let processorDirectory: String?
    /// The naming style of the Hugging Face side of the checkpoint that the bridge was made from.
    let checkpointStyle: HuggingFaceDirectory.Style
    /// The Hugging Face files of the checkpoint, as paths inside it.
    let checkpointSideFiles: [String]
    /// Whether the model's configuration differs from that of the files.
    private(set) var isReconfigured = false

    /// The bridge for a Hugging Face directory.
    ///
    /// Reads the configuration and the headers of the weight files, no weights.
    ///
    /// - Parameters:
    ///   - path: The directory, or the id of a repository on the hub: `org/name` or `org/name@revision`. An existing directory of that name
    ///     takes precedence, then the hub's cache; missing files are downloaded.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    ///   - hub: The hub for repository ids; by default that of the process's environment.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when the directory has no model, no plugin supports it, or the download fails.
    public static func fromHF(_ path: String, catalog: PluginCatalog? = nil, hub: Hub = .standard) throws -> AutoBridge
    {
        let directory = try HuggingFaceDirectory(path: hub.directory(of: path, for: .model))
        return try AutoBridge(directory: directory, catalog: catalog ?? .standard())
    }

    init(directory: HuggingFaceDirectory, catalog: PluginCatalog) throws {
        let name = Files.join(directory.path, directory.style.configurationName)
        let model = try FamilyModel(json: directory.configuration, style: directory.style, name: name, catalog: catalog)
        self.init(catalog: catalog, directory: directory, model: model)
        // Errors about quantized weights name their scheme when they are read.
        if Quantisation.unusedSetting(of: model.configuration, directory.tensors) != nil {
            try Quantisation.checkMethod(in: model.configuration, source: directory.path)
        }
        try accountForSettings()
    }

    /// The bridge for a model whose weights are not needed and may be missing.
    ///
    /// - Parameters:
    ///   - path: A Megatron checkpoint, a Hugging Face directory, or the id of a repository on the hub, of which no weights are downloaded.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    ///   - hub: The hub for repository ids; by default that of the process's environment.
    /// - Returns: The bridge, with a processor and without weights.
    /// - Throws: `BridgeError` when there is no configuration, no plugin supports it, or the download fails.
    public static func forProcessing(
        _ path: String,
        catalog: PluginCatalog? = nil,
        hub: Hub = .standard
    ) throws -> AutoBridge {
        if NativeCheckpoint.isOne(path) { return try fromMegatron(path, catalog: catalog) }
        let directory = Files.trimmed(try hub.directory(of: path, for: .processor))
        let style = HuggingFaceDirectory.Style.allCases.first {
            Files.exists(Files.join(directory, $0.configurationName))
        }
        guard let style else {
            if let names = try? Files.list(directory), let adapter = HuggingFaceDirectory.adapter(in: path, names) {
                throw adapter
            }
            throw FoundPath.error(directory, expected: HuggingFaceDirectory.expectation)
        }
        let catalog = try catalog ?? .standard()
        let name = Files.join(directory, style.configurationName)
        let model = try FamilyModel(json: JSON(contentsOf: name), style: style, name: name, catalog: catalog)
        let bridge = AutoBridge(catalog: catalog, directory: nil, model: model, processorDirectory: directory)
        try bridge.accountForSettings()
        return bridge
    }

    /// The bridge for a configuration without weights.
    ///
    /// - Parameters:
    ///   - configuration: The content of `config.json`.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when no plugin supports the model.
    public static func fromHFConfig(_ configuration: JSON, catalog: PluginCatalog? = nil) throws -> AutoBridge {
        let catalog = try catalog ?? .standard()
        let model = try FamilyModel(
            json: configuration,
            style: .transformers,
            name: "the configuration",
            catalog: catalog
        )
        return AutoBridge(catalog: catalog, directory: nil, model: model)
    }

    /// The bridge for a Megatron checkpoint, which contains the configuration of its model.
    ///
    /// - Parameters:
    ///   - path: The checkpoint, or a directory with iterations, of which the newest is used.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    ///   - description: The bridge of the same model, for a checkpoint that does not describe it; nil for none.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when there is no checkpoint, or no plugin supports its model.
    public static func fromMegatron(
        _ path: String,
        catalog: PluginCatalog? = nil,
        describedBy description: AutoBridge? = nil
    ) throws -> AutoBridge {
        let catalog = try catalog ?? .standard()
        return try AutoBridge(checkpoint: open(path, catalog: catalog, describedBy: description), catalog: catalog)
    }

    /// The bridge for a directory of either kind.
    ///
    /// - Throws: `BridgeError` when the directory has no model, or no plugin supports it.
    public static func fromAny(_ path: String, catalog: PluginCatalog? = nil, hub: Hub = .standard) throws -> AutoBridge
    {
        (try? NativeCheckpoint.iterationPath(path)) == nil
            ? try fromHF(path, catalog: catalog, hub: hub) : try fromMegatron(path, catalog: catalog)
    }

    init(checkpoint: NativeCheckpoint, catalog: PluginCatalog) throws {
        guard checkpoint.isDescribed else {
            throw BridgeError(
                .badArgument,
                "\(checkpoint.path) does not describe its model: it has neither \(TorchDistDirectory.runConfigurationName) nor the "
                    + "arguments of Megatron-LM; give the directory of the Hugging Face model with --hf-model"
            )
        }
        let name = checkpoint.configurationName
        self.catalog = catalog
        self.checkpoint = checkpoint
        directory = nil
        processorDirectory = checkpoint.processorDirectory
        checkpointStyle = checkpoint.manifest.style
        checkpointSideFiles = checkpoint.manifest.files.map(\.name).filter {
            $0.hasPrefix("\(NativeCheckpoint.huggingFaceDirectory)/")
        }
        model = try FamilyModel(
            json: checkpoint.configuration,
            style: checkpoint.manifest.style,
            name: name,
            catalog: catalog
        )
        try Quantisation.checkMethod(in: model.configuration, source: checkpoint.path)
        // A directory that cannot be read is reported by the code that needs it.
        let edited = (try? checkpoint.changedSideFiles()) ?? []
        if !edited.isEmpty { catalog.accountForEdited(edited, checkpoint.path) }
        let inVain = (try? checkpoint.changedUnreadFiles()) ?? []
        if !inVain.isEmpty { catalog.accountForEditedInVain(inVain, checkpoint.path) }
        try accountForSettings()
    }

    /// The same files with another configuration of the model, which is then written with the weights.
    init(_ other: AutoBridge, model: FamilyModel) {
        (catalog, directory, processorDirectory) = (other.catalog, other.directory, other.processorDirectory)
        (checkpointStyle, checkpointSideFiles) = (other.checkpointStyle, other.checkpointSideFiles)
        checkpoint = other.checkpoint
        self.model = model
        isReconfigured = true
    }

    private init(
        catalog: PluginCatalog,
        directory: HuggingFaceDirectory?,
        model: FamilyModel,
        processorDirectory: String? = nil
    ) {
        self.catalog = catalog
        checkpoint = nil
        self.directory = directory
        self.model = model
        self.processorDirectory = processorDirectory ?? directory?.path
        checkpointStyle = .transformers
        checkpointSideFiles = []
    }

    /// Whether a directory holds a model that can be converted.
    ///
    /// Never throws and uses no network; the error of ``fromHF(_:catalog:hub:)`` has the reason.
    public static func canHandle(_ path: String, catalog: PluginCatalog? = nil) -> Bool {
        (Files.kind(of: path) == .directory) && (try? fromHF(path, catalog: catalog)) != nil
    }

    /// The architectures that can be converted, sorted.
    public static func supportedModels(catalog: PluginCatalog? = nil) throws -> [String] {
        try (catalog ?? .standard()).architectures
    }

    /// The model's architecture, as `config.json` has it.
    public var architecture: String { model.architecture }
    /// The family's bridge.
    public var bridge: any ModelBridge { model.bridge }
    /// Unknown keys of the configuration.
    public var unreadKeys: [String] { model.unreadKeys }

    /// The provider's fields under Megatron-Core's names, as in `run_config.yaml`.
    public var megatronFields: JSONObject { model.megatronFields() }

    /// The translated configuration.
    public func toProvider() -> any ModelProvider { model.provider }

    /// The processor, which converts text and images to the inputs of this model.
    ///
    /// - Throws: `BridgeError` when the model has no tokenizer, or its files do not fit the model.
    public func processor() throws -> any ModelProcessor {
        try model.processor(directory: existingProcessorDirectory())
    }

    /// The directory with the tokenizer.
    ///
    /// - Throws: `BridgeError` when the model has none.
    func existingProcessorDirectory() throws -> String {
        guard let processorDirectory else {
            throw BridgeError(
                .badArgument,
                "this bridge was made from a configuration alone and has no tokenizer; use fromHF"
            )
        }
        if let checkpoint, Files.kind(of: processorDirectory) != .directory {
            throw BridgeError(
                .badArgument,
                "\(checkpoint.path) has no tokenizer; give the directory of the Hugging Face model with --hf-model"
            )
        }
        return processorDirectory
    }

    /// `config.json` made from the provider only.
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
