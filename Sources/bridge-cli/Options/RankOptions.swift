import ArgumentParser
import BridgeCore
import Communication
import Foundation

/// The ranks that a command starts.
struct RankOptions: ParsableArguments {
    @Option(
        name: [.customLong("nproc-per-node"), .customLong("nproc")],
        help: ArgumentHelp("Number of ranks to start on each host, with mpirun. (default: 1)", valueName: "n")
    )
    var ranksPerHost: Int?

    @Option(
        name: .long,
        help: ArgumentHelp("File with the names of the hosts, one per line, as mpirun reads it.", valueName: "file"),
        completion: .file()
    )
    var hostfile: String?

    func validate() throws {
        if let ranksPerHost, !(1...1024).contains(ranksPerHost) {
            throw ValidationError("--nproc-per-node is \(ranksPerHost), expected 1 to 1024")
        }
    }

    /// The number of ranks of a run that is only described: that of the options, or of the launcher that started this process.
    var describedCount: Int {
        ranksPerHost ?? ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"].flatMap { Int($0) } ?? 1
    }

    /// The number of ranks that this process is about to start; nil if it starts none or does not know the number.
    var startedCount: Int? {
        guard RankEnvironment.current == .single, hostfile == nil, let ranksPerHost, ranksPerHost > 1 else {
            return nil
        }
        return ranksPerHost
    }

    /// The ranks of the run; starts them, in place of this process, where the options ask for more than one.
    ///
    /// - Parameters:
    ///   - command: The command, for messages.
    ///   - count: The number of ranks that the command needs; nil for that of the options.
    ///   - minutes: How long a rank waits for others.
    ///   - threads: The number of threads of each rank; nil for its share of the cores.
    /// - Returns: The world.
    /// - Throws: `BridgeError` when the ranks cannot be started or connected.
    func world(_ command: String, count: Int? = nil, minutes: Int = 10, threads: Int?) throws -> any RankWorld {
        let environment = RankEnvironment.current
        try environment.check(command)
        let count = ranksPerHost ?? count ?? 1
        if environment == .single, count > 1 || hostfile != nil {
            try RankLauncher(ranksPerHost: count, hostfile: hostfile).launch(threads: threads)
        }
        return try Ranks.join(minutes: minutes)
    }
}
