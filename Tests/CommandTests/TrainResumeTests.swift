import Foundation
import JSONTree
import TestSupport
import Testing

/// Runs that end before they are done, and resume.
@Suite(.serialized) struct TrainResumeTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    private static let schemes = [
        [], ["peft.scheme=lora", "peft.dim=4", "peft.dropout=0.2"], ["peft.scheme=dora", "mixed_precision=fp32"],
    ]

    @Test(arguments: schemes + [["checkpoint.ckpt_format=torch_dist"]])
    func aRunThatIsKilledAgainAndAgainIsTheUninterruptedRun(_ scheme: [String]) throws {
        let (saveCount, interval) = (7, 2)
        let settings =
            ["train.train_iters=\(saveCount * interval)", "checkpoint.save_interval=\(interval)"]
            + ["checkpoint.most_recent_k=2"] + scheme
        let undisturbed = bench.arguments("whole") + settings
        let counting = FaultRun(arguments: undisturbed, under: bench.scratch.path("whole/"))
        let calls = try counting.count(FaultRun.anyCall, in: bench.scratch) / saveCount

        // Each run saves once before it is killed, at another call of its second save.
        let run = FaultRun(arguments: bench.arguments("killed") + settings, under: bench.scratch.path("killed/"))
        let kills = saveCount - 2
        for kill in 0..<kills {
            let call = calls + 1 + kill * calls / kills
            let outcome = try run.run(FaultRun.anyCall, call, .kill)
            try #require(outcome.signal == SIGKILL, "call \(call): \(outcome.errors)")
            #expect(!bench.iterations("killed").isEmpty)
            let check = try BridgeProcess.run("checkpoint", "check", bench.scratch.path("killed"))
            #expect(check.status == 0, "call \(call): \(check.errors)")
        }
        let last = try BridgeProcess(run.arguments).wait()
        #expect(last.status == 0, "\(last.errors)")
        #expect(try bench.steps("whole").count == saveCount * interval)
        #expect(try bench.steps("killed") == bench.steps("whole"))
        #expect(bench.state("whole", iteration: saveCount * interval).count >= 2)
        #expect(
            bench.state("killed", iteration: saveCount * interval)
                == bench.state("whole", iteration: saveCount * interval)
        )
        // A kill between the last checkpoint and the removal of an old one leaves that one.
        let (kept, wanted) = (bench.iterations("killed"), bench.iterations("whole"))
        #expect(kept.suffix(2) == wanted[...] && kept.count <= 3, "\(kept)")
        #expect(bench.scratch.content.filter { $0.contains(".partial") } == [])
    }

    /// Two files with weights, validations of each, samples that are dropped: an interrupted run has the steps of a whole one.
    @Test func aBlendResumesInTheMiddle() throws {
        try bench.write(Array(TrainBench.rows.prefix(5)) + Array(TrainBench.rows.prefix(2)), to: "first.jsonl")
        try bench.write(Array(TrainBench.rows.suffix(6)), to: "second.jsonl")
        let (first, second) = (bench.scratch.path("first.jsonl"), bench.scratch.path("second.jsonl"))
        let settings = [
            "dataset.train_data_path=null", "dataset.source=[\(first),\(second)]", "dataset.source_weights=[1,3]",
            "dataset.blend=all_exhausted", "dataset.blend_seed=5", "dataset.exact_deduplication=true",
            "dataset.val_set_size=1", "train.eval_interval=2", "train.eval_iters=1",
        ]
        let whole = try BridgeProcess(bench.arguments("whole") + settings).wait()
        #expect(whole.status == 0, "\(whole.errors)")
        #expect(
            whole.errors.contains("first.jsonl: 2 samples of 7 dropped, equal to an earlier one"),
            "\(whole.errors)"
        )
        for limit in [1, 4, 6] {
            let part = try BridgeProcess(bench.arguments("parts") + settings + ["train.exit_interval=\(limit)"]).wait()
            #expect(part.status == 0, "\(part.errors)")
        }
        #expect(try bench.steps("parts") == bench.steps("whole"))
        #expect(bench.state("parts", iteration: 6) == bench.state("whole", iteration: 6))
        let losses = try bench.log("whole").compactMap { $0["validation_lm_losses"]?.object }
        #expect(losses.count == 3 && losses.allSatisfy { $0.keys == [first, second] }, "\(losses)")
    }

    @Test(arguments: [SIGINT, SIGTERM]) func aSignalSavesAndTheRunResumes(_ signal: Int32) throws {
        let endless = bench.arguments("run", "train.train_iters=1000000", "checkpoint.save_interval=1000000")
        let run = try BridgeProcess(endless)
        try bench.waitForSteps(3, of: "run", by: run)
        run.send(signal)
        let outcome = try run.wait()
        #expect(outcome.status == 130, "\(outcome.errors)")
        let done = try bench.log("run").count
        #expect(bench.iterations("run") == ["iter_\(String(format: "%07d", done))"])
        #expect(outcome.output.contains("Stopped after step \(done)"), "\(outcome.output)")
        let again = try BridgeProcess(endless + ["train.exit_interval=\(done + 2)", "--json"]).wait()
        #expect(again.status == 0, "\(again.errors)")
        let json = try JSON(parsing: Array(again.output.utf8))
        #expect(json["end"] == "limit" && json["iteration"]?.integer == done + 2)
        #expect(try bench.log("run").compactMap { $0["iteration"]?.integer } == Array(1...done + 2))
    }

    @Test func aRunResumesFromMegatronsContainer() throws {
        #expect(try BridgeProcess(bench.arguments("whole")).wait().status == 0)
        #expect(try BridgeProcess(bench.arguments("start", "train.exit_interval=2")).wait().status == 0)
        let resharded = try BridgeProcess([
            "reshard", "--megatron-path", bench.scratch.path("start"), "--output", bench.scratch.path("dist"),
            "--format",
            "torch_dist",
        ]).wait()
        #expect(resharded.status == 0, "\(resharded.errors)")
        // Bridge's own files are not needed: what is there is what Megatron Bridge has in its files.
        let iteration = bench.scratch.path("dist/iter_0000002")
        for name in ["bridge_manifest.json", "bridge_run_config.yaml", "train_state.json", "sources.json"] {
            try FileManager.default.removeItem(atPath: "\(iteration)/\(name)")
        }
        let again = try BridgeProcess(
            bench.arguments("again", "checkpoint.load=\(bench.scratch.path("dist"))")
        ).wait()
        #expect(again.status == 0, "\(again.errors)")
        #expect(try bench.steps("again") == Array(bench.steps("whole").dropFirst(2)))
        // The running mean of the loss is Bridge's own.
        func tensors(_ name: String) -> [String: Data] {
            bench.state(name, iteration: 6).filter { $0.key.hasSuffix(".safetensors") }
        }
        #expect(tensors("whole").count >= 2 && tensors("again") == tensors("whole"))

        // What `reshard` makes of it for four ranks continues in the same way, and so does what it makes of that.
        for (source, name, options) in [
            ("dist", "native", ["--tp", "2", "--pp", "2"]), ("native", "back", ["--format", "torch_dist"]),
            ("back", "last", ["--pp", "2"]),
        ] {
            let paths = ["--megatron-path", bench.scratch.path(source), "--output", bench.scratch.path(name)]
            let outcome = try BridgeProcess(["reshard"] + paths + options).wait()
            #expect(outcome.status == 0 && !outcome.output.contains("skipped"), "\(outcome.output)\(outcome.errors)")
            let load = "checkpoint.load=\(bench.scratch.path(name))"
            let resumed = try BridgeProcess(bench.arguments("from-\(name)", load)).wait()
            #expect(resumed.status == 0, "\(name): \(resumed.errors)")
            #expect(try bench.steps("from-\(name)") == Array(bench.steps("whole").dropFirst(2)), "\(name)")
            #expect(tensors("from-\(name)") == tensors("whole"), "\(name)")
        }
        // Megatron-Core finds the groups and the schedule that it stored.
        let common = ["dist", "back"].map {
            TemporaryDirectory.bytes(of: bench.scratch.path($0))["iter_0000002/common.pt"]
        }
        #expect(common[0] != nil && common[0] == common[1])
    }

    /// From an iteration that is given by its path or its number, of which a later one exists.
    @Test(arguments: ["native", "torch_dist"]) func aRunResumesFromAnyIterationOfAnother(_ container: String) throws {
        let format = "checkpoint.ckpt_format=\(container)"
        #expect(
            try BridgeProcess(bench.arguments("whole", format, "checkpoint.save_interval=2")).wait().status == 0
        )
        #expect(bench.iterations("whole") == ["iter_0000002", "iter_0000004", "iter_0000006"])
        let whole = bench.scratch.path("whole")
        let expected = try bench.steps("whole")
        for (name, done, load) in [
            ("path", 4, ["checkpoint.load=\(whole)/iter_0000004/"]),
            ("step", 2, ["checkpoint.load=\(whole)", "checkpoint.ckpt_step=2"]),
            ("both", 2, ["--load-dir", "\(whole)/iter_0000002", "checkpoint.ckpt_step=2"]),
        ] {
            let outcome = try BridgeProcess(bench.arguments(name, format) + load).wait()
            #expect(outcome.status == 0, "\(name): \(outcome.errors)")
            #expect(try bench.steps(name) == Array(expected.dropFirst(done)), "\(name)")
            #expect(bench.state(name, iteration: 6) == bench.state("whole", iteration: 6), "\(name)")
        }
        for (load, word) in [
            (["checkpoint.load=\(whole)", "checkpoint.ckpt_step=3"], "has the iterations 2, 4, 6"),
            (["checkpoint.load=\(whole)/iter_0000004", "checkpoint.ckpt_step=2"], "is an iteration itself"),
            (["checkpoint.ckpt_step=2"], "checkpoint.ckpt_step is 2, which has no effect: checkpoint.load is empty"),
            (["checkpoint.load=\(whole)", "checkpoint.ckpt_step=-1"], "checkpoint.ckpt_step is -1"),
        ] {
            expect(try BridgeProcess(bench.arguments("none") + load).wait(), failsWith: 64, mentioning: word)
        }
        // A log inside the iteration that is read would change it.
        let log = ["checkpoint.load=\(whole)/iter_0000004", "logger.log_dir=\(whole)/iter_0000004/log"]
        let run = bench.arguments("none").filter { !$0.hasPrefix("logger.log_dir=") } + log
        expect(try BridgeProcess(run).wait(), failsWith: 64, mentioning: "logger.log_dir")
    }

    /// Two pieces in Megatron-Core's container, and the last one in Bridge's, from what `reshard` makes of the second.
    @Test(arguments: schemes) func aRunSavesInMegatronsContainer(_ scheme: [String]) throws {
        #expect(try BridgeProcess(bench.arguments("whole") + scheme).wait().status == 0)
        let dist = bench.arguments("dist", "checkpoint.ckpt_format=torch_dist") + scheme
        for _ in 0..<2 {
            let outcome = try BridgeProcess(dist + ["train.exit_interval=2"]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        let (directory, iteration) = (bench.scratch.path("dist"), bench.scratch.path("dist/iter_0000004"))
        #expect(try BridgeProcess.run("checkpoint", "check", directory).status == 0)
        let files = TemporaryDirectory.bytes(of: directory)
        #expect(files["latest_checkpointed_iteration.txt"] == Data("4".utf8))
        #expect(files["latest_train_state.pt"] == files["iter_0000004/train_state.pt"])
        let names = [".metadata", "__0_0.distcp", "common.pt", "metadata.json", "run_config.yaml", "train_state.pt"]
        for name in names { #expect(files["iter_0000004/\(name)"] != nil, "\(name)") }

        let paths = ["--megatron-path", directory, "--output", bench.scratch.path("native")]
        let reshard = try BridgeProcess(["reshard"] + paths).wait()
        #expect(reshard.status == 0, "\(reshard.errors)")
        for (name, arguments) in [("dist", dist), ("native", bench.arguments("native") + scheme)] {
            let outcome = try BridgeProcess(arguments).wait()
            #expect(outcome.status == 0, "\(name): \(outcome.errors)")
            let steps = try bench.steps(name)
            #expect(steps == Array(try bench.steps("whole").suffix(steps.count)) && steps.count >= 2, "\(name)")
        }
        #expect(bench.state("whole", iteration: 6).count >= 2)
        #expect(bench.state("native", iteration: 6) == bench.state("whole", iteration: 6))

        // A run reads what another container has, and every byte of it is compared.
        let file = "\(iteration)/__0_0.distcp"
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[bytes.count / 2] ^= 1
        try FileManager.default.removeItem(atPath: "\(directory)/iter_0000006")
        try bytes.write(to: URL(filePath: file))
        expect(try BridgeProcess(dist).wait(), failsWith: 4, mentioning: "__0_0.distcp")
    }

    @Test func aRunInPiecesIsTheRunInOne() throws {
        #expect(try BridgeProcess(bench.arguments("whole")).wait().status == 0)
        var ends: [String?] = []
        for _ in 0..<3 {
            let outcome = try BridgeProcess(bench.arguments("pieces", "train.exit_interval=2") + ["--json"]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            ends.append(try JSON(parsing: Array(outcome.output.utf8))["end"]?.string)
        }
        #expect(ends == ["limit", "limit", "done"])
        #expect(try bench.steps("pieces") == bench.steps("whole"))
        #expect(bench.state("pieces", iteration: 6) == bench.state("whole", iteration: 6))
        // A run that is done has nothing left to do, and leaves everything as it is.
        let before = bench.state("pieces", iteration: 6)
        let again = try BridgeProcess(bench.arguments("pieces") + ["--json"]).wait()
        #expect(try JSON(parsing: Array(again.output.utf8))["iteration"] == 6)
        #expect(bench.state("pieces", iteration: 6) == before)
        #expect(try bench.steps("pieces").count == 6)
    }

    /// The optimizer's state, the position in the data and the adapters' configuration go with the weights.
    @Test(arguments: [[], ["peft.scheme=lora", "peft.dim=4"]]) func aRunResumesFromItsReshardedCheckpoint(
        _ scheme: [String]
    ) throws {
        #expect(try BridgeProcess(bench.arguments("whole") + scheme).wait().status == 0)
        let first = try BridgeProcess(bench.arguments("first", "train.exit_interval=3") + scheme).wait()
        #expect(first.status == 0, "\(first.errors)")
        let paths = ["--megatron-path", bench.scratch.path("first"), "--output", bench.scratch.path("second")]
        let reshard = try BridgeProcess(["reshard", "--tp", "2", "--pp", "2"] + paths).wait()
        #expect(reshard.status == 0, "\(reshard.errors)")
        let check = try BridgeProcess.run("checkpoint", "check", bench.scratch.path("second"))
        #expect(check.status == 0, "\(check.errors)")
        let second = try BridgeProcess(bench.arguments("second") + scheme).wait()
        #expect(second.status == 0, "\(second.errors)")
        #expect(try bench.steps("second") == bench.steps("whole").suffix(3))
        #expect(bench.state("second", iteration: 6) == bench.state("whole", iteration: 6))
    }

    /// A limit that the first step exceeds, and one that no run of six steps reaches.
    @Test(arguments: [("1e-9", "limit", 1), ("1000", "done", 6)])
    func theTimeLimitOfAProcessIsCheckedAfterEveryStep(_ minutes: String, _ end: String, _ steps: Int) throws {
        let settings = ["train.exit_duration_in_mins=\(minutes)", "--json"]
        let outcome = try BridgeProcess(bench.arguments("run") + settings).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["end"]?.string == end && json["iteration"]?.integer == steps)
        #expect(bench.iterations("run").last == "iter_\(String(format: "%07d", steps))")
    }

    /// The weights are frozen, so they are not in the checkpoint.
    @Test func adaptersDoNotResumeOnOtherWeightsAtTheSamePath() throws {
        let (model, aside) = (bench.scratch.path("toy"), bench.scratch.path("aside"))
        let run = bench.arguments("run", "peft.scheme=lora")
        #expect(try BridgeProcess(run + ["train.exit_interval=2"]).wait().status == 0)
        try FileManager.default.moveItem(atPath: model, toPath: aside)
        #expect(try BridgeProcess.run("toy", "--family", "mistral", "--output", model, "--seed", "6").status == 0)
        expect(try BridgeProcess(run).wait(), failsWith: 64, mentioning: "was trained on other weights", model)
        try FileManager.default.removeItem(atPath: model)
        try FileManager.default.moveItem(atPath: aside, toPath: model)
        #expect(try BridgeProcess(run).wait().status == 0)
    }

    /// The frozen weights may be in Megatron-Core's container, and are compared there too.
    @Test func adaptersTrainOnWeightsInMegatronsContainer() throws {
        let weights = bench.scratch.path("weights")
        func convert(_ seed: String) throws {
            let toy = bench.scratch.path("toy-\(seed)")
            #expect(try BridgeProcess.run("toy", "--family", "mistral", "--output", toy, "--seed", seed).status == 0)
            let outcome = try BridgeProcess([
                "convert", "import", "--hf-model", toy, "--megatron-path", weights, "--format", "torch_dist",
                "--overwrite",
            ]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        try convert("3")
        func run(_ name: String, _ weights: String) -> [String] {
            bench.arguments(name, "peft.scheme=lora").map { $0 == bench.scratch.path("toy") ? weights : $0 }
        }
        // The toy of the bench has the same seed.
        #expect(try BridgeProcess(run("whole", bench.scratch.path("toy"))).wait().status == 0)
        for _ in 0..<2 {
            let outcome = try BridgeProcess(run("run", weights) + ["train.exit_interval=3"]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        #expect(try bench.steps("run") == bench.steps("whole"))
        try FileManager.default.removeItem(atPath: "\(bench.scratch.path("run"))/iter_0000006")
        try convert("4")
        expect(try BridgeProcess(run("run", weights)).wait(), failsWith: 64, mentioning: "was trained on other weights")
    }

    @Test func aRunDoesNotResumeFromACheckpointWithChangedBytes() throws {
        #expect(try BridgeProcess(bench.arguments("run", "train.exit_interval=2")).wait().status == 0)
        let directory = bench.scratch.url("run/iter_0000002")
        let name = try #require(TemporaryDirectory.content(of: directory.path).first { $0.hasPrefix("weights") })
        let file = directory.appendingPathComponent(name)
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count - 5] ^= 1
        try bytes.write(to: file)
        let outcome = try BridgeProcess(bench.arguments("run")).wait()
        expect(outcome, failsWith: 4, mentioning: name)
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aFullDiskKeepsTheCheckpointsThatAreThere() throws {
        let disk = try SmallDisk(at: bench.scratch.url("disk"), kilobytes: 6000)
        let save = disk.url.appendingPathComponent("run").path
        // With the optimizer's numbers a checkpoint takes 2.8 MB: there is room for two.
        let settings = ["checkpoint.save=\(save)", "checkpoint.save_interval=2", "train.train_iters=9"]
        let outcome = try BridgeProcess(bench.arguments("run") + settings).wait()
        #expect(outcome.signal == nil && outcome.status == 1, "\(outcome.errors)")
        #expect(outcome.errors.contains("training continues"), "\(outcome.errors)")
        #expect(outcome.sentence.contains(disk.url.path), "\(outcome.errors)")
        // All steps were done before the last checkpoint could not be written.
        #expect(try bench.steps("run").count == 9)
        let left = try FileManager.default.contentsOfDirectory(atPath: save).sorted()
        #expect(left.filter { $0.hasPrefix("iter_") } == ["iter_0000002", "iter_0000004"], "\(left)")
        #expect(!TemporaryDirectory.content(of: disk.url.path).contains { $0.contains(".partial") })
        #expect(try BridgeProcess.run("checkpoint", "check", save).status == 0)
    }
}
