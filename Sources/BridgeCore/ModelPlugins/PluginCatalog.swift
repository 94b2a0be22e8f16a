public import BridgeSupport
import CSystem
public import ModelSchema
public import NativeKernels

/// The plugins of a process and their families.
public struct PluginCatalog: Sendable {
    /// The plugins, in the order in which they were found.
    public private(set) var plugins: [LoadedPlugin] = []
    /// The files in search directories that could not be loaded, with the reason.
    public private(set) var failures: [(path: String, error: BridgeError)] = []

    /// Receives the keys of a model's settings files that have no verdict; an error that it throws ends the load.
    ///
    /// By default nothing is done; ``AutoBridge/unknownSettings()`` lists them.
    public var accountForUnknown: @Sendable (_ unknown: [UnknownSettings], _ directory: String) throws -> Void = {
        _,
        _ in
    }

    /// Takes the files of a checkpoint that are not those that were saved with it, once per opening of a model.
    ///
    /// By default nothing is done: a configuration may be edited on purpose.
    public var accountForEdited: @Sendable (_ files: [String], _ checkpoint: String) -> Void = { _, _ in }

    /// Takes the files of a checkpoint that are not those that were saved with it and from which no model is read, such as
    /// `run_config.yaml`, so that an edit there has no effect; once per opening of a model.
    ///
    /// By default nothing is done.
    public var accountForEditedInVain: @Sendable (_ files: [String], _ checkpoint: String) -> Void = { _, _ in }

    private var homes: [String: (bridge: any ModelBridge, plugin: LoadedPlugin)] = [:]

    /// The plugins in the directory of the core's own library, which is where they are built to.
    ///
    /// - Throws: `BridgeError` for two plugins with one architecture or family.
    public static func standard() throws -> PluginCatalog { try PluginCatalog(directories: standardDirectories) }

    /// Loads plugins.
    ///
    /// - Parameters:
    ///   - files: Libraries that have to load.
    ///   - directories: Directories whose `lib*Plugin.so` are loaded; one that does not load is kept in ``failures``.
    ///   - triesFirst: As for ``PluginLoader/load(_:triesFirst:atMost:)``.
    ///   - limit: The longest that all libraries together may take to load; nil for no limit of all together. Each may take half of
    ///     what is left.
    /// - Throws: `BridgeError` for a file that does not load, and for two plugins with one architecture or family.
    public init(
        files: [String] = [],
        directories: [String],
        triesFirst: Bool = false,
        atMost limit: Duration? = nil
    ) throws {
        let end = limit.map { ContinuousClock.now + $0 }
        func load(_ path: String) throws -> LoadedPlugin {
            let left = end.map { ($0 - ContinuousClock.now) / 2 } ?? PluginLoader.loadingLimit
            return try PluginLoader.load(path, triesFirst: triesFirst, atMost: min(left, PluginLoader.loadingLimit))
        }
        for path in files { try add(load(path)) }
        for directory in directories {
            guard Files.kind(of: directory) == .directory else { continue }
            for name in try Files.list(directory) where name.hasPrefix("lib") && name.hasSuffix("Plugin.so") {
                let path = Files.join(directory, name)
                if plugins.contains(where: { Files.name(of: $0.path) == name && Files.areOne($0.path, path) }) {
                    continue
                }
                let plugin: LoadedPlugin
                do { plugin = try load(path) } catch let error as BridgeError {
                    failures.append((path, error))
                    continue
                }
                try add(plugin)
            }
        }
    }

    /// The families of plugins that are part of the program, such as a plugin in its own tests.
    ///
    /// - Parameters:
    ///   - plugins: The plugins.
    ///   - files: Libraries that are loaded besides, such as those with kernels.
    /// - Throws: `BridgeError` for a file that does not load, and for two plugins with one architecture or family.
    public init(linked plugins: [any ModelPlugin], files: [String] = []) throws {
        for path in files { try add(PluginLoader.load(path)) }
        for plugin in plugins {
            let name = "\(type(of: plugin))"
            try add(
                LoadedPlugin(
                    path: name,
                    name: plugin.bridges.first?.name ?? name,
                    version: PluginLoader.version,
                    coreBuild: PluginLoader.coreBuild,
                    compiler: PluginLoader.compiler,
                    plugin: plugin,
                    kernels: []
                )
            )
        }
    }

    /// The directory that holds the core's own library, where the plugins are built to.
    public static var standardDirectories: [String] {
        csys_own_library().map { [Files.parent(of: String(cString: $0))] } ?? []
    }

    private mutating func add(_ plugin: LoadedPlugin) throws {
        for bridge in plugin.plugin.bridges {
            for architecture in bridge.architectures {
                if let other = homes[architecture] {
                    throw BridgeError(
                        .badPlugin,
                        "\(other.plugin.path) and \(plugin.path) both claim the architecture \(architecture); remove one of them"
                    )
                }
                homes[architecture] = (bridge, plugin)
            }
        }
        for bridge in plugin.plugin.bridges {
            guard let other = plugins.first(where: { $0.plugin.bridges.contains { $0.name == bridge.name } }) else {
                continue
            }
            throw BridgeError(
                .badPlugin,
                "\(other.path) and \(plugin.path) both have the family \(bridge.name); rename one of them, or remove a plugin"
            )
        }
        for kernel in plugin.kernels {
            if let other = plugins.first(where: { $0.kernels.contains { $0.name == kernel.name } }) {
                throw BridgeError(
                    .badPlugin,
                    "\(other.path) and \(plugin.path) both have the kernel \(kernel.name); remove one of them"
                )
            }
        }
        plugins.append(plugin)
    }

    /// The kernels of all plugins.
    public var kernels: NativeKernels { NativeKernels(plugins.flatMap(\.kernels)) }

    /// All families.
    public var bridges: [any ModelBridge] { plugins.flatMap(\.plugin.bridges) }

    /// The architectures that can be converted, sorted.
    public var architectures: [String] { homes.keys.sorted() }

    /// transformers' class for a `model_type`; nil for one that no family has.
    func architecture(ofModelType type: String) -> String? {
        bridges.lazy.compactMap { $0.modelTypes[type] }.first { homes[$0] != nil }
    }

    /// A short list of the loaded plugins for an error.
    var summary: String { architectures.isEmpty ? "no plugin is loaded" : architectures.joined(separator: ", ") }

    /// The family of an architecture.
    ///
    /// - Throws: `BridgeError` with code `unsupportedArchitecture`.
    public func bridge(for architecture: String) throws -> any ModelBridge {
        if let home = homes[architecture] { return home.bridge }
        guard !homes.isEmpty || !failures.isEmpty else {
            throw BridgeError(
                .unsupportedArchitecture,
                "no plugin was found, so \(architecture) cannot be converted; build the plugins' products into the directory "
                    + "of libBridgeCore.so, or give their directory"
            )
        }
        let broken = failures.isEmpty ? "" : "; \(failures.count) plugins did not load, see 'bridge plugins doctor'"
        throw BridgeError(
            .unsupportedArchitecture,
            "no plugin converts \(architecture); loaded are \(summary)\(broken). A new family is one plugin: see the article AddAModel"
        )
    }

    /// The plugin of an architecture, as `name version`.
    package func pluginName(for architecture: String) -> String {
        homes[architecture].map { "\($0.plugin.name) \($0.plugin.version)" } ?? "unknown"
    }
}
