import BridgeCore

/// A file for `sbatch` that starts a command as the ranks of an MPI world.
struct SlurmScript {
    /// The name of the job.
    let name: String
    /// The account; nil for a placeholder.
    let account: String?
    /// The partition; nil for a placeholder.
    let partition: String?
    /// The number of nodes.
    let nodes: Int
    /// The number of ranks on each node.
    let ranksPerNode: Int
    /// The longest time, as Slurm reads it.
    let time: String
    /// The path of this program.
    let program: String
    /// Its arguments.
    let arguments: [String]

    /// The lines of the file.
    var lines: [String] {
        [
            "#!/bin/bash",
            "#SBATCH --job-name=\(name)",
            "#SBATCH --account=\(account ?? "ACCOUNT")",
            "#SBATCH --partition=\(partition ?? "PARTITION")",
            "#SBATCH --nodes=\(nodes)",
            "#SBATCH --ntasks-per-node=\(ranksPerNode)",
            "#SBATCH --exclusive",
            "#SBATCH --time=\(time)",
            "#SBATCH --output=%x_%j.log",
            "# The step is finished and saved in the last two minutes; the same file then resumes the run.",
            "#SBATCH --signal=TERM@120",
            "",
            "export BRIDGE_NUM_THREADS=$(( SLURM_CPUS_ON_NODE / \(ranksPerNode) ))",
            "BRIDGE=${BRIDGE:-\(RankLauncher.quoted(program))}",
            "srun --mpi=pmix --cpu-bind=none --kill-on-bad-exit=1 \"$BRIDGE\" "
                + arguments.map(RankLauncher.quoted).joined(separator: " "),
        ]
    }

    /// The names that have to be replaced in the file.
    var placeholders: [String] { (account == nil ? ["ACCOUNT"] : []) + (partition == nil ? ["PARTITION"] : []) }
}
