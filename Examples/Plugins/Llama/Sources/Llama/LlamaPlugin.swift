import BridgeCore
public import CPluginABI

/// The plugin with Llama 2 and 3.
struct LlamaPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [LlamaBridge()] }
}

/// The fingerprint that Bridge checks before it loads the plugin.
@_cdecl("bridge_plugin_abi")
public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

/// The plugin.
@_cdecl("bridge_plugin_make")
public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(LlamaPlugin()) }

private let descriptor = PluginDescriptor(
    name: "llama",
    version: "0.1.0",
    coreBuild: bridge_core_build(),
    compiler: bridge_compiler()
)
