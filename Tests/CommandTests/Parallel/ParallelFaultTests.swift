import Foundation
import TestSupport
import Testing

/// A rank that dies, fails or is stuck ends the whole run with one sentence that names it.
@Suite(.serialized) struct ParallelFaultTests {
    private let ranks: ParallelBench
    private var bench: TrainBench { ranks.bench }

    init() throws { ranks = try ParallelBench() }

    /// Waits for the end of a run that cannot go on.
    ///
    /// - Returns: What it ended with, and after how many seconds.
    private func end(of run: BridgeProcess, after what: () throws -> Void) throws -> BridgeProcess.Outcome {
        let start = ContinuousClock.now
        try what()
        let outcome = try run.wait()
        #expect(ContinuousClock.now - start < .seconds(60), "\(outcome.errors)")
        return outcome
    }

    @Test(arguments: zip(ParallelBench.layouts, [0, 1, 1, 1])) func aKilledRankIsNamed(_ layout: String, _ rank: Int)
        throws
    {
        let run = try BridgeProcess(ranks.endless("run", layout))
        try bench.waitForSteps(12, of: "run", by: run)
        let outcome = try end(of: run) { kill(try ranks.process(ofRank: rank, of: "run"), SIGKILL) }
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank \(rank) on", "signal 9 (killed)"])
        #expect(!bench.iterations("run").isEmpty)
    }

    @Test(arguments: ParallelBench.layouts.prefix(2)) func aStoppedRankIsNamedAfterTheTimeout(_ layout: String) throws {
        let run = try BridgeProcess(ranks.endless("run", layout, "dist.distributed_timeout_minutes=0.05"))
        try bench.waitForSteps(12, of: "run", by: run)
        let outcome = try end(of: run) { kill(try ranks.process(ofRank: 1, of: "run"), SIGSTOP) }
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 0: rank 1 ", "within 3.0 s", "rank 1 is stopped"])
    }

    /// Rank 0 waits only for others that wait for the stopped one.
    @Test func aStoppedRankOfFourIsNamed() throws {
        let layout = [
            "model.tensor_model_parallel_size=2", "model.pipeline_model_parallel_size=2",
            "dist.distributed_timeout_minutes=0.05",
        ]
        let run = try BridgeProcess(ranks.endless("run").with("--nproc-per-node", "4") + layout)
        try bench.waitForSteps(6, of: "run", by: run)
        let outcome = try end(of: run) { kill(try ranks.process(ofRank: 3, of: "run"), SIGSTOP) }
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 3 is stopped"])
    }

