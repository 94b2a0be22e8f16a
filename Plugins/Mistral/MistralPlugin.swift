import BridgeCore
public import CPluginABI

/// The plugin with the Mistral family.
struct MistralPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [MistralBridge()] }
}

/// The fingerprint that Bridge checks before it loads the plugin.
@_cdecl("bridge_plugin_abi")
public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

/// The plugin.
@_cdecl("bridge_plugin_make")
public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(MistralPlugin()) }

private let descriptor = PluginDescriptor(
    name: "mistral",
    version: "0.1.0",
    coreBuild: bridge_core_build(),
    compiler: bridge_compiler()
)
