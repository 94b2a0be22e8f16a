import BridgeCore
import Foundation

/// How this process was started: alone, or as a rank of a launcher.
enum RankEnvironment: Equatable {
    /// One process, which no launcher started.
    case single
    /// A rank that `mpirun` or `srun --mpi=pmix` started.
    case mpi
    /// Several processes without an MPI world.
    case foreign(launcher: String)

    /// Reads the variables of the launchers: Open MPI's and PMIx's, torchrun's, Slurm's.
    init(_ variables: [String: String]) {
        func count(_ name: String) -> Int { variables[name].flatMap { Int($0) } ?? 1 }
        if count("OMPI_COMM_WORLD_SIZE") > 1 || variables["PMIX_RANK"] != nil {
            self = .mpi
        } else if variables["TORCHELASTIC_RUN_ID"] != nil || (variables["LOCAL_RANK"] != nil && count("WORLD_SIZE") > 1)
        {
            self = .foreign(launcher: "torchrun")
        } else if variables["SLURM_STEP_ID"] != nil, variables["SLURM_PROCID"] != nil, count("SLURM_STEP_NUM_TASKS") > 1
        {
            self = .foreign(launcher: "srun without --mpi=pmix")
        } else {
            self = .single
        }
    }

    /// The rank of this process before it has joined the others, where a launcher of Open MPI started several; nil otherwise.
    static var rank: Int? {
        let variables = ProcessInfo.processInfo.environment
        func number(_ name: String) -> Int? { variables["OMPI_COMM_WORLD_\(name)"].flatMap { Int($0) } }
        return number("SIZE").flatMap { $0 > 1 ? number("RANK") : nil }
    }

    /// Of this process.
    static var current: RankEnvironment { RankEnvironment(ProcessInfo.processInfo.environment) }

    /// Checks that the processes of a run form an MPI world.
    ///
    /// - Throws: `BridgeError` with the command that starts them.
    func check(_ command: String) throws {
        guard case .foreign(let launcher) = self else { return }
        throw BridgeError(
            .badArgument,
            "\(launcher) started several processes that have no MPI world; start them with 'mpirun -np N \(command)', "
                + "'srun --mpi=pmix \(command)' or '\(command) --nproc-per-node N'"
        )
    }
}
