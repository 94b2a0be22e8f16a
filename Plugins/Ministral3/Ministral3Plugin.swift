import BridgeCore
public import CPluginABI

/// The plugin with the Ministral 3 family.
struct Ministral3Plugin: ModelPlugin {
    var bridges: [any ModelBridge] { [Ministral3Bridge()] }
}

/// The fingerprint that Bridge checks before it loads the plugin.
@_cdecl("bridge_plugin_abi")
public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

/// The plugin.
@_cdecl("bridge_plugin_make")
public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(Ministral3Plugin()) }

private let descriptor = PluginDescriptor(
    name: "ministral3",
    version: "0.1.0",
    coreBuild: bridge_core_build(),
    compiler: bridge_compiler()
)
