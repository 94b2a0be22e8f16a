import Foundation
import Testing

/// Runs of a command of which one system call fails, or that are killed or stopped there; see `Tests/FaultInjection`.
public struct FaultRun {
    /// What happens at a call.
    public enum Action: String, CaseIterable, Sendable {
        /// The call fails with the error EIO.
        case inputOutput = "EIO"
        /// The call fails with the error ENOSPC.
        case diskFull = "ENOSPC"
        /// The call fails with the error EINTR.
        case interrupted = "EINTR"
        /// The call fails with the error EINVAL.
        case invalid = "EINVAL"
        /// The call transfers half of the bytes.
        case short = "SHORT"
        /// The process gets SIGKILL before the call.
        case kill = "KILL"
        /// The process gets SIGSTOP before the call.
        case stop = "STOP"
    }

    /// The calls, and the faults of each that a command is tested with.
    public static let calls: [(name: String, actions: [Action])] = [
        ("open", [.inputOutput, .kill]), ("write", [.diskFull, .interrupted, .short, .kill]),
        ("pwrite", [.diskFull, .interrupted, .short, .kill]), ("fsync", [.inputOutput, .kill]),
        ("rename", [.inputOutput, .kill]), ("ftruncate", [.inputOutput, .kill]), ("mmap", [.inputOutput, .kill]),
    ]

    /// All calls in the order of the program.
    public static let anyCall = "any"

    /// The arguments of the program.
    public let arguments: [String]
    /// Only calls on files whose paths start with this count.
    public let prefix: String
    /// Variables besides those of the tests.
    public let environment: [String: String]

    /// Runs of a command.
    public init(arguments: [String], under prefix: String, environment: [String: String] = [:]) {
        self.arguments = arguments
        self.prefix = prefix
        self.environment = environment
    }

    private static var library: String {
        BridgeProcess.buildDirectory.appendingPathComponent("libFaultInjection.so").path
    }

    private func variables(_ more: [String: String]) -> [String: String] {
        environment.merging(["LD_PRELOAD": Self.library, "BRIDGE_FAULT_UNDER": prefix]) { $1 }.merging(more) { $1 }
    }

    /// How often the command makes a call.
    public func count(_ call: String, in scratch: TemporaryDirectory) throws -> Int {
        let file = scratch.path("count")
        try? FileManager.default.removeItem(atPath: file)
        let outcome = try BridgeProcess(
            arguments,
            environment: variables(["BRIDGE_FAULT_CALL": call, "BRIDGE_FAULT_COUNT": file])
        ).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        return (try? Data(contentsOf: scratch.url("count")).count) ?? 0
    }

    /// Starts a run with a fault at one call.
    public func start(_ call: String, _ number: Int, _ action: Action) throws -> BridgeProcess {
        try BridgeProcess(
            arguments,
            environment: variables([
                "BRIDGE_FAULT_CALL": call, "BRIDGE_FAULT_NUMBER": "\(number)", "BRIDGE_FAULT_ACTION": action.rawValue,
            ])
        )
    }

    /// A run with a fault at one call, to its end.
    public func run(_ call: String, _ number: Int, _ action: Action) throws -> BridgeProcess.Outcome {
        try start(call, number, action).wait()
    }
}
