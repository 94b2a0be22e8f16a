import Communication
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
    static func bindRank() {
        guard getenv("OMPI_COMM_WORLD_RANK") != nil else { return }
        let parent = getenv(variable).flatMap { pid_t(String(cString: $0)) }
        guard ParentProcess.endsThisOne(with: SIGKILL, parent: parent) else { exit(1) }
    }
}
