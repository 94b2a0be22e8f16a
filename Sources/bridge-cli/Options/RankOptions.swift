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

    /// What the threads of a rank are limited to.
    enum Binding: String, ExpressibleByArgument, CaseIterable {
        /// A part of the cores of the host.
        case core
        /// Nothing.
        case none
    }

    @Option(
        name: .long,
        help: ArgumentHelp(
            "What the threads of each rank are limited to: core, a part of the cores of its host if there are enough, or "
                + "none. (default: core)",
            valueName: "unit"
        )
    )
    var bindTo: Binding = .core

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
    ///   - threads: The number of threads of each rank that the user has chosen; nil for its share of the cores.
    ///   - advice: What to do about a rank that was killed.
    /// - Returns: The world.
    /// - Throws: `BridgeError` when the ranks cannot be started or connected.
    func world(
        _ command: String,
        count: Int? = nil,
        threads: Int?,
        advice: String
    ) throws -> any RankWorld {
        let environment = RankEnvironment.current
        try environment.check(command)
        if environment == .mpi,
            let option = ranksPerHost != nil ? "--nproc-per-node" : hostfile.map({ _ in "--hostfile" })
        {
            throw BridgeError(
                .badArgument,
                "\(option) has no effect in a rank that mpirun or srun has started; remove it, or start '\(command)' without a launcher"
            )
        }
        let count = ranksPerHost ?? count ?? 1
        if environment == .single, count > 1 || hostfile != nil {
            if let hostfile { try Hostfile.check(hostfile) }
            try RankLauncher(ranksPerHost: count, hostfile: hostfile, advice: advice).launch(threads: threads)
        }
        return try Ranks.join(threads: threads, binds: bindTo == .core)
    }
}
