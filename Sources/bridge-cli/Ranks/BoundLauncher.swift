import BridgeCore
import Communication
import Foundation
import Glibc

/// The start of `mpirun` such that it ends with this process, and the ranks with it, also when a process is killed.
///
/// The system ends a process with its parent where the process itself asks for it, so this program starts itself again, asks, and
/// becomes `mpirun`.
enum BoundLauncher {
    /// The first argument of this program where it is to become another one: its parent, the path and the words follow.
    private static let request = "--become-launcher"
    /// The variable with the process of the launcher, for the ranks that it starts itself.
    private static let variable = "BRIDGE_LAUNCHER_PROCESS"

    /// The arguments with which this program becomes another one.
    static func arguments(path: String, words: [String]) -> [String] { [request, "\(getpid())", path] + words }

    /// Becomes the program that the arguments name, if they do.
    static func begin(_ arguments: [String]) {
        guard arguments.count > 4, arguments[1] == request, let parent = pid_t(arguments[2]) else { return }
        // On SIGTERM it ends the ranks, and removes its files.
        guard ParentProcess.endsThisOne(with: SIGTERM, parent: parent) else { exit(1) }
        setenv(variable, "\(getpid())", 1)
        var words: [UnsafeMutablePointer<CChar>?] = arguments[4...].map { strdup($0) }
        words.append(nil)
        execv(arguments[3], &words)
        Output.reportError("\(Failure.prefix)\(arguments[3]) could not be started: \(String(cString: strerror(errno)))")
        exit(127)
    }

    /// Lets a rank of Open MPI end with the process that started it: `mpirun`, or on other hosts its daemon.
    ///
    /// A rank that a script starts in the background outlives the script.
    static func bindRank() {
        guard getenv("OMPI_COMM_WORLD_RANK") != nil else { return }
        if let launcher = getenv(variable).flatMap({ pid_t(String(cString: $0)) }), kill(launcher, 0) != 0 { exit(1) }
        let parent = getppid()
        guard launchers.contains(name(of: parent)) else { return }
        guard ParentProcess.endsThisOne(with: SIGKILL, parent: parent) else { exit(1) }
    }

    /// Whether the output of the launcher that started this process goes to a terminal; true for a process without one.
    ///
    /// `mpirun` gives its ranks a terminal in any case.
    static var writesToTerminal: Bool {
        guard getenv("OMPI_COMM_WORLD_RANK") != nil else { return true }
        let output = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(getppid())/fd/1")
        return output.map { $0.hasPrefix("/dev/pts/") || $0.hasPrefix("/dev/tty") } ?? false
    }

    private static let launchers = ["mpirun", "mpiexec", "orterun", "orted", "prterun", "prted"]

    private static func name(of process: pid_t) -> String {
        let bytes = try? Files.contents(of: "/proc/\(process)/comm", limit: 64)
        return String(decoding: bytes ?? [], as: UTF8.self).trimmingCharacters(in: .newlines)
    }
}
