import BridgeCore
import Communication
import Foundation
import Glibc
import Synchronization

/// Starts this program again as the ranks of an MPI world, with `mpirun`.
struct RankLauncher {
    /// The number of ranks on each host.
    let ranksPerHost: Int
    /// A file with the names of hosts, one per line; nil for this host.
    let hostfile: String?
    /// What to do about a rank that was killed.
    let advice: String

    /// The variable that tells ranks that results do not go to a terminal.
    static let pipedOutput = "BRIDGE_PIPED_OUTPUT"

    /// The longest time until ssh has a connection to a host, in seconds.
    private static let connectionSeconds = 30

    /// The options of this program that are the launcher's, and have a value.
    private static let ownOptions = ["nproc-per-node", "nproc", "hostfile"] + SlurmOptions.names

    /// The path of this program.
    static var program: String {
        let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return path ?? CommandLine.arguments[0]
    }

    /// The command line: `mpirun`, its options, this program and its arguments.
    ///
    /// - Parameters:
    ///   - arguments: The arguments.
    ///   - program: This program.
    ///   - cores: The number of cores of this host.
    ///   - threads: The number of threads of a rank; nil for its share of the cores.
    ///   - variables: The names of the variables of this process.
    /// - Returns: The words.
    func words(
        arguments: [String],
        program: String,
        cores: Int,
        threads: Int?,
        variables: some Sequence<String> = []
    ) -> [String] {
        // The ranks divide the cores by themselves, also when another launcher starts them.
        var words = ["mpirun", "--bind-to", "none", "--oversubscribe"]
        words +=
            hostfile.map { ["--hostfile", $0, "--map-by", "ppr:\(ranksPerHost):node"] } ?? ["-np", "\(ranksPerHost)"]
        // Open MPI looks for a lost host after five minutes otherwise.
        if hostfile != nil {
            for (name, seconds) in [("time", 30), ("intvl", 10), ("probes", 3)] {
                words += ["--mca", "oob_tcp_keepalive_\(name)", "\(seconds)"]
            }
        }
        // A host that takes the connection and never answers would be waited for without end.
        if hostfile != nil, !variables.contains(where: { $0.hasPrefix("OMPI_MCA_plm_rsh_") }) {
            words += ["--mca", "plm_rsh_args", "-o ConnectTimeout=\(Self.connectionSeconds)"]
        }
        // Other hosts have another environment, and the ranks must have the same trackers.
        if hostfile != nil {
            words += variables.filter(RunCallbacks.isOfTracker).sorted().flatMap { ["-x", $0] }
        }
        if ranksPerHost > cores { words += ["--mca", "mpi_yield_when_idle", "1"] }
        if let threads { words += ["-x", "\(ThreadOptions.variable)=\(threads)"] }
        if !Output.isTerminal { words += ["-x", "\(Self.pipedOutput)=1"] }
        return words + [program] + Self.withoutOwnOptions(arguments)
    }

    /// The arguments without the options of the launcher and their values.
    static func withoutOwnOptions(_ arguments: [String]) -> [String] {
        var rest: [String] = []
        var skipsValue = false
        for (index, argument) in arguments.enumerated() {
            if skipsValue {
                skipsValue = false
                continue
            }
            if argument == "--" { return rest + arguments[index...] }
            let name = argument.prefix { $0 != "=" }.replacing("_", with: "-")
            if name == SlurmOptions.flag { continue }
            guard argument.hasPrefix("--"), ownOptions.contains(String(name.dropFirst(2))) else {
                rest.append(argument)
                continue
            }
            skipsValue = !argument.contains("=")
        }
        return rest
    }

    /// Starts the ranks, waits for their end and ends this process with their status.
    ///
    /// Ctrl-C and SIGTERM reach them as SIGUSR1, which the launcher passes on: they finish the step and save. A second one
    /// ends them at once.
    ///
    /// - Throws: `BridgeError` when there is no `mpirun`, and for an end that no rank has reported.
    func launch(threads: Int?) throws -> Never {
        let words = words(
            arguments: Array(CommandLine.arguments.dropFirst()),
            program: Self.program,
            cores: ProcessorSet.availableCount,
            threads: threads,
            variables: ProcessInfo.processInfo.environment.keys
        )
        let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
        guard let path = paths.map({ "\($0)/\(words[0])" }).first(where: Files.isExecutable) else {
            throw BridgeError(
                .fileSystem,
                "mpirun is not in PATH, and runs with several ranks need it; install openmpi-bin"
            )
        }
        let process = Process()
        process.executableURL = URL(filePath: "/proc/self/exe")
        process.arguments = BoundLauncher.arguments(path: path, words: words)
        var environment = ProcessInfo.processInfo.environment
        if geteuid() == 0 {
            // Open MPI asks for this in containers, where every user is root.
            environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
            environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
        }
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        let errors = Pipe()
        process.standardError = errors
        // Whether a rank has printed a JSON document is known only where it is passed on.
        let results = OutputMode.current.json ? Pipe() : nil
        if let results { process.standardOutput = results }
        Output.printError("running: \(words.map(Self.quoted).joined(separator: " "))")
        // Connections to hosts that the launcher leaves behind become children of this process.
        ParentProcess.adoptsOrphans()
        try process.run()
        Interrupt.forwards(to: process.processIdentifier)
        let report = Mutex(LauncherReport { Output.tell($0 + "\n") })
        let (output, launcher) = (errors.fileHandleForReading, process.processIdentifier)
        let reading = BackgroundTask {
            while true {
                let bytes = output.availableData
                guard !bytes.isEmpty else { return }
                let hasError = report.withLock { report in
                    report.read(bytes)
                    return report.hasError
                }
                if hasError { Self.endSoon(launcher) }
            }
        }
        let passing = results.map { results in
            let output = results.fileHandleForReading
            return BackgroundTask {
                while case let bytes = output.availableData, !bytes.isEmpty { Output.passOn(bytes) }
            }
        }
        process.waitUntilExit()
        // The connection to a lost host may keep the other end of the pipe.
        ParentProcess.endChildren()
        _ = try? reading.wait(atMost: .seconds(2))
        _ = try? passing?.wait(atMost: .seconds(2))
        let wasKilled = process.terminationReason == .uncaughtSignal
        let status = wasKilled ? 1 : process.terminationStatus
        let error = report.withLock { report in
            if wasKilled {
                report.hasLost("mpirun was ended by signal \(process.terminationStatus), and all ranks with it")
            }
            return status == 0 ? nil : report.finish(status: status, advice: advice)
        }
        if let error { throw error }
        // Above 128 it is the number of the signal that ended a rank.
        Failure.end(status > 128 && status != 130 ? 1 : status)
    }

    private static let endsSoon = Atomic(false)

    /// Ends the launcher when it does not after the error of a rank: it may wait for a host that is lost.
    private static func endSoon(_ process: pid_t) {
        guard !endsSoon.exchange(true, ordering: .relaxed) else { return }
        Workers.detach {
            sleep(30)
            kill(process, SIGKILL)
        }
    }

    /// A word as a shell reads it.
    static func quoted(_ word: String) -> String {
        let isPlain = !word.isEmpty && word.allSatisfy { $0.isLetter || $0.isNumber || "-_=./:,@%+".contains($0) }
        return isPlain ? word : "'\(word.replacing("'", with: "'\\''"))'"
    }
}
