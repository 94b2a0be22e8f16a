import ArgumentParser
import BridgeCore
import Foundation

/// Where plugins come from.
struct PluginOptions: ParsableArguments {
    @Option(
        name: .customLong("plugin"),
        help: ArgumentHelp("A plugin to load in addition to those found; may be repeated.", valueName: "path"),
        completion: .file(extensions: ["so"])
    )
    var plugins: [String] = []

    /// The directories that are searched: those of BRIDGE_PLUGIN_PATH, then the one beside the program.
    static var directories: [String] {
        let path = ProcessInfo.processInfo.environment["BRIDGE_PLUGIN_PATH"] ?? ""
        return path.split(separator: ":").map(String.init) + PluginCatalog.standardDirectories
    }

    /// The plugins.
    func catalog() throws -> PluginCatalog {
        let catalog = try PluginCatalog(files: plugins, directories: Self.directories)
        for failure in catalog.failures { Output.printError("warning: \(failure.error.message)") }
        return catalog
    }
}

/// Where plugins come from, and what they do with settings of a model that they do not know.
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
        return catalog
    }
}
