import BridgeCore
import Foundation
import TensorRuntime

/// The limit of the instruction set, from the environment.
enum ProcessorLimit {
    /// The variable.
    static let variable = "BRIDGE_MAX_CPU_ISA"

    /// The value of the variable; nil when it is not set.
    static var asked: String? {
        ProcessInfo.processInfo.environment[variable].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Sets the limit.
    ///
    /// - Throws: `BridgeError` for a level that is not one.
    static func apply() throws {
        guard let asked else { return }
        guard let level = InstructionLevel(named: asked) else {
            let known = InstructionLevel.allCases.map(\.name).joined(separator: ", ")
            throw BridgeError(
                .badArgument,
                "\(variable) is \(asked), expected one of \(known), or empty for no limit"
            )
        }
        do throws(InstructionLevel.LimitError) {
            try InstructionLevel.limit(to: level)
        } catch {
            throw BridgeError(.badArgument, "\(variable) cannot be applied: \(error)")
        }
    }
}
