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

    /// The folders that are searched: those of BRIDGE_PLUGIN_PATH, then the one beside the program.
    static var folders: [String] {
        let path = ProcessInfo.processInfo.environment["BRIDGE_PLUGIN_PATH"] ?? ""
        return path.split(separator: ":").map(String.init) + PluginCatalog.standardFolders
    }

    /// The plugins.
    func catalog() throws -> PluginCatalog {
        var catalog = try PluginCatalog(files: plugins, folders: Self.folders)
        let isStrict = strict
        catalog.accountForUnknown = { try SettingsNotice.take($0, of: $1, isStrict: isStrict) }
        for failure in catalog.failures { Output.complain("warning: \(failure.error.message)") }
        return catalog
    }
}
