import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge train` from start to end.
@Suite struct TrainTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    @Test func aRunInFullLearnsSavesAndIsExported() throws {
        let outcome = try BridgeProcess(bench.arguments("run", "train.train_iters=12", "checkpoint.save_interval=5"))
            .wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("language_model") && outcome.output.contains("100.00 %"), "\(outcome.output)")
        #expect(outcome.output.contains("Done after step 12"))
        #expect(bench.iterations("run") == ["iter_0000005", "iter_0000010", "iter_0000012"])
        let losses = try bench.log("run").compactMap { $0["lm_loss"]?.double }
        #expect(losses.count == 12 && losses[11] < losses[0] - 0.1, "\(losses)")
        let report = try String(contentsOf: bench.scratch.url("run-log/report.html"), encoding: .utf8)
        #expect(report.contains("<svg") && report.contains("</html>"))

        #expect(try BridgeProcess.run("checkpoint", "check", bench.scratch.path("run")).status == 0)
        // Of any iteration, not only of the last one.
        for (source, name) in [("run/iter_0000005", "early"), ("run", "late")] {
            let exported = try BridgeProcess.run(
                "convert",
                "export",
                "--megatron-path",
                bench.scratch.path(source),
                "--hf-path",
                bench.scratch.path(name)
            )
            #expect(exported.status == 0, "\(exported.errors)")
        }
        let weights = ["toy", "early", "late"].map { name in
            TemporaryDirectory.bytes(of: bench.scratch.path(name)).filter { $0.key.hasSuffix(".safetensors") }
        }
        #expect(Set(weights.map { $0.keys.sorted() }).count == 1)
        #expect(Set(weights).count == 3)
        let said = try Answer(["--hf-model", bench.scratch.path("late"), "--prompt", "Say", "--max-new-tokens", "2"])
        #expect(!said.tokens.isEmpty)
    }

    @Test func aRunWithAdaptersLeavesTheModelAloneAndSavesTheAdapterOnly() throws {
        let lora = ["peft.scheme=lora", "peft.dim=4", "peft.alpha=8", "train.train_iters=8"]
        let outcome = try BridgeProcess(bench.arguments("run") + lora + ["--json"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["end"] == "done" && json["iteration"] == 8 && json["samples_without_trained_token"] == 0)
        #expect(json["loss"] == (try bench.log("run").last?["lm_loss"]))
        let files = bench.state("run", iteration: 8).filter { $0.key.hasPrefix("weights") }
        // 198,288 parameters of the toy are 397 kB; 5 layers of adapters of rank 4 are a tenth of that.
        #expect(!files.isEmpty && files.values.reduce(0) { $0 + $1.count } < 100_000)
        // Its export is the model with the adapters in it, as long as the model is there.
        func export(_ name: String) throws -> BridgeProcess.Outcome {
            try BridgeProcess.run(
                "convert",
                "export",
                "--megatron-path",
                bench.scratch.path("run"),
                "--hf-path",
                bench.scratch.path(name)
            )
        }
        let exported = try export("out")
        #expect(exported.status == 0, "\(exported.errors)")
        let same = try BridgeProcess.run("verify", bench.scratch.path("toy"), bench.scratch.path("out"))
        #expect(same.status == 3, "\(same.errors)")
        try FileManager.default.removeItem(atPath: bench.scratch.path("toy"))
        expect(try export("again"), failsWith: 64, mentioning: "has adapters only", "--hf-model")
        #expect(!FileManager.default.fileExists(atPath: bench.scratch.path("again")))
    }

    @Test func aProfileShowsWhereTheTimeGoesAndChangesNothing() throws {
        let plain = try BridgeProcess(bench.arguments("plain")).wait()
        #expect(plain.status == 0, "\(plain.errors)")
        let profiled = try BridgeProcess(bench.arguments("profiled") + ["--profile", "--json"]).wait()
        #expect(profiled.status == 0, "\(profiled.errors)")
        #expect(try JSON(parsing: Array(profiled.output.utf8))["end"] == "done")
        for kind in ["one step of 5", "attention, backward", "optimizer", "outside the engine", "peak, 2048"] {
            #expect(profiled.errors.contains(kind), "\(profiled.errors)")
        }
        #expect(try bench.steps("plain") == bench.steps("profiled"))
    }

    /// Work is divided between threads by rows and never within a sum, and each thread calls the libraries with one thread.
    ///
    /// Three threads do not divide the rows evenly.
    @Test func theSameRunGivesTheSameBitsWithAnyNumberOfThreads() throws {
        for threads in [1, 3] {
            let outcome = try BridgeProcess(bench.arguments("run\(threads)") + ["--threads", "\(threads)"]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        #expect(try bench.steps("run1") == bench.steps("run3"))
        #expect(bench.state("run1", iteration: 6) == bench.state("run3", iteration: 6))
    }

    @Test func theConfigurationInACheckpointReproducesTheRun() throws {
        #expect(try BridgeProcess(bench.arguments("run", "rng.seed=77")).wait().status == 0)
        let file = bench.scratch.path("run/iter_0000006/run_config.yaml")
        let outcome = try BridgeProcess.run(
            "train",
            "--recipe",
            file,
            "checkpoint.save=\(bench.scratch.path("again"))",
            "logger.log_dir=\(bench.scratch.path("again-log"))"
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try bench.steps("run") == bench.steps("again"))
        #expect(bench.state("run", iteration: 6) == bench.state("again", iteration: 6))
    }

    @Test func aDryRunTellsTheRunAndTrainsNothing() throws {
        let run = bench.arguments("run", "train.train_iters=40", "scheduler.lr_warmup_iters=2")
        let tensors = try SlowTensor.readAll(bench.scratch.path("toy"), prefix: "model")
        let parameters = tensors.values.reduce(0) { $0 + $1.shape.reduce(1, *) }
        let text = try BridgeProcess(run + ["--dry-run"]).wait()
        #expect(text.status == 0, "\(text.errors)")
        for words in [
            "language_model", String(format: "%d,%03d", parameters / 1000, parameters % 1000), "2 of 2", "at most 384",
            "learning rate", "mistral_7b_finetune_config",
        ] {
            #expect(text.output.contains(words), "\(words) is not in \(text.output)")
        }
        let outcome = try BridgeProcess(run + ["--dry-run", "--json", "peft.scheme=dora"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["micro_batches_per_step"] == 2 && json["samples"] == 11)
        #expect(json[path: "recipe.train.train_iters"] == 40)
        let parts = try #require(json["parts"]?.array)
        #expect(parts.map { $0["name"]?.string } == ["language_model", "adapters"])
        #expect(parts[0]["parameters"]?.integer == parameters && parts[0]["trained"] == 0)
        #expect(parts[1]["trained"] == parts[1]["parameters"])
        let schedule = try #require(json["schedule"]?.array)
        // A straight line from 0 at step 0 to the rate that was given at step 2.
        #expect(schedule.first?["learning_rate"]?.double == 0.001)
        #expect(schedule.first { $0["step"] == 2 }?["learning_rate"]?.double == 0.002)
        #expect(!bench.scratch.content.contains { $0.hasPrefix("run") })
    }

    @Test func onlyWhatIsNotFrozenIsTrained() throws {
        let bench = try TrainBench("gemma3")
        try bench.write([TrainBench.row("<image> What?", "A cat.", image: rgb)] + TrainBench.rows, to: "rows.jsonl")
        let run = bench.arguments("run", recipe: "gemma3_vl_4b_finetune_config", "train.train_iters=2")
        let frozen = ["--freeze-language-model", "--freeze-vision-model", "mixed_precision=fp32"]
        let outcome = try BridgeProcess(run + frozen).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let exported = try BridgeProcess.run(
            "convert",
            "export",
            "--megatron-path",
            bench.scratch.path("run"),
            "--hf-path",
            bench.scratch.path("out"),
            "--dtype",
            "bfloat16"
        )
        #expect(exported.status == 0, "\(exported.errors)")
        let compared = try BridgeProcess.run("verify", bench.scratch.path("toy"), bench.scratch.path("out"), "--json")
        #expect(compared.status == 3, "\(compared.errors)")
        let text = compared.output + compared.errors
        #expect(text.contains("projection") || text.contains("projector"), "\(text)")
        #expect(!text.contains("layers.0.self_attn.q_proj"), "\(text)")
    }

    private var rgb: String {
        "\(Fixtures.root)/images/rgb.png"
    }
}
