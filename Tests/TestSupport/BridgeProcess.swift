public import Foundation
public import Testing

/// A run of the built `bridge`.
public final class BridgeProcess {
    /// What a run ended with.
    public struct Outcome: Sendable {
        /// The exit status; nil when a signal ended the process.
        public var status: Int32?
        /// The signal that ended the process.
        public var signal: Int32?
        /// What it printed.
        public var output: String
        /// What it printed about the run.
        public var errors: String

        /// The sentence after `error:`, without the names below it.
        public var sentence: String {
            errors.split(separator: "\n").first { $0.hasPrefix("error: ") }.map { String($0.dropFirst(7)) } ?? ""
        }
    }

    /// Where the executable is: beside the program that runs the tests.
    public static let executable: URL = {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: program).deletingLastPathComponent().appendingPathComponent("bridge")
    }()

    /// The directory with the executable, the core's library and the plugins.
    public static var buildDirectory: URL { executable.deletingLastPathComponent() }

    private static let hangupIsNotIgnored: Void = { signal(SIGHUP, SIG_DFL) }()

    private let process = Process()
    private let logs: TemporaryDirectory

    /// Starts a run.
    ///
    /// - Parameters:
    ///   - arguments: The arguments of `bridge`.
    ///   - shell: A command of the shell that ends by running `"$@"`, for instance with limits or as another user.
    ///   - environment: Variables besides those of the tests.
    ///   - input: What it reads from standard input.
    /// - Throws: The system's error when the process cannot be started.
    public init(
        _ arguments: [String],
        shell: String = "exec \"$@\"",
        environment: [String: String] = [:],
        input: String = ""
    ) throws {
        logs = try TemporaryDirectory()
        for name in ["out", "err"] { try Data().write(to: logs.url(name)) }
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", shell, "sh", Self.executable.path] + arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        try Data(input.utf8).write(to: logs.url("in"))
        process.standardInput = try FileHandle(forReadingFrom: logs.url("in"))
        process.standardOutput = try FileHandle(forWritingTo: logs.url("out"))
        process.standardError = try FileHandle(forWritingTo: logs.url("err"))
        // The threads of a test block signals, and a child would inherit that.
        var (none, before) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        // A shell passes on which signals it ignores, and nohup may have started the tests.
        _ = Self.hangupIsNotIgnored
        try process.run()
    }

    /// Its process identifier.
    public var identifier: Int32 { process.processIdentifier }

    /// What it has printed by now.
    public var outputSoFar: String { (try? String(contentsOf: logs.url("out"), encoding: .utf8)) ?? "" }

    /// Sends a signal.
    public func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Whether it still runs.
    public var isRunning: Bool { process.isRunning }

    /// Waits for the end.
    public func wait() throws -> Outcome {
        process.waitUntilExit()
        let wasSignalled = process.terminationReason == .uncaughtSignal
        return Outcome(
            status: wasSignalled ? nil : process.terminationStatus,
            signal: wasSignalled ? process.terminationStatus : nil,
            output: String(decoding: try Data(contentsOf: logs.url("out")), as: UTF8.self),
            errors: String(decoding: try Data(contentsOf: logs.url("err")), as: UTF8.self)
        )
    }

    /// Imports a Hugging Face model into a Megatron checkpoint, and records an issue when that fails.
    ///
    /// - Parameters:
    ///   - model: The model's directory.
    ///   - destination: The checkpoint's directory.
    ///   - options: Further options of `bridge convert`.
    ///   - sourceLocation: Where the conversion is asked for.
    /// - Throws: When the program cannot be started.
    public static func convert(
        _ model: String,
        to destination: String,
        _ options: String...,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let arguments = ["convert", "--hf-model", model, "--megatron-path", destination] + options
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)", sourceLocation: sourceLocation)
    }

    /// A run from start to end.
    public static func run(_ arguments: String..., shell: String = "exec \"$@\"", environment: [String: String] = [:])
        throws
        -> Outcome
    {
        try BridgeProcess(arguments, shell: shell, environment: environment).wait()
    }
}
