import Adapters
import BridgeSupport
import CheckpointFormats
import Conversion
import JSONTree
public import ModelPlugins
public import ModelSchema
import Models
import Processing
import TensorFiles
import Tokenizers

extension AutoBridge {
    /// The unknown keys of the model's settings files, which are not used.
    ///
    /// - Returns: The keys by file: the configuration, `generation_config.json` and the files of the processor and the tokenizer; no entry for a
    ///   file without such keys.
    /// - Throws: `BridgeError` for a file that is not valid JSON.
    public func unknownSettings() throws -> [UnknownSettings] {
        var found: [UnknownSettings] = []
        func add(_ file: String, _ keys: [String]) { if !keys.isEmpty { found.append(.init(file: file, keys: keys)) } }
        var keys = model.unreadKeys
        if let directory, let path = Quantisation.unusedSetting(of: model.configuration, directory.tensors) {
            // The translation of a params.json has the key of config.json.
            let name = directory.style == .consolidated ? "quantization" : path
            keys.append("\(name) (no weight is quantized)")
        }
        add(configurationName, keys)
        add(TorchDistDirectory.runConfigurationName, checkpoint?.unreadKeys.map { "model.\($0)" } ?? [])
        guard let processorDirectory else { return found }
        for table in [GenerationSettings.table] + model.bridge.processorSettings {
            let path = Files.join(processorDirectory, table.file)
            guard Files.exists(path) else { continue }
            add(table.file, table.unknownKeys(of: try JSON(contentsOf: path)))
        }
        return try found
            + TokenizerSettings.unknownSettings(in: processorDirectory, registered: model.bridge.tokenizerClass)
    }

    /// Passes the unknown keys to the handler of the catalog.
    func accountForSettings() throws {
        let unknown = try unknownSettings()
        guard !unknown.isEmpty else { return }
        // Another program describes the model beside its weights.
        let described = checkpoint.flatMap { $0.carriesSource ? nil : $0.path }
        try catalog.accountForUnknown(unknown, described ?? processorDirectory ?? "")
    }

    /// The name of the configuration file.
    private var configurationName: String { (directory?.style ?? checkpointStyle).configurationName }
}

extension ModelBridge {
    /// All settings files of the family with their keys.
    public var settings: [SettingsTable] {
        [configurationSettings] + (parameterSettings.map { [$0] } ?? []) + [GenerationSettings.table]
            + processorSettings + TokenizerSettings.tables(registered: tokenizerClass)
            + [PEFTConfiguration.settings]
    }
}