    @Test func aLauncherThatIsKilledEndsTheRanks() throws {
        let run = try BridgeProcess(ranks.endless("run", "model.tensor_model_parallel_size=2"))
        try bench.waitForSteps(6, of: "run", by: run)
        let rank = try ranks.process(ofRank: 0, of: "run")
        let outcome = try end(of: run) { kill(try #require(Self.parent(of: rank)), SIGKILL) }
        try ranks.expectEnd(of: "run", outcome, mentioning: ["mpirun was ended by signal 9"])
        try wait(until: "rank 0 ends") { kill(rank, 0) != 0 }
    }

    private static func parent(of process: pid_t) -> pid_t? {
        let stat = (try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)) ?? ""
        return (stat.split(separator: ")").last ?? "").split(separator: " ").dropFirst().first.flatMap { pid_t($0) }
    }

    /// A run of ten steps with a fault in rank 1, at the first write of its second checkpoint.
    ///
    /// The first one is written beside its directory, which does not exist before it is complete.
    private func fault(_ action: FaultRun.Action, _ settings: String...) throws -> BridgeProcess.Outcome {
        let arguments = ranks.arguments(
            "run",
            "train.train_iters=10",
            "checkpoint.save_interval=5",
            "model.tensor_model_parallel_size=2",
            "dist.distributed_timeout_minutes=0.1"
        )
        let run = FaultRun(
            arguments: arguments + ["--nproc-per-node", "2"] + settings,
            under: ranks.scratch.path("run/"),
            environment: ["BRIDGE_FAULT_RANK": "1"]
        )
        return try run.run("pwrite", 1, action)
    }

    @Test(arguments: ["true", "false"]) func aRankThatIsKilledWhileItSavesIsNamed(_ isAsync: String) throws {
        let outcome = try fault(.kill, "checkpoint.async_save=\(isAsync)")
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1 on", "signal 9 (killed)"])
        #expect(bench.iterations("run") == ["iter_0000005"])
        let again = try BridgeProcess(ranks.arguments("run", "train.train_iters=10")).wait()
        #expect(again.status == 0, "\(again.errors)")
        #expect(ranks.scratch.content.filter { $0.contains(".partial") } == [])
    }

    @Test func aRankThatIsStoppedWhileItSavesIsNamed() throws {
        let outcome = try fault(.stop)
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1 did not take part"])
        #expect(bench.iterations("run") == ["iter_0000005"])
    }

    @Test func aFullDiskOfOneRankLeavesTheLastCheckpoint() throws {
        let outcome = try fault(.diskFull)
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1: the checkpoint of step 10", "no space is left"])
        #expect(outcome.sentence.contains("5 steps are lost"), "\(outcome.errors)")
        #expect(bench.iterations("run") == ["iter_0000005"])
    }

    @Test func aFullDiskOfOneRankDuringTheRunIsAWarning() throws {
        let outcome = try fault(.diskFull, "train.train_iters=15")
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("the checkpoint of step 10 could not be written: rank 1"), "\(outcome.errors)")
        #expect(bench.iterations("run") == ["iter_0000005", "iter_0000015"])
    }

    @Test func aRowThatOneRankCannotReadIsNamed() throws {
        try bench.write(Array(TrainBench.rows[..<3]) + ["{\"messages\": ["] + TrainBench.rows[3...], to: "rows.jsonl")
        let arguments = ranks.arguments("run", "dataset.shuffle=false", "train.micro_batch_size=1")
        let outcome = try BridgeProcess(arguments + ["train.global_batch_size=2", "--nproc-per-node", "2"]).wait()
        let note = "the step before it is saved in \(ranks.scratch.path("run/iter_0000001"))"
        try ranks.expectEnd(of: "run", outcome, status: 4, mentioning: ["rank 1: ", "rows.jsonl, line 4", note])
        #expect(bench.iterations("run") == ["iter_0000001"])
    }

    @Test func aBadRowOfAPipelineLosesNoStep() throws {
        try bench.write(Array(TrainBench.rows[..<9]) + ["{"] + TrainBench.rows[9...], to: "rows.jsonl")
        let settings = ["dataset.shuffle=false", "model.pipeline_model_parallel_size=2", "--nproc-per-node", "2"]
        let outcome = try BridgeProcess(ranks.arguments("run") + settings).wait()
        let note = "the 2 steps before it are saved in"
        try ranks.expectEnd(of: "run", outcome, status: 4, mentioning: ["rank 0: ", "rows.jsonl, line 10", note])
        #expect(bench.iterations("run") == ["iter_0000002"])
    }

    /// The parent of `mpirun` is killed: nothing trains on.
    @Test func aCommandThatIsKilledEndsItsRanks() throws {
        let run = try BridgeProcess(ranks.endless("run", "model.tensor_model_parallel_size=2"))
        try bench.waitForSteps(6, of: "run", by: run)
        let processes = try [0, 1].map { try ranks.process(ofRank: $0, of: "run") }
        let launcher = try #require(Self.parent(of: processes[0]))
        #expect(Self.parent(of: launcher) == run.identifier)
        kill(run.identifier, SIGKILL)
        #expect(try run.wait().signal == SIGKILL)
        for process in processes + [launcher] { try wait(until: "process \(process) ends") { kill(process, 0) != 0 } }
    }
}
