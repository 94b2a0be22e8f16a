import BridgeCore
public import CPluginABI

/// The plugin with Qwen 2.5 and Qwen 3.
struct QwenPlugin: ModelPlugin {
    var bridges: [any ModelBridge] { [Qwen2Bridge(), Qwen3Bridge()] }
}

/// The fingerprint that Bridge checks before it loads the plugin.
@_cdecl("bridge_plugin_abi")
public func pluginABI() -> UnsafePointer<bridge_plugin_descriptor> { descriptor.pointer }

/// The plugin.
@_cdecl("bridge_plugin_make")
public func pluginMake() -> UnsafeMutableRawPointer { PluginBox.retain(QwenPlugin()) }

private let descriptor = PluginDescriptor(
    name: "qwen",
    version: "0.1.0",
    coreBuild: bridge_core_build(),
    compiler: bridge_compiler()
)
