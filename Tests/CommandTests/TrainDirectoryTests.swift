import Foundation
import JSONTree
import TestSupport
import Testing

/// The directories of `bridge train`: whose they are, what is kept in them, and that nothing in them is lost.
@Suite struct TrainDirectoryTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    private func run(_ arguments: [String]) throws -> BridgeProcess.Outcome { try BridgeProcess(arguments).wait() }

    @Test func aReproducedRunLeavesTheLogsOfTheFirstAlone() throws {
        // Without logger.log_dir, so that the directory follows from checkpoint.save.
        let first = bench.arguments("one").filter { !$0.hasPrefix("logger.log_dir") }
        #expect(try run(first).status == 0)
        let before = TemporaryDirectory.bytes(of: bench.scratch.path("one_logs"))
        #expect(before.keys.contains("log.jsonl") && before.keys.contains("report.html"))
        let again = try run([
            "train", "--recipe", bench.scratch.path("one/iter_0000006/run_config.yaml"),
            "checkpoint.save=\(bench.scratch.path("two"))",
        ])
        #expect(again.status == 0, "\(again.errors)")
        #expect(TemporaryDirectory.bytes(of: bench.scratch.path("one_logs")) == before)
        let logs = try ["one", "two"].map { name in
            try String(contentsOf: bench.scratch.url("\(name)_logs/log.jsonl"), encoding: .utf8).split(separator: "\n")
                .map { try JSON(parsing: Array($0.utf8))["lm_loss"] }
        }
        #expect(logs[0] == logs[1] && logs[0].count == 6)
    }

    /// Without checkpoint.save the directory follows from the recipe alone, so that a run on other data would continue the first.
    @Test func aRunInTheDefaultDirectoryDoesNotContinueOneOnOtherData() throws {
        try bench.write(TrainBench.rows.reversed(), to: "other.jsonl")
        let home = bench.scratch.path("home")
        func train(_ data: String, _ more: String...) throws -> BridgeProcess.Outcome {
            let words = ["train", "--hf-model", bench.scratch.path("toy"), "--data", bench.scratch.path(data)]
            return try BridgeProcess(words + more, environment: ["SAVE_DIR": home]).wait()
        }
        #expect(try train("rows.jsonl", "train.train_iters=3").status == 0)
        let refused = try train("other.jsonl", "train.train_iters=4")
        expect(
            refused,
            failsWith: 64,
            mentioning: "is of a run on other data",
            "checkpoint.save=DIRECTORY",
            "rows.jsonl"
        )
        let more = try train("rows.jsonl", "train.train_iters=4")
        #expect(more.status == 0 && more.errors.contains("resuming after step 3"), "\(more.errors)")
        let save = "\(home)/mistral_7b_finetune_config/checkpoints"
        let named = try train("other.jsonl", "train.train_iters=5", "checkpoint.save=\(save)")
        #expect(named.status == 0 && named.errors.contains("resuming after step 4"), "\(named.errors)")
        // The logs are found from the directory of the checkpoints too.
        let compared = try BridgeProcess(["compare-runs", save, save, "--assert-equal"]).wait()
        #expect(compared.status == 0, "\(compared.errors)")
    }

    @Test func theResumedCheckpointIsReported() throws {
        #expect(try run(bench.arguments("run")).status == 0)
        let again = try run(bench.arguments("run"))
        #expect(again.status == 0 && again.output.contains("Nothing left to do"), "\(again.output)")
        #expect(again.output.contains("iter_0000006") && !again.output.contains("Done after"))
        // The page still has all steps.
        let report = try String(contentsOf: bench.scratch.url("run-log/report.html"), encoding: .utf8)
        #expect(report.contains("6 of 6"), "\(report)")

        let plan = try run(bench.arguments("run", "train.train_iters=8") + ["--dry-run"])
        #expect(
            plan.status == 0 && plan.output.contains("resumes from \(bench.scratch.path("run"))/iter_0000006"),
            "\(plan.output)"
        )
        let more = try run(bench.arguments("run", "train.train_iters=8", "optimizer.lr=0.001"))
        #expect(more.status == 0, "\(more.errors)")
        #expect(more.errors.contains("resuming after step 6"), "\(more.errors)")
        #expect(more.errors.contains("optimizer.lr: 0.002 -> 0.001"), "\(more.errors)")
        #expect(try bench.log("run").count == 8)

        let other = try BridgeProcess.run("toy", "--family", "mistral", "--output", bench.scratch.path("toy9"))
        #expect(other.status == 0)
        let base = ["--pretrained-checkpoint", bench.scratch.path("toy9")]
        let arguments = bench.arguments("run", "train.train_iters=9").filter {
            $0 != "--pretrained-checkpoint" && $0 != bench.scratch.path("toy")
        }
        let refused = try run(arguments + base)
        expect(refused, failsWith: 64, mentioning: "other settings", "checkpoint.pretrained_checkpoint")
        #expect(bench.iterations("run").last == "iter_0000008")
    }

    @Test func twoRunsDoNotShareADirectory() throws {
        let endless = ["train.train_iters=1000000", "checkpoint.save_interval=1000000"]
        let first = try BridgeProcess(bench.arguments("run") + endless)
        try bench.waitForSteps(2, of: "run", by: first)
        expect(
            try run(bench.arguments("run")),
            failsWith: 1,
            mentioning: "another run is writing to",
            "checkpoint.save"
        )
        let sharing = bench.arguments("other").map {
            $0.hasPrefix("logger.log_dir") ? "logger.log_dir=\(bench.scratch.path("run-log"))" : $0
        }
        expect(try run(sharing), failsWith: 1, mentioning: "log.jsonl", "logger.log_dir")
        first.send(SIGINT)
        let outcome = try first.wait()
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.errors.contains("a second signal ends at once"), "\(outcome.errors)")
        let steps = try bench.log("run").compactMap { $0["iteration"]?.integer }
        #expect(steps == Array(1...steps.count))
        #expect(bench.scratch.content.allSatisfy { !$0.hasSuffix(".running") })
    }

    @Test(arguments: [[], ["--dry-run"]]) func anImpossibleDirectoryIsRefusedBeforeTheFirstStep(_ more: [String]) throws
    {
        try Data("x".utf8).write(to: bench.scratch.url("file"))
        expect(try run(bench.arguments("file") + more), failsWith: 1, mentioning: "exists and is not a directory")
        expect(try run(bench.arguments("file/run") + more), failsWith: 1, mentioning: "file", "checkpoint.save")
        expect(try run(bench.arguments("toy") + more), failsWith: 1, mentioning: "not a Megatron checkpoint")
    }

    @Test func aBadRowLosesNoStep() throws {
        var rows = TrainBench.rows
        rows[9] = "{"
        try bench.write(rows, to: "rows.jsonl")
        let outcome = try run(bench.arguments("run", "dataset.shuffle=false"))
        let path = bench.scratch.path("run/iter_0000002")
        let note = "the 2 steps before it are saved in \(path), from which the same command resumes"
        expect(outcome, failsWith: 4, mentioning: "line 10", note)
        #expect(bench.iterations("run") == ["iter_0000002"])
        try bench.write(TrainBench.rows, to: "rows.jsonl")
        #expect(try run(bench.arguments("run", "dataset.shuffle=false")).status == 0)
        #expect(try bench.log("run").count == 6)
    }

    private func setLatest(_ iteration: Int, of name: String) throws {
        try Data("\(iteration)".utf8).write(to: bench.scratch.url("\(name)/latest_checkpointed_iteration.txt"))
    }

    /// Megatron's way to take a run back: the file names an earlier iteration.
    @Test(arguments: ["native", "torch_dist"]) func aRunResumesFromTheIterationThatTheFileNames(_ format: String) throws
    {
        let settings = ["checkpoint.save_interval=2", "checkpoint.ckpt_format=\(format)"]
        #expect(try run(bench.arguments("run") + settings).status == 0)
        #expect(bench.iterations("run") == ["iter_0000002", "iter_0000004", "iter_0000006"])
        let before = bench.state("run", iteration: 6)
        try setLatest(2, of: "run")
        let loaded = try run(bench.arguments("other", "checkpoint.load=\(bench.scratch.path("run"))") + settings)
        #expect(loaded.status == 0 && loaded.errors.contains("resuming after step 2"), "\(loaded.errors)")
        #expect(loaded.errors.contains("2 iterations up to 6 are later, and are replaced"), "\(loaded.errors)")
        #expect(bench.state("other", iteration: 6) == before)

        try setLatest(4, of: "run")
        let more = ["train.train_iters=8", "checkpoint.most_recent_k=2", "optimizer.lr=0.001"]
        let resumed = try run(bench.arguments("run") + settings + more)
        #expect(resumed.status == 0 && resumed.errors.contains("resuming after step 4"), "\(resumed.errors)")
        #expect(
            resumed.errors.contains("names iteration 4, from which the run resumes; iteration 6 is later"),
            "\(resumed.errors)"
        )
        #expect(bench.iterations("run") == ["iter_0000006", "iter_0000008"])
        #expect(bench.state("run", iteration: 6) != before)
        let again = try run(bench.arguments("run") + settings + more)
        #expect(again.output.contains("Nothing left to do") && !again.errors.contains("warning"), "\(again.errors)")
    }

    @Test func aNewestIterationThatIsIncompleteIsNamed() throws {
        let settings = ["checkpoint.save_interval=2"]
        #expect(try run(bench.arguments("run") + settings).status == 0)
        let newest = bench.scratch.path("run/iter_0000006")
        try FileManager.default.removeItem(atPath: "\(newest)/manifest.json")
        let earlier = "the newest complete iteration before it is \(bench.scratch.path("run/iter_0000004"))"
        let plan = try run(bench.arguments("run") + settings + ["--dry-run"])
        #expect(plan.errors.contains("names iteration 6, but \(newest) has no manifest.json"), "\(plan.errors)")
        #expect(plan.errors.contains(earlier), "\(plan.errors)")
        try FileManager.default.removeItem(atPath: newest)
        let outcome = try run(bench.arguments("run") + settings)
        #expect(outcome.status == 0 && outcome.errors.contains("resuming after step 4"), "\(outcome.errors)")
        let found = "names iteration 6, but \(newest) does not exist; \(earlier)"
        #expect(outcome.errors.contains(found), "\(outcome.errors)")
        #expect(bench.iterations("run").last == "iter_0000006")
    }

    @Test func aRunWithoutSupervisedTokensFails() throws {
        let row = #"{"input_ids": [1, 20, 30, 40], "labels": [-100, -100, -100, -100]}"#
        try bench.write([row], to: "rows.jsonl")
        expect(
            try run(bench.arguments("run").with("--dataset-type", "tokenized")),
            failsWith: 64,
            mentioning: "none of the 6 steps",
            "bridge data check"
        )
        expect(
            try run(bench.arguments("long", "train.train_iters=50").with("--dataset-type", "tokenized")),
            failsWith: 64,
            mentioning: "10 consecutive steps had no supervised token"
        )
    }

    @Test func adaptersAreCompared() throws {
        let lora = ["peft.scheme=lora", "peft.dim=4", "train.train_iters=2"]
        for (name, more) in [
            ("a", []), ("b", []), ("c", ["rng.seed=5"]), ("d", ["peft.scheme=dora"]), ("e", ["peft.alpha=7"]),
        ] { #expect(try run(bench.arguments(name) + lora + more).status == 0) }
        func verify(_ one: String, _ other: String) throws -> BridgeProcess.Outcome {
            try BridgeProcess.run("verify", bench.scratch.path(one), bench.scratch.path(other))
        }
        let same = try verify("a", "b")
        #expect(same.status == 0 && !same.output.contains("All 0 tensors"), "\(same.output)")
        let unlike = try verify("a", "c")
        #expect(unlike.status == 3 && unlike.output.contains(".adapter.linear_in.weight"), "\(unlike.output)")
        #expect(try verify("a", "d").status == 3)
        let scaled = try verify("a", "e")
        #expect(scaled.status == 3 && scaled.output.contains("lora_alpha: 32 and 7"), "\(scaled.output)")
        expect(try verify("a", "toy"), failsWith: 64, mentioning: "holds adapters", "bridge adapter merge")
        let inspected = try BridgeProcess.run("inspect", bench.scratch.path("a"), "--json")
        #expect((try JSON(parsing: Array(inspected.output.utf8))["parameters"]?.integer ?? 0) > 1000)
    }

    @Test func aRecommendedLayoutIsForManyProcesses() throws {
        let arguments = bench.arguments("run").filter { !$0.contains("model_parallel_size") }
        let outcome = try run(arguments)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("note: the recipe shards the model across 2 ranks"), "\(outcome.errors)")
        expect(
            try run(arguments + ["model.tensor_model_parallel_size=2"]),
            failsWith: 64,
            mentioning: "2 ranks",
            "model.pipeline_model_parallel_size"
        )
    }
}
