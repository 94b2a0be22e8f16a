import BridgeCore
public import CPluginABI

/// The plugin with the Gemma 3 families, with a vision tower and text-only.
struct Gemma3VLPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [Gemma3VLBridge(), Gemma3TextBridge()] }
}

/// The fingerprint that Bridge checks before it loads the plugin.
@_cdecl("bridge_plugin_abi")
public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

/// The plugin.
@_cdecl("bridge_plugin_make")
public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(Gemma3VLPlugin()) }

private let descriptor = PluginDescriptor(
    name: "gemma3vl",
    version: "0.1.0",
    coreBuild: bridge_core_build(),
    compiler: bridge_compiler()
)
