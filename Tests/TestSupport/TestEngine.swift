import Foundation
public import TensorRuntime

/// Engines for tests, within the level that `BRIDGE_MAX_CPU_ISA` allows.
public enum TestEngine {
    /// The level that engines use; reading it first sets the limit.
    public static let level: InstructionLevel = {
        let text = ProcessInfo.processInfo.environment["BRIDGE_MAX_CPU_ISA"] ?? ""
        guard !text.isEmpty else { return .inUse }
        // A name that is unknown, and a limit that comes too late, would test another level than was asked for.
        guard let level = InstructionLevel(named: text) else { preconditionFailure("BRIDGE_MAX_CPU_ISA is \(text)") }
        do throws(InstructionLevel.LimitError) {
            try InstructionLevel.limit(to: level)
        } catch {
            preconditionFailure("\(error)")
        }
        return .inUse
    }()

    /// An engine on the processor.
    public static func cpu(threadCount: Int, libraries: [any MatrixLibrary]? = nil) -> CPUEngine {
        _ = level
        return CPUEngine(threadCount: threadCount, libraries: libraries)
    }
}
