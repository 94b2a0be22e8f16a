import BridgeCore
import Communication
import JSONTree

/// Which cores and threads the ranks have, for the user.
struct CoreReport {
    private let cores: [RankCores]
    private let unusedCount: Int

    /// A report.
    ///
    /// - Parameters:
    ///   - cores: Those of all ranks.
    ///   - unusedCount: How many processors of the first rank's host the launcher has given to no rank.
    init(_ cores: [RankCores], unusedCount: Int = 0) { (self.cores, self.unusedCount) = (cores, unusedCount) }

    /// Prints a line for all ranks, with `--verbose` one for each, and what is wrong with the launcher's choice.
    func show() {
        if unusedCount > 0 {
            let given = ByteFormat.counted(cores.first?.processorCount ?? 1, "core")
            Output.printError(
                "warning: mpirun gives rank 0 \(given), and no rank the other \(unusedCount) of this host; start the ranks with "
                    + "'mpirun --bind-to none' or --nproc-per-node, and they divide all cores"
            )
        }
        guard cores.count > 1 else { return }
        Output.printError("ranks: \(summary)")
        guard OutputMode.current.isVerbose else { return }
        for (rank, cores) in cores.enumerated() { Output.printError("  rank \(rank): \(cores.text)") }
    }

    /// One line about all ranks.
    private var summary: String {
        let hosts = Set(cores.map(\.host)).count
        let threads = Set(cores.map(\.threadCount)).sorted().map(String.init).joined(separator: " or ")
        let all = "\(cores.count) on \(ByteFormat.counted(hosts, "host")), threads of each: \(threads)"
        let shared = cores.count { !$0.areOwn }
        switch shared {
        case 0: return "\(all), on cores of its own"
        case cores.count: return "\(all), on cores that they share"
        default: return "\(all), \(shared) of them on cores that they share"
        }
    }

    /// All ranks.
    var json: JSON {
        .array(
            cores.enumerated().map { rank, cores in
                [
                    "rank": JSON(rank), "host": .string(cores.host), "cores": .string(cores.processors),
                    "threads": JSON(cores.threadCount), "are_own": .bool(cores.areOwn),
                ]
            }
        )
    }
}

extension RankCores {
    fileprivate var text: String {
        "cores \(processors) of \(host), \(ByteFormat.counted(threadCount, "thread"))\(areOwn ? "" : ", shared with other ranks")"
    }

    /// The number of processors.
    fileprivate var processorCount: Int {
        processors.split(separator: ",").reduce(0) { count, range in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            return count + (ends.last ?? 0) - (ends.first ?? 0) + 1
        }
    }
}
