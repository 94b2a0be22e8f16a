import ArgumentParser
import BridgeCore

/// The job that runs a command under Slurm.
struct SlurmOptions: ParsableArguments {
    /// The option that prints the file.
    static let flag = "--slurm"
    /// The names of the others.
    static let names = ["account", "partition", "nodes", "time-limit"]

    @Flag(name: .long, help: "Print a file for sbatch that runs this command, and do not run it.")
    var slurm = false

    @Option(name: .long, help: ArgumentHelp("Account of the Slurm job.", valueName: "name"))
    var account: String?

    @Option(name: .long, help: ArgumentHelp("Partition of the Slurm job.", valueName: "name"))
    var partition: String?

    @Option(name: .long, help: ArgumentHelp("Number of nodes of the Slurm job. (default: 1)", valueName: "n"))
    var nodes: Int?

    @Option(
        name: .customLong("time-limit"),
        help: ArgumentHelp("Time limit of the Slurm job. (default: 04:00:00)", valueName: "time")
    )
    var timeLimit: String?

    func validate() throws {
        if let nodes, !(1...100_000).contains(nodes) {
            throw ValidationError("--nodes is \(nodes), expected 1 to 100000")
        }
        let given = [account, partition, nodes.map(String.init), timeLimit]
        if !slurm, let index = given.firstIndex(where: { $0 != nil }) {
            throw ValidationError("--\(Self.names[index]) has no effect without \(Self.flag)")
        }
        for (name, text) in zip(Self.names, given) {
            guard let text, text.isEmpty || !text.allSatisfy({ $0.isLetter || $0.isNumber || "-_.,:+".contains($0) })
            else {
                continue
            }
            throw ValidationError("--\(name) is '\(text)', expected a name of Slurm's")
        }
        // As in the manual of sbatch.
        if let timeLimit, timeLimit.wholeMatch(of: #/\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}|UNLIMITED|INFINITE/#) == nil {
            throw ValidationError(
                "--time-limit is '\(timeLimit)', expected minutes, HH:MM:SS or days-HH:MM:SS, such as 04:00:00"
            )
        }
    }

    /// Refuses options of the command that a job does not have.
    ///
    /// - Throws: `ValidationError` with what to do.
    func check(_ ranks: RankOptions, dryRun: Bool) throws {
        guard slurm else { return }
        if ranks.hostfile != nil {
            throw ValidationError(
                "--hostfile has no effect with --slurm, which chooses the hosts; give their number with --nodes"
            )
        }
        if dryRun {
            throw ValidationError("--slurm prints a job, and --dry-run the plan of a run; remove one of them")
        }
    }

    /// The number of ranks of the job.
    func rankCount(_ ranks: RankOptions) -> Int { (nodes ?? 1) * (ranks.ranksPerHost ?? 1) }

    /// Prints the file.
    ///
    /// - Parameters:
    ///   - name: The name of the job.
    ///   - ranks: The options of the ranks.
    ///   - arguments: The arguments of this program.
    func printScript(_ name: String, _ ranks: RankOptions, arguments: [String]) {
        let script = SlurmScript(
            name: name,
            account: account,
            partition: partition,
            nodes: nodes ?? 1,
            ranksPerNode: ranks.ranksPerHost ?? 1,
            time: timeLimit ?? "04:00:00",
            program: RankLauncher.program,
            arguments: RankLauncher.withoutOwnOptions(arguments)
        )
        for line in script.lines { Output.line(line) }
        guard !script.placeholders.isEmpty else { return }
        Output.printError(
            "note: replace \(script.placeholders.joined(separator: " and ")), or give --account and --partition"
        )
    }
}
