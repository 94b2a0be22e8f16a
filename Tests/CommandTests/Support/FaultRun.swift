import Foundation
import Testing

/// Runs of a command of which one system call fails, or of which the process is killed there, for every call there is.
struct FaultRun {
    /// What happens at a call.
    enum Action: String, CaseIterable {
        case inputOutput = "EIO"
        case diskFull = "ENOSPC"
        case interrupted = "EINTR"
        case short = "SHORT"
        case kill = "KILL"
    }

    /// The calls, and what can happen at each.
    static let calls: [(name: String, actions: [Action])] = [
        ("open", [.inputOutput, .kill]), ("write", [.diskFull, .interrupted, .short, .kill]),
        ("pwrite", [.diskFull, .interrupted, .short, .kill]), ("fsync", [.inputOutput, .kill]),
        ("rename", [.inputOutput, .kill]), ("ftruncate", [.inputOutput, .kill]), ("mmap", [.inputOutput, .kill]),
    ]

    /// The arguments of the program.
    let arguments: [String]
    /// Only calls on files below this directory count.
    let under: String
    var environment: [String: String] = [:]

    private static var library: String { BridgeProcess.buildFolder.appendingPathComponent("libFaultInjection.so").path }

    private func variables(_ more: [String: String]) -> [String: String] {
        environment.merging(["LD_PRELOAD": Self.library, "BRIDGE_FAULT_UNDER": under]) { $1 }.merging(more) { $1 }
    }

    /// How often the command makes a call.
    func count(_ call: String, in scratch: Scratch) throws -> Int {
        let file = scratch.path("count")
        try? FileManager.default.removeItem(atPath: file)
        let outcome = try BridgeProcess(
            arguments,
            environment: variables(["BRIDGE_FAULT_CALL": call, "BRIDGE_FAULT_COUNT": file])
        ).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        return (try? Data(contentsOf: scratch.url("count")).count) ?? 0
    }

    /// A run with a fault at one call.
    func run(_ call: String, _ number: Int, _ action: Action) throws -> BridgeProcess.Outcome {
        try BridgeProcess(
            arguments,
            environment: variables([
                "BRIDGE_FAULT_CALL": call, "BRIDGE_FAULT_NUMBER": "\(number)", "BRIDGE_FAULT_ACTION": action.rawValue,
            ])
        ).wait()
    }
}
