public import CPluginABI

/// The interface of a shared library with model families.
///
/// A plugin describes its families; nothing registers itself. The library exports two C functions, `bridge_plugin_abi`
/// and `bridge_plugin_make`, each one line with ``PluginDescriptor`` and ``PluginBox``.
public protocol ModelPlugin: Sendable {
    /// The families.
    var bridges: [any ModelBridge] { get }
}

/// The descriptor that `bridge_plugin_abi` returns, in memory that stays as long as this object.
public final class PluginDescriptor: Sendable {
    /// The result of the C function.
    public nonisolated(unsafe) let pointer: UnsafePointer<bridge_plugin_descriptor>

    /// A descriptor.
    ///
    /// - Parameters:
    ///   - name: The plugin's name.
    ///   - version: The plugin's own version.
    ///   - coreBuild: `bridge_core_build()`, called by the plugin so that it is the value of the plugin's own compilation.
    ///   - compiler: `bridge_compiler()`, likewise.
    public init(
        name: StaticString,
        version: StaticString,
        coreBuild: UnsafePointer<CChar>,
        compiler: UnsafePointer<CChar>
    ) {
        func cString(_ text: StaticString) -> UnsafePointer<CChar> {
            UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
        }
        let descriptor = UnsafeMutablePointer<bridge_plugin_descriptor>.allocate(capacity: 1)
        descriptor.initialize(
            to: bridge_plugin_descriptor(
                abi_version: bridge_plugin_abi_version(),
                byte_count: UInt32(MemoryLayout<bridge_plugin_descriptor>.size),
                core_build: coreBuild,
                compiler: compiler,
                name: cString(name),
                version: cString(version)
            )
        )
        pointer = UnsafePointer(descriptor)
    }

    deinit { pointer.deallocate() }
}

/// Carries a plugin through the C function `bridge_plugin_make`.
public final class PluginBox: Sendable {
    let plugin: any ModelPlugin

    private init(_ plugin: any ModelPlugin) { self.plugin = plugin }

    /// A pointer that the loader takes over.
    public static func retain(_ plugin: any ModelPlugin) -> UnsafeMutableRawPointer {
        Unmanaged.passRetained(PluginBox(plugin)).toOpaque()
    }

    static func take(_ pointer: UnsafeMutableRawPointer) -> any ModelPlugin {
        Unmanaged<PluginBox>.fromOpaque(pointer).takeRetainedValue().plugin
    }
}
