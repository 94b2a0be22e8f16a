import BridgeCore
import JSONTree

/// The plugins: each is found and loads, and no two are for one architecture.
public struct PluginCheck: Sendable {
    private let directories: [String]

    /// The check of directories.
    public init(directories: [String]) { self.directories = directories }

    /// The files of plugins in a directory.
    public static func files(in directory: String) -> [String] {
        ((try? Files.list(directory)) ?? []).filter { $0.hasPrefix("lib") && $0.hasSuffix("Plugin.so") }
            .map { Files.join(directory, $0) }
    }

    /// The finding.
    func run() -> Finding {
        let catalog: PluginCatalog
        do { catalog = try PluginCatalog(directories: directories, triesFirst: true) } catch {
            return Finding(.failed, (error as? BridgeError)?.message ?? "\(error)")
        }
        let facts: JSON = [
            "abi": JSON(PluginLoader.abiVersion), "core": .string(PluginLoader.coreBuild),
            "directories": .array(directories.map { .string($0) }),
            "loaded": .array(
                catalog.plugins.map { plugin in
                    [
                        "name": .string(plugin.name), "version": .string(plugin.version), "path": .string(plugin.path),
                        "families": .array(plugin.plugin.bridges.map { .string($0.name) }),
                    ]
                }
            ),
            "failed": .array(
                catalog.failures.map { ["path": .string($0.path), "message": .string($0.error.message)] }
            ),
        ]
        if let failure = catalog.failures.first {
            let more = catalog.failures.count - 1
            let rest = more > 0 ? ", and \(more) more; 'bridge plugins doctor' lists them" : ""
            return Finding(.failed, failure.error.message + rest, facts: facts)
        }
        guard !catalog.plugins.isEmpty else {
            return Finding(
                .failed,
                "no plugin in \(directories.joined(separator: ", "))",
                advice: "install Bridge again, or set BRIDGE_PLUGIN_PATH to the directory of the plugins",
                facts: facts
            )
        }
        let plugins = catalog.plugins.map { plugin in
            let families = plugin.plugin.bridges.map(\.name).joined(separator: ", ")
            return "\(plugin.name) \(plugin.version)" + (families.isEmpty ? "" : " (\(families))")
        }
        return Finding(.ok, "\(plugins.joined(separator: ", ")); ABI \(PluginLoader.abiVersion)", facts: facts)
    }
}
