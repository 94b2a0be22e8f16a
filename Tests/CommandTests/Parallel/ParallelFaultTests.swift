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

    @Test(arguments: ParallelBench.layouts, [0, 1]) func aKilledRankIsNamed(_ layout: String, _ rank: Int) throws {
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
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 0: rank 1 did not take part", "within 3.0 s"])
    }

    /// A run of ten steps with a fault in rank 1, at a call on a file below the directory of its checkpoints.
    private func fault(_ call: String, _ number: Int, _ action: FaultRun.Action, _ settings: String...) throws
        -> BridgeProcess.Outcome
    {
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
        return try run.run(call, number, action)
    }

    /// Each save has two files of rank 1, with one write each.
    @Test(arguments: ["true", "false"]) func aRankThatIsKilledWhileItSavesIsNamed(_ isAsync: String) throws {
        let outcome = try fault("pwrite", 3, .kill, "checkpoint.async_save=\(isAsync)")
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1 on", "signal 9 (killed)"])
        #expect(bench.iterations("run") == ["iter_0000005"])
        let again = try BridgeProcess(ranks.arguments("run", "train.train_iters=10")).wait()
        #expect(again.status == 0, "\(again.errors)")
        #expect(ranks.scratch.content.filter { $0.contains(".partial") } == [])
    }

    @Test func aRankThatIsStoppedWhileItSavesIsNamed() throws {
        let outcome = try fault("pwrite", 3, .stop)
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1 did not take part"])
        #expect(bench.iterations("run") == ["iter_0000005"])
    }

    @Test func aFullDiskOfOneRankLeavesTheLastCheckpoint() throws {
        let outcome = try fault("pwrite", 3, .diskFull)
        try ranks.expectEnd(of: "run", outcome, mentioning: ["rank 1: the checkpoint of step 10", "no space left"])
        #expect(outcome.sentence.contains("5 steps are lost"), "\(outcome.errors)")
        #expect(bench.iterations("run") == ["iter_0000005"])
    }

    @Test func aFullDiskOfOneRankDuringTheRunIsAWarning() throws {
        let outcome = try fault("pwrite", 1, .diskFull)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("the checkpoint of step 5 could not be written: rank 1"), "\(outcome.errors)")
        #expect(bench.iterations("run") == ["iter_0000010"])
    }

    @Test func aRowThatOneRankCannotReadIsNamed() throws {
        try bench.write(Array(TrainBench.rows[..<3]) + ["{\"messages\": ["] + TrainBench.rows[3...], to: "rows.jsonl")
        let arguments = ranks.arguments("run", "dataset.shuffle=false", "train.micro_batch_size=1")
        let outcome = try BridgeProcess(arguments + ["train.global_batch_size=2", "--nproc-per-node", "2"]).wait()
        try ranks.expectEnd(of: "run", outcome, status: 4, mentioning: ["rank 1: ", "rows.jsonl, line 4"])
    }
}
