import BridgeCore
import JSONTree

/// The plugins: each is found and loads, and no two are for one architecture.
public struct PluginCheck: Sendable {
    private let directories: [String]
    private let limit: Duration?

    /// The check of directories.
    ///
    /// - Parameters:
    ///   - directories: The directories.
    ///   - limit: The longest that the plugins may take to load, so that one that hangs is named; nil for that of each plugin.
    public init(directories: [String], atMost limit: Duration? = nil) {
        self.directories = directories
        self.limit = limit
    }

    /// The files of plugins in a directory.
    public static func files(in directory: String) -> [String] {
        ((try? Files.list(directory)) ?? []).filter { $0.hasPrefix("lib") && $0.hasSuffix("Plugin.so") }
            .map { Files.join(directory, $0) }
    }

    /// The finding.
    func run() -> Finding {
        let catalog: PluginCatalog
        do { catalog = try PluginCatalog(directories: directories, triesFirst: true, atMost: limit) } catch {
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
            let others = catalog.failures.dropFirst().map(\.path).joined(separator: ", ")
            let rest = others.isEmpty ? "" : "; \(others) cannot be loaded either, see 'bridge plugins doctor'"
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
