import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Which processors the threads of ranks run on.
@Suite(.serialized) struct ParallelCoreTests {
    private let ranks: ParallelBench
    private var bench: TrainBench { ranks.bench }
    private let all: ProcessorSet

    init() throws {
        ranks = try ParallelBench()
        all = try #require(ProcessorSet.allowed())
    }

    static let hasSeveralCores = ProcessorSet.availableCount > 1

    /// The processors that the kernel allows the threads of a process, as it writes them.
    private func processors(of process: pid_t) throws -> Set<String> {
        let directory = "/proc/\(process)/task"
        let threads = try FileManager.default.contentsOfDirectory(atPath: directory)
        // A thread may have ended since.
        let texts = threads.compactMap { try? String(contentsOfFile: "\(directory)/\($0)/status", encoding: .utf8) }
        return Set(
            texts.flatMap { $0.split(separator: "\n") }.filter { $0.hasPrefix("Cpus_allowed_list:") }
                .map { $0.dropFirst("Cpus_allowed_list:".count).trimmingCharacters(in: .whitespaces) }
        )
    }

    /// The processors of the threads of two ranks that train.
    private func processorsOfRanks(_ name: String, _ options: [String]) throws -> [Set<String>] {
        let run = try BridgeProcess(ranks.endless(name, "model.tensor_model_parallel_size=2") + options)
        try bench.waitForSteps(3, of: name, by: run)
        let found = try (0..<2).map { try processors(of: ranks.process(ofRank: $0, of: name)) }
        kill(run.identifier, SIGTERM)
        let outcome = try run.wait()
        #expect(outcome.status == 130, "\(outcome.errors)")
        let shares = options.contains("none")
        #expect(outcome.errors.contains("ranks: 2 on 1 host, threads of each: \(all.count / 2)"), "\(outcome.errors)")
        #expect(outcome.errors.contains(shares ? "on cores that they share" : "on cores of its own"))
        return found
    }

    @Test(.enabled(if: hasSeveralCores, "ranks on one core share it"))
    func everyThreadOfARankRunsOnItsOwnCores() throws {
        let parts = all.parts(2)
        #expect(try processorsOfRanks("bound", []) == parts.map { ["\($0)"] })
        #expect(try processorsOfRanks("free", ["--bind-to", "none"]) == [["\(all)"], ["\(all)"]])
    }

    private func cores(_ words: [String]) throws -> [JSON] {
        let outcome = try BridgeProcess(
            ["selftest", "collectives", "--bytes", "4096", "--rounds", "1", "--json"] + words
        ).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        return try #require(JSON(parsing: Array(outcome.output.utf8))["cores"]?.array)
    }

    @Test func moreRanksOrThreadsThanCoresShareThem() throws {
        let count = all.count + 1
        let ranks = try cores(["--nproc-per-node", "\(count)"])
        #expect(ranks.count == count)
        let threads = try cores(["--nproc-per-node", "2", "--threads", "\(all.count)"])
        for (rank, entry) in ranks.enumerated() {
            #expect(entry["rank"] == JSON(rank) && entry["are_own"] == false && entry["threads"] == 1)
            #expect(entry["cores"]?.string == "\(all)")
        }
        for entry in threads where all.count > 1 {
            #expect(entry["are_own"] == false && entry["threads"] == JSON(all.count))
            #expect(entry["cores"]?.string == "\(all)")
        }
    }

    private static let root = ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]

    /// By default `mpirun` gives each of one or two ranks one core, whatever the number of cores.
    @Test(.enabled(if: hasSeveralCores, "there is one core to give"))
    func theCoresOfMPIRunAreKeptAndTheOthersReported() throws {
        func run(_ name: String, _ options: String) throws -> String {
            let arguments = ranks.arguments(name, "train.train_iters=2", "--verbose")
            let outcome = try BridgeProcess(arguments, shell: "exec mpirun \(options) \"$@\"", environment: Self.root)
                .wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return outcome.errors
        }
        let bound = try run("bound", "-np 1")
        #expect(bound.contains("warning: mpirun gives rank 0 1 core,"), "\(bound)")
        #expect(bound.contains("no rank the other \(all.count - 1)"), "\(bound)")
        let two = try run("two", "-np 2 --bind-to none")
        #expect(!two.contains("warning: mpirun"), "\(two)")
        for (rank, part) in all.parts(2).enumerated() {
            #expect(two.contains("rank \(rank): cores \(part) of "), "\(two)")
        }
    }
}
