import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge adapter`, with an adapter that a run has trained.
///
/// What peft makes of them stands in Tests/Peers.
@Suite struct AdapterTests {
    private let bench: TrainBench
    private var toy: String { bench.scratch.path("toy") }

    init() throws { bench = try TrainBench() }

    /// Trains one; float32, so that nothing is rounded.
    private func train(_ settings: String...) throws {
        let run = bench.arguments("run", "mixed_precision=fp32", "peft.dim=4", "optimizer.lr=0.02")
        let outcome = try BridgeProcess(run + settings).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    private func adapter(_ arguments: String...) throws -> BridgeProcess.Outcome {
        try BridgeProcess(["adapter", arguments[0], "--hf-model", toy] + arguments.dropFirst()).wait()
    }

    /// The bytes of the logits of a prompt.
    private func logits(_ arguments: String...) throws -> Data {
        let file = bench.scratch.path("logits")
        let common = ["forward", "--prompt", "Say 3.", "--dtype", "float32", "--output", file]
        let outcome = try BridgeProcess(common + arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try Data(contentsOf: URL(fileURLWithPath: file))
    }

    @Test(arguments: ["lora", "dora"], [true, false])
    func everyFormOfAnAdapterComputesTheSame(_ scheme: String, _ isCanonical: Bool) throws {
        try train("peft.scheme=\(scheme)", "peft.canonical=\(isCanonical)")
        let run = bench.scratch.path("run")
        let (peft, native) = (bench.scratch.path("peft"), bench.scratch.path("native"))
        let exported = try adapter("export", "--adapter", run, "--output", peft, "--json")
        #expect(exported.status == 0, "\(exported.errors)")
        let json = try JSON(parsing: Array(exported.output.utf8))
        #expect(json["destination"]?.string == peft && json["scheme"]?.string == scheme)
        // Four modules in each of five layers.
        #expect(json["modules"] == 20)
        let imported = try adapter("import", "--adapter", peft, "--output", native, "--json")
        #expect(imported.status == 0, "\(imported.errors)")
        let expected = try logits("--hf-model", toy, "--adapter", run)
        #expect(try logits("--hf-model", toy, "--adapter", peft) == expected)
        #expect(try logits("--hf-model", toy, "--adapter", native) == expected)
        #expect(try logits("--hf-model", toy) != expected)
        // There and back again: not one bit is lost, though the toy itself is in bfloat16.
        #expect(try adapter("export", "--adapter", native, "--output", bench.scratch.path("again")).status == 0)
        let name = "adapter_model.safetensors"
        #expect(
            try Data(contentsOf: bench.scratch.url("again/\(name)"))
                == Data(contentsOf: bench.scratch.url("peft/\(name)"))
        )
    }

    /// Of a run and of an import, with and without Bridge's own files, which Megatron Bridge does not write.
    @Test(arguments: ["lora", "dora"], [true, false])
    func adaptersInMegatronsContainerComputeTheSame(_ scheme: String, _ isCanonical: Bool) throws {
        try train("peft.scheme=\(scheme)", "peft.canonical=\(isCanonical)", "checkpoint.ckpt_format=torch_dist")
        let (run, peft, dist) = (bench.scratch.path("run"), bench.scratch.path("peft"), bench.scratch.path("dist"))
        let exported = try adapter("export", "--adapter", run, "--output", peft)
        #expect(exported.status == 0, "\(exported.errors)")
        let expected = try logits("--hf-model", toy, "--adapter", peft)
        #expect(try logits("--hf-model", toy, "--adapter", run) == expected)
        let imported = try adapter("import", "--adapter", peft, "--output", dist, "--format", "torch_dist")
        #expect(imported.status == 0, "\(imported.errors)")
        #expect(try logits("--hf-model", toy, "--adapter", dist) == expected)
        #expect(try logits("--hf-model", toy) != expected)
        // A run is exported merged, by its directory and by that of an iteration.
        for (index, path) in [run, "\(run)/iter_0000006"].enumerated() {
            let merged = bench.scratch.path("merged\(index)")
            let outcome = try BridgeProcess(["convert", "export", "--megatron-path", path, "--hf-path", merged]).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            #expect(try logits("--hf-model", merged) != logits("--hf-model", toy))
        }
        for path in ["\(run)/iter_0000006", "\(dist)/iter_0000000"] {
            let own = ["bridge_manifest.json", "bridge_run_config.yaml", "train_state.json", "adapter_config.json"]
            for name in own { try? FileManager.default.removeItem(atPath: "\(path)/\(name)") }
            try? FileManager.default.removeItem(atPath: "\(path)/huggingface")
            #expect(try logits("--hf-model", toy, "--adapter", path) == expected, "\(path)")
        }
        try FileManager.default.removeItem(atPath: "\(dist)/iter_0000000/run_config.yaml")
        let bare = try adapter("export", "--adapter", dist, "--output", bench.scratch.path("bare"))
        expect(bare, failsWith: 4, mentioning: "nor a section peft in run_config.yaml")
    }

    @Test func adaptersOfSomeLayersAreRefusedBeforeARunThatStacksThem() throws {
        let target = "peft.target_modules=[*.layers.1.*.linear_qkv]"
        let run = bench.arguments("run", "peft.scheme=lora", target)
        let outcome = try BridgeProcess(run + ["checkpoint.ckpt_format=torch_dist"]).wait()
        expect(outcome, failsWith: 64, mentioning: "stores the adapters of all layers together")
        #expect(bench.iterations("run").isEmpty)
        #expect(try BridgeProcess(run + ["train.exit_interval=1"]).wait().status == 0)
    }

    @Test func mergingMakesAModel() throws {
        try train("peft.scheme=lora")
        let (run, out) = (bench.scratch.path("run"), bench.scratch.path("out"))
        let merged = try adapter("merge", "--adapter", run, "--hf-path", out, "--json")
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(try JSON(parsing: Array(merged.output.utf8))["destination"]?.string == out)
        #expect(Set(TemporaryDirectory.content(of: out)) == Set(TemporaryDirectory.content(of: toy)))
        #expect(try logits("--hf-model", out) != logits("--hf-model", toy))
        let native = bench.scratch.path("native")
        #expect(try adapter("merge", "--adapter", run, "--output", native).status == 0)
        #expect(try logits("--hf-model", out) == logits("--megatron-path", native))
        #expect(!bench.scratch.content.contains { $0.contains(".merging") || $0.contains(".partial") })
    }

    @Test func whatWasTrainedBesideAnAdapterGoesWithItEverywhere() throws {
        let bench = try TrainBench("gemma3")
        let image = "\(Fixtures.root)/images/rgb.png"
        try bench.write([TrainBench.row("<image> What?", "A cat.", image: image)], to: "rows.jsonl")
        let settings = ["peft.scheme=lora", "peft.dim=4", "peft.modules_to_save=[multi_modal_projector]"]
        let run = bench.arguments("run", recipe: "gemma3_vl_4b_finetune_config", "optimizer.lr=0.02") + settings
        let outcome = try BridgeProcess(run).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let (toy, out) = (bench.scratch.path("toy"), bench.scratch.path("out"))
        let common = ["--hf-model", toy, "--adapter", bench.scratch.path("run")]
        let peft = bench.scratch.path("peft")
        let exported = try BridgeProcess(["adapter", "export"] + common + ["--output", peft]).wait()
        #expect(exported.status == 0, "\(exported.errors)")
        let configuration = try JSON(parsing: Array(Data(contentsOf: bench.scratch.url("peft/adapter_config.json"))))
        #expect(configuration["modules_to_save"] == ["multi_modal_projector"])
        // There and back again: the same numbers, the projector's among them.
        let back = bench.scratch.path("back")
        let imported = try BridgeProcess([
            "adapter", "import", "--hf-model", toy, "--adapter", peft, "--output", back,
        ]).wait()
        #expect(imported.status == 0, "\(imported.errors)")
        let again = bench.scratch.path("again")
        let second = try BridgeProcess([
            "adapter", "export", "--hf-model", toy, "--adapter", back, "--output", again,
        ]).wait()
        #expect(second.status == 0, "\(second.errors)")
        let weights = "adapter_model.safetensors"
        #expect(TemporaryDirectory.bytes(of: peft)[weights] == TemporaryDirectory.bytes(of: again)[weights])
        let merged = try BridgeProcess(["adapter", "merge"] + common + ["--hf-path", out]).wait()
        #expect(merged.status == 0, "\(merged.errors)")
        let compared = try BridgeProcess.run("verify", toy, out, "--json")
        #expect(compared.status == 3 && compared.output.contains("mm_input_projection_weight"), "\(compared.output)")
    }

    @Test func existingDirectoriesAreUnchanged() throws {
        try train("peft.scheme=lora")
        let (run, out) = (bench.scratch.path("run"), bench.scratch.path("out"))
        for arguments in [["export", "--output", out], ["import", "--output", out], ["merge", "--hf-path", out]] {
            let command = ["adapter"] + arguments + ["--hf-model", toy, "--adapter", run]
            let first = try BridgeProcess(command).wait()
            #expect(first.status == 0, "\(first.errors)")
            let before = TemporaryDirectory.bytes(of: out)
            expect(try BridgeProcess(command).wait(), failsWith: 1, mentioning: out, "--overwrite")
            #expect(TemporaryDirectory.bytes(of: out) == before)
            let third = try BridgeProcess(command + ["--overwrite"]).wait()
            #expect(third.status == 0, "\(third.errors)")
            #expect(!bench.scratch.content.contains { $0.contains(".merging") || $0.contains(".partial") })
            try FileManager.default.removeItem(atPath: out)
        }
    }

    @Test func directoriesWithoutAdaptersAreNamed() throws {
        let out = bench.scratch.path("out")
        expect(try adapter("export", "--adapter", "nowhere", "--output", out), failsWith: 1, mentioning: "nowhere")
        let whole = try BridgeProcess(bench.arguments("whole", "train.train_iters=2")).wait()
        #expect(whole.status == 0, "\(whole.errors)")
        let refused = try adapter("export", "--adapter", bench.scratch.path("whole"), "--output", out)
        expect(refused, failsWith: 64, mentioning: "expected an adapter")
        let none = try BridgeProcess.run("adapter", "export", "--hf-model", toy, "--output", out)
        #expect(none.status == 64 && none.errors.contains("--adapter"))
        let both = try adapter("merge", "--adapter", "a", "--hf-path", "b", "--output", "c")
        #expect(both.status == 64 && both.errors.contains("one destination"))
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test func anAdapterOfAModelOfTheSameShapeNamesBothModels() throws {
        try train("peft.scheme=lora")
        let (run, peft, other) = (bench.scratch.path("run"), bench.scratch.path("peft"), bench.scratch.path("other"))
        #expect(try adapter("export", "--adapter", run, "--output", peft).status == 0)
        let made = try BridgeProcess.run("toy", "--family", "mistral", "--output", other, "--seed", "4")
        #expect(made.status == 0, "\(made.errors)")
        let file = bench.scratch.path("logits")
        for source in [run, peft] {
            let common = ["forward", "--prompt", "Say 3.", "--adapter", source, "--output", file, "--hf-model"]
            let own = try BridgeProcess(common + [toy]).wait()
            #expect(own.status == 0 && !own.errors.contains("warning"), "\(own.errors)")
            let foreign = try BridgeProcess(common + [other]).wait()
            #expect(foreign.status == 0, "\(foreign.errors)")
            #expect(foreign.errors.contains("warning: ") && foreign.errors.contains("\(other);"), "\(foreign.errors)")
            #expect(foreign.errors.contains("trained on \(toy)"), "\(foreign.errors)")
            // A copy is the same model.
            let copy = bench.scratch.path("copy")
            try? FileManager.default.copyItem(atPath: toy, toPath: copy)
            let copied = try BridgeProcess(common + [copy]).wait()
            #expect(copied.status == 0 && !copied.errors.contains("warning"), "\(copied.errors)")
        }
    }

    @Test func anUnsupportedAdapterIsAnErrorWithAdvice() throws {
        try train("peft.scheme=lora")
        let (peft, out) = (bench.scratch.path("peft"), bench.scratch.path("out"))
        #expect(try adapter("export", "--adapter", bench.scratch.path("run"), "--output", peft).status == 0)
        for command in [
            ["generate", "--prompt", "a", "--hf-model", peft], ["inspect", peft],
            ["convert", "--megatron-path", out, "--hf-model", peft],
            bench.arguments("more").map { $0 == toy ? peft : $0 },
        ] {
            expect(try BridgeProcess(command).wait(), failsWith: 64, mentioning: "--adapter", toy)
        }
        let weights = bench.scratch.path("peft/adapter_model.safetensors")
        try FileManager.default.moveItem(atPath: weights, toPath: bench.scratch.path("peft/adapter_model.bin"))
        expect(
            try adapter("import", "--adapter", peft, "--output", out),
            failsWith: 4,
            mentioning: "adapter_model.bin",
            "safe_serialization=True"
        )
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test func unknownKeysAreReportedAndStrictRefusesThem() throws {
        try train("peft.scheme=lora")
        let (peft, file) = (bench.scratch.path("peft"), bench.scratch.path("logits"))
        #expect(try adapter("export", "--adapter", bench.scratch.path("run"), "--output", peft).status == 0)
        try Models.edit(bench.scratch.url("peft/adapter_config.json")) { $0.set(1, at: "of_the_future") }
        let command = ["forward", "--prompt", "a", "--hf-model", toy, "--adapter", peft, "--output", file, "--json"]
        let outcome = try BridgeProcess(command).wait()
        #expect(
            outcome.status == 0 && outcome.errors.contains("adapter_config.json: of_the_future"),
            "\(outcome.errors)"
        )
        #expect(outcome.output.contains("of_the_future"))
        let refused = try BridgeProcess(command + ["--strict"]).wait()
        #expect(refused.status != 0 && refused.errors.contains("of_the_future"), "\(refused.errors)")
    }

    @Test func anAdapterOfAnotherModelIsRefused() throws {
        try train("peft.scheme=lora")
        let (run, peft, out) = (bench.scratch.path("run"), bench.scratch.path("peft"), bench.scratch.path("out"))
        #expect(try adapter("export", "--adapter", run, "--output", peft).status == 0)
        let other = bench.scratch.path("other")
        #expect(
            try BridgeProcess.run(
                "toy",
                "--family",
                "mistral",
                "--output",
                other,
                "--num-layers",
                "2",
                "--hidden-size",
                "36"
            )
            .status == 0
        )
        for source in [run, peft] {
            let outcome = try BridgeProcess.run(
                "adapter",
                "merge",
                "--hf-model",
                other,
                "--adapter",
                source,
                "--hf-path",
                out
            )
            #expect(outcome.signal == nil && outcome.status != 0, "\(outcome.output)")
            #expect(outcome.errors.contains("error: "))
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    @Test func settingsOfPEFTThatAreNotComputedAreRefused() throws {
        try train("peft.scheme=lora")
        let peft = bench.scratch.path("peft")
        #expect(try adapter("export", "--adapter", bench.scratch.path("run"), "--output", peft).status == 0)
        let file = bench.scratch.url("peft/adapter_config.json")
        let original = try Data(contentsOf: file)
        for (key, value, word): (String, JSON, String) in [
            ("peft_type", "IA3", "IA3"), ("lora_bias", true, "lora_bias"), ("r", 0, "r is"), ("r", 5, "shape"),
            ("rank_pattern", ["q_proj": 3], "shape"), ("rank_pattern", ["q_proj": 0], "rank_pattern"),
            ("rank_pattern", ["q_(proj": 3], "rank_pattern"), ("rank_pattern", [3], "rank_pattern"),
            ("lora_alpha", "much", "lora_alpha"), ("init_lora_weights", "corda", "init_lora_weights"),
            ("init_lora_weights", "loftq", "pissa"), ("init_lora_weights", 3, "init_lora_weights"),
            ("kasa_config", ["beta": 1], "kasa_config"), ("target_parameters", ["a"], "target_parameters"),
            ("trainable_token_indices", "all", "trainable_token_indices"), ("use_dora", "yes", "use_dora"),
            ("modules_to_save", ["lm_head"], "lm_head.weight: missing"),
        ] {
            try original.write(to: file)
            try Models.edit(file) { $0.set(value, at: key) }
            let outcome = try adapter("import", "--adapter", peft, "--output", bench.scratch.path("out"))
            #expect(outcome.signal == nil && outcome.status != 0, "\(key)")
            #expect(outcome.errors.contains(word), "\(outcome.errors)")
            #expect(!FileManager.default.fileExists(atPath: bench.scratch.path("out")))
        }
        try Data("{".utf8).write(to: file)
        expect(
            try adapter("import", "--adapter", peft, "--output", bench.scratch.path("out")),
            failsWith: 4,
            mentioning: "adapter_config.json"
        )
    }

    @Test func aMergeReportsSchemeModulesAndRankAndAnAdapterIsNotComparedAsAModel() throws {
        try train("peft.scheme=lora")
        let (run, peft) = (bench.scratch.path("run"), bench.scratch.path("peft"))
        #expect(try adapter("export", "--adapter", run, "--output", peft).status == 0)
        let merged = try adapter("merge", "--adapter", peft, "--hf-path", bench.scratch.path("merged"))
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(merged.output.contains("Merged LoRA adapters ("), "\(merged.output)")
        #expect(merged.output.contains(" modules, rank 4, "), "\(merged.output)")
        let compared = try BridgeProcess.run("verify", run, peft)
        expect(
            compared,
            failsWith: 64,
            mentioning: "is an adapter in PEFT's format, expected a model",
            "bridge adapter merge"
        )
    }

    @Test func anAdapterOfAnotherModelIsNamed() throws {
        try train("peft.scheme=lora")
        let other = Fixtures.checkpoint("gemma3")
        let outcome = try BridgeProcess.run(
            "generate",
            "--hf-model",
            other,
            "--prompt",
            "a",
            "--adapter",
            bench.scratch.path("run")
        )
        expect(outcome, failsWith: 64, mentioning: "is an adapter of", "but the model is Gemma3")
    }
}
