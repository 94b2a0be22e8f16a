import BridgeCore
import JSONTree
import TensorRuntime

/// The version of this build, and its kernels on this machine.
enum VersionReport {
    /// The report as JSON.
    static var json: JSON {
        [
            "version": .string(PluginLoader.version), "core": .string(PluginLoader.coreBuild),
            "plugin_abi": PluginLoader.abiVersion.json, "compiler": .string(PluginLoader.compiler),
            "processor": [
                "features": .array(InstructionLevel.features.filter(\.isPresent).map { .string($0.name) }),
                "level": .string(InstructionLevel.ofProcessor.name),
                "level_used": .string(InstructionLevel.inUse.name),
                "max_level": ProcessorLimit.asked.map { .string($0) } ?? .null,
            ],
            "engines": .array(libraries.map { .string($0) }),
            "threads": ThreadOptions.standardCount.json,
        ]
    }

    /// The same about the processor, as text.
    static var lines: [String] {
        let features = InstructionLevel.features.filter(\.isPresent).map(\.name).joined(separator: " ")
        let limit = ProcessorLimit.asked.map { " (\(ProcessorLimit.variable) is \($0))" } ?? ""
        return [
            "processor: \(InstructionLevel.ofProcessor.name), with \(features.isEmpty ? "no features" : features)",
            "kernels: \(InstructionLevel.inUse.name)\(limit), \(ThreadOptions.standardCount) threads",
            "matrix products: \(libraries.joined(separator: ", "))",
        ]
    }

    private static var libraries: [String] { CPUEngine.standardLibraries.map(\.name) }
}
