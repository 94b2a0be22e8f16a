import Foundation
import Testing

/// A run of the built `bridge`.
final class BridgeProcess {
    /// What a run ended with.
    struct Outcome {
        /// The exit status; nil when a signal ended the process.
        var status: Int32?
        /// The signal that ended the process.
        var signal: Int32?
        /// What it printed.
        var output: String
        /// What it printed about the run.
        var errors: String

        /// The sentence behind `error:`, without the names below it.
        var sentence: String {
            errors.split(separator: "\n").first { $0.hasPrefix("error: ") }.map { String($0.dropFirst(7)) } ?? ""
        }
    }

    /// Where the executable is: beside the program that runs the tests.
    static let executable: URL = {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: program).deletingLastPathComponent().appendingPathComponent("bridge")
    }()

    /// The directory with the executable, the core's library and the plugins.
    static var buildFolder: URL { executable.deletingLastPathComponent() }

    private static let hangupIsNotIgnored: Void = { signal(SIGHUP, SIG_DFL) }()

    private let process = Process()
    private let logs: Scratch

    /// Starts a run.
    ///
    /// - Parameters:
    ///   - arguments: What stands behind `bridge`.
    ///   - shell: A command of the shell that ends by running `"$@"`, for instance with limits or as another user.
    ///   - environment: Variables besides those of the tests.
    ///   - input: What it reads from standard input.
    /// - Throws: What the system says when the process cannot be started.
    init(
        _ arguments: [String],
        shell: String = "exec \"$@\"",
        environment: [String: String] = [:],
        input: String = ""
    ) throws {
        logs = try Scratch()
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
        // A shell hands on what it was told to ignore, and nohup may have started the tests.
        _ = Self.hangupIsNotIgnored
        try process.run()
    }

    /// Its number.
    var identifier: Int32 { process.processIdentifier }

    /// What it has printed by now.
    var outputSoFar: String { (try? String(contentsOf: logs.url("out"), encoding: .utf8)) ?? "" }

    /// Sends a signal.
    func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Waits until it has printed something.
    func waitForOutput() throws {
        let end = Date().addingTimeInterval(60)
        while try Data(contentsOf: logs.url("out")).isEmpty, isRunning, Date() < end { usleep(2000) }
    }

    /// Waits until it has computed for so long, by the clock of its own threads.
    func waitForWork(seconds: Double) throws {
        let end = Date().addingTimeInterval(60)
        func ticks() -> Int {
            let stat = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
            let fields = (stat.split(separator: ")").last ?? "").split(separator: " ")
            return fields.count > 11 ? Int(fields[11]) ?? 0 : 0
        }
        while ticks() < Int(seconds * Double(sysconf(Int32(_SC_CLK_TCK)))), isRunning, Date() < end { usleep(2000) }
    }

    /// Whether it still runs.
    var isRunning: Bool { process.isRunning }

    /// Waits for the end.
    func wait() throws -> Outcome {
        process.waitUntilExit()
        let wasSignalled = process.terminationReason == .uncaughtSignal
        return Outcome(
            status: wasSignalled ? nil : process.terminationStatus,
            signal: wasSignalled ? process.terminationStatus : nil,
            output: String(decoding: try Data(contentsOf: logs.url("out")), as: UTF8.self),
            errors: String(decoding: try Data(contentsOf: logs.url("err")), as: UTF8.self)
        )
    }

    /// A run from start to end.
    static func run(_ arguments: String..., shell: String = "exec \"$@\"", environment: [String: String] = [:]) throws
        -> Outcome
    {
        try BridgeProcess(arguments, shell: shell, environment: environment).wait()
    }
}

/// Checks that a run failed with one sentence that, together with the names below it, mentions all of `words`.
func expect(
    _ outcome: BridgeProcess.Outcome,
    failsWith status: Int32,
    mentioning words: String...,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(outcome.signal == nil, "ended by a signal: \(outcome.errors)", sourceLocation: sourceLocation)
    #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: sourceLocation)
    let lines = outcome.errors.split(separator: "\n").filter { $0.hasPrefix("error: ") }
    #expect(lines.count == 1, "expected one sentence, found: \(outcome.errors)", sourceLocation: sourceLocation)
    #expect(!outcome.errors.contains("BridgeError"), "\(outcome.errors)", sourceLocation: sourceLocation)
    for word in words {
        #expect(
            outcome.errors.contains(word),
            "\(outcome.errors) does not mention \(word)",
            sourceLocation: sourceLocation
        )
    }
}
