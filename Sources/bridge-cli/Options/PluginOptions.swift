import ArgumentParser
import BridgeCore
import Foundation

/// Where plugins come from.
struct PluginOptions: ParsableArguments {
    @Option(
        name: .customLong("plugin"),
        help: ArgumentHelp("A plugin to load besides those found; may be repeated.", valueName: "path"),
        completion: .file(extensions: ["so"])
    )
    var plugins: [String] = []

    @Flag(name: .long, help: "Treat unknown settings in a model's files as an error.")
    var strict = false

    /// The directories that are searched: those of BRIDGE_PLUGIN_PATH, then the one beside the program.
    static var directories: [String] {
        let path = ProcessInfo.processInfo.environment["BRIDGE_PLUGIN_PATH"] ?? ""
        return path.split(separator: ":").map(String.init) + PluginCatalog.standardDirectories
    }

    /// The plugins.
    func catalog() throws -> PluginCatalog {
        var catalog = try PluginCatalog(files: plugins, directories: Self.directories)
        let isStrict = strict
        catalog.accountForUnknown = { try SettingsNotice.take($0, of: $1, isStrict: isStrict) }
        catalog.accountForEdited = { SettingsNotice.takeEdited($0, of: $1) }
        for failure in catalog.failures { Output.printError("warning: \(failure.error.message)") }
        return catalog
    }
}
