import BridgeCore
import JSONTree
import TensorRuntime

/// The instruction level of the processor, and the kernels that are chosen for it.
struct ProcessorCheck {
    /// The variable `BRIDGE_MAX_CPU_ISA`.
    let limit: String?

    func run() -> Finding {
        let (processor, used) = (InstructionLevel.ofProcessor, InstructionLevel.inUse)
        let libraries = CPUEngine.standardLibraries.map(\.name)
        let features = InstructionLevel.features.filter(\.isPresent).map(\.name)
        var finding = Finding(
            .ok,
            "\(processor.name), kernels for \(used.name), matrix products by \(libraries.joined(separator: ", "))",
            facts: [
                "level": .string(processor.name), "level_used": .string(used.name),
                "features": .array(features.map { .string($0) }), "engines": .array(libraries.map { .string($0) }),
            ]
        )
        if used < processor {
            finding.lower(
                to: .warning,
                advice: "BRIDGE_MAX_CPU_ISA is \(limit ?? used.name): unset it to use all instructions"
            )
        }
        if processor < .avx2 {
            finding.lower(to: .warning, advice: "use a processor with AVX2: without it models run several times slower")
        }
        return finding
    }
}
