import BridgeCore
import Communication
import Foundation
import Glibc
import Synchronization

/// The ranks of this run, from its start to its end.
enum Ranks {
    private static let joined = Mutex<MPIWorld?>(nil)

    /// Joins the ranks that a launcher started.
    ///
    /// - Parameters:
    ///   - threads: The number of threads of each rank; nil for as many as it has processors.
    ///   - binds: Whether the ranks of a host divide its processors.
    /// - Returns: The world: of one rank without a launcher.
    /// - Throws: `BridgeError` when MPI cannot be started.
    static func join(threads: Int?, binds: Bool) throws -> any RankWorld {
        guard RankEnvironment.current == .mpi else { return SingleRankWorld() }
        let isOfMPIRun = ProcessInfo.processInfo.environment["OMPI_COMM_WORLD_SIZE"] != nil
        // MPI waits for all ranks without a limit.
        Interrupt.endsAfter(seconds: 600)
        defer { alarm(0) }
        // An error of MPI is one message too.
        OutputMode.use(rank: RankEnvironment.rank)
        let world = try MPIWorld(threadCount: threads, binds: binds)
        joined.withLock { $0 = world }
        OutputMode.use(rank: world.size > 1 ? world.rank : nil)
        // The parent of a rank of Slurm has the cores of the node, of which a job may have some only.
        let unused = isOfMPIRun ? world.unusedProcessorCount : 0
        if world.rank == 0 { CoreReport(world.cores, unusedCount: unused).show() }
        return world.size > 1 ? world : SingleRankWorld()
    }

    /// The processors and threads of each rank; empty where no launcher started this process.
    static var cores: [RankCores] { joined.withLock { $0?.cores } ?? [] }

    /// The number of threads of this rank that compute; nil where no launcher started this process.
    static var threadCount: Int? { joined.withLock { world in world.map { $0.cores[$0.rank].threadCount } } }

    /// Waits before this rank reports an error, so that only one rank does.
    ///
    /// An error that all ranks have is reported by the first one, which ends the others meanwhile. A rank that has failed
    /// reports its own error before the others report that they miss it, and the launcher reports one that was killed.
    static func waitToReport(_ code: BridgeError.Code) {
        guard let rank = OutputMode.current.rank ?? RankEnvironment.rank else { return }
        Interrupt.endsSilently()
        let turn = 0.25 * Double(min(rank, 20))
        let seconds: Double =
            switch code {
            case .reportedByOtherRank: 10
            case .rankFailed: 4 + turn
            default: rank == 0 ? 0 : 2 + turn
            }
        usleep(UInt32(seconds * 1e6))
    }

    /// What all ranks must have in common besides their recipe: program and plugins.
    static func facts(_ catalog: PluginCatalog) -> RankFacts {
        var facts = RankFacts()
        facts.add("core", PluginLoader.coreBuild)
        facts.add("program", contentsOf: "/proc/self/exe")
        for plugin in catalog.plugins { facts.add("plugin \(Files.name(of: plugin.path))", contentsOf: plugin.path) }
        return facts
    }

    /// Ends this rank: all others too where the status is an error.
    static func leave(_ status: Int32) {
        guard let world = joined.withLock({ $0 }) else { return }
        // Both end at once, unless a rank or the launcher is stuck.
        Interrupt.endsAfter(seconds: 60)
        if status == 0 || status == 130 { world.finish() } else { world.abort(status: Int(status)) }
    }
}
