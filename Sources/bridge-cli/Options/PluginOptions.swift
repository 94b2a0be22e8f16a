import ArgumentParser
import BridgeCore
import BridgeSupport
import Foundation

/// The locations of plugins.
struct PluginOptions: ParsableArguments {
    @Option(
        name: .customLong("plugin"),
        help: ArgumentHelp("A plugin to load in addition to those found; may be repeated.", valueName: "path"),
        completion: .file(extensions: ["so"])
    )
    var plugins: [String] = []

    /// The searched directories: those of BRIDGE_PLUGIN_PATH, then that of the program.
    static var directories: [String] {
        let path = ProcessInfo.processInfo.environment["BRIDGE_PLUGIN_PATH"] ?? ""
        return path.split(separator: ":").map(String.init) + PluginCatalog.standardDirectories
    }

    /// The plugins.
    func catalog() throws -> PluginCatalog {
        for directory in Self.directories where Files.kind(of: directory) != .directory {
            guard !PluginCatalog.standardDirectories.contains(directory) else { continue }
            Output.printError(
                "warning: BRIDGE_PLUGIN_PATH has \(directory), which is not a directory; correct or remove it"
            )
        }
        let catalog = try PluginCatalog(files: plugins, directories: Self.directories, triesFirst: true)
        for failure in catalog.failures { Output.printError("warning: \(failure.error.message)") }
        return catalog
    }
}

/// The locations of plugins, and the treatment of unknown settings of a model.
struct ModelPluginOptions: ParsableArguments {
    @OptionGroup var plugins: PluginOptions

    @Flag(name: .long, help: "Treat unknown settings in the model's files as an error.")
    var strict = false

    /// The plugins.
    func catalog() throws -> PluginCatalog {
        var catalog = try plugins.catalog()
        let isStrict = strict
        catalog.accountForUnknown = { try SettingsNotice.take($0, of: $1, isStrict: isStrict) }
        catalog.accountForEdited = { SettingsNotice.takeEdited($0, of: $1) }
        catalog.accountForEditedInVain = { SettingsNotice.takeEditedInVain($0, of: $1) }
        return catalog
    }
}
