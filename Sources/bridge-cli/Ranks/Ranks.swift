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
    /// - Parameter minutes: How long a rank waits for others.
    /// - Returns: The world: of one rank without a launcher.
    /// - Throws: `BridgeError` when MPI cannot be started.
    static func join(minutes: Int) throws -> any RankWorld {
        guard RankEnvironment.current == .mpi else { return SingleRankWorld() }
        let environment = ProcessInfo.processInfo.environment
        let local = environment["OMPI_COMM_WORLD_LOCAL_SIZE"].flatMap { Int($0) } ?? 1
        let threads = ThreadOptions.standardCount
        let world = try MPIWorld(
            timeout: RankTimeout(
                limit: .seconds(60 * minutes),
                isOversubscribed: local * threads > ProcessInfo.processInfo.activeProcessorCount
            )
        )
        joined.withLock { $0 = world }
        OutputMode.use(rank: world.size > 1 ? world.rank : nil)
        return world.size > 1 ? world : SingleRankWorld()
    }

    /// Ends this rank: all others too where the status is an error.
    static func leave(_ status: Int32) {
        guard let world = joined.withLock({ $0 }) else { return }
        if status == 0 || status == 130 { world.finish() } else { world.abort(status: Int(status)) }
    }
}
