import Foundation
import JSONTree
import TestSupport
import Testing

/// Options that have no effect are refused, or warned of where they are harmless.
@Suite struct OptionEffectTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func directory(_ name: String) -> String { Fixtures.checkpoint(name) }

    private func generate(_ model: String, _ more: [String]) throws -> BridgeProcess.Outcome {
        try BridgeProcess(["generate", "--hf-model", directory(model), "--max-new-tokens", "1"] + more).wait()
    }

    private func write(_ text: String, _ name: String) throws -> String {
        try Data(text.utf8).write(to: scratch.url(name))
        return scratch.path(name)
    }

    @Test func toolsThatTheTemplateDoesNotReadAreRefused() throws {
        let tools = try write(
            #"[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]"#,
            "tools.json"
        )
        let outcome = try generate("gemma3", ["--prompt", "a", "--tools", tools])
        expect(outcome, failsWith: 64, mentioning: "--tools has no effect", "chat template")
        #expect(try generate("mistral-native", ["--prompt", "a", "--tools", tools]).status == 0)
    }

    /// Options of one container beside another.
    @Test func optionsOfAnotherContainerAreRefused() throws {
        let output = scratch.path("out")
        let convert = ["convert", "import", "--hf-model", directory("mistral"), "--megatron-path", output]
        for (options, words) in [
            (["--writers", "3"], "--writers has no effect with --format native"),
            (["--integrity"], "--integrity has no effect with --format native"),
            (["--integrity", "--format", "dcp"], "--integrity has no effect with --format dcp"),
            (["--tp", "2", "--format", "dcp"], "--format dcp stores whole tensors"),
            (["--allow-missing", "a", "--format", "dcp"], "--allow-missing has no effect with --format dcp"),
        ] {
            expect(try BridgeProcess(convert + options).wait(), failsWith: 64, mentioning: words)
        }
        let reshard = ["reshard", "--megatron-path", output, "--output", "\(output)2", "--format", "dcp"]
        expect(try BridgeProcess(reshard).wait(), failsWith: 64, mentioning: "one of 'native' and 'torch_dist'")
        #expect(!FileManager.default.fileExists(atPath: output))
        let plan = try BridgeProcess(convert + ["--format", "dcp", "--dry-run"]).wait()
        #expect(plan.status == 0 && plan.output.contains("__0_0.distcp"), "\(plan.output) \(plan.errors)")
        #expect(!FileManager.default.fileExists(atPath: output))
        #expect(try BridgeProcess(convert + ["--format", "dcp", "--writers", "3"]).wait().status == 0)
        #expect(FileManager.default.fileExists(atPath: "\(output)/__0_2.distcp"))
    }

    /// Options of one format of an export beside the other.
    @Test func optionsOfAnotherExportAreRefused() throws {
        let output = scratch.path("out")
        let export = ["convert", "export", "--hf-path", output]
        let model = ["--hf-model", directory("mistral")]
        for (options, words) in [
            (["--gguf-type", "q8_0", "--megatron-path", "a"], "--gguf-type has no effect with --format hf"),
            (model, "--megatron-path is missing"),
            (["--format", "gguf"], "--format gguf needs --megatron-path or --hf-model"),
            (model + ["--format", "gguf", "--dtype", "float32"], "--dtype has no effect with --format gguf"),
            (model + ["--format", "gguf", "--gguf-type", "q5_0"], "'q5_0' is invalid for '--gguf-type <type>'"),
        ] {
            expect(try BridgeProcess(export + options).wait(), failsWith: 64, mentioning: words)
        }
        let plan = try BridgeProcess(export + model + ["--format", "gguf", "--dry-run"]).wait()
        #expect(plan.status == 0 && plan.output.contains("model-BF16.gguf"), "\(plan.output) \(plan.errors)")
        #expect(!FileManager.default.fileExists(atPath: output))
        for more in [[], ["--overwrite", "--gguf-type", "f16"]] {
            let outcome = try BridgeProcess(export + model + ["--format", "gguf"] + more).wait()
            #expect(
                outcome.status == 0 && outcome.output.contains("llama-cli -m"),
                "\(outcome.output) \(outcome.errors)"
            )
        }
        // The second one has replaced the first.
        #expect(try FileManager.default.contentsOfDirectory(atPath: output) == ["model-F16.gguf"])
    }

    @Test func aDateThatTheTemplateDoesNotWriteIsWarnedOf() throws {
        let prompt = ["--prompt", "a", "--date", "2025-03-09"]
        let outcome = try generate("mistral", prompt)
        #expect(outcome.status == 0 && outcome.errors.contains("warning: --date has no effect"), "\(outcome.errors)")
        #expect(try !generate("ministral3", prompt).errors.contains("--date"))
    }

    @Test(arguments: ["mistral", "ministral3"]) func cropsForAModelThatTakesNoneAreRefused(_ model: String) throws {
        let outcome = try generate(model, ["--prompt", "a", "--pan-and-scan"])
        expect(outcome, failsWith: 64, mentioning: "--pan-and-scan has no effect")
    }

    @Test func cropsWithoutAnImageAreWarnedOf() throws {
        let outcome = try generate("gemma3", ["--prompt", "a", "--pan-and-scan"])
        #expect(outcome.status == 0 && outcome.errors.contains("there is no image"), "\(outcome.errors)")
    }

    @Test func aSeedWithoutSamplingIsWarnedOf() throws {
        let greedy = try generate("mistral", ["--prompt", "a", "--seed", "3"])
        #expect(greedy.status == 0 && greedy.errors.contains("warning: --seed has no effect"), "\(greedy.errors)")
        let sampled = try generate("mistral", ["--prompt", "a", "--seed", "3", "--temperature", "0.5"])
        #expect(sampled.status == 0 && !sampled.errors.contains("--seed"), "\(sampled.errors)")
    }

    @Test func moreTokensThanTheModelTakesAreWarnedOfWithBothNumbers() throws {
        // The fixture takes 640 tokens, of which the prompt is some; the last token is not read again.
        let arguments = [
            "generate", "--hf-model", directory("mistral"), "--prompt", "a", "--no-chat-template", "--json",
        ]
        let outcome = try BridgeProcess(arguments + ["--max-new-tokens", "700", "--ignore-eos"]).wait()
        #expect(outcome.status == 0)
        let count = try Answer(outcome.output).tokens.count
        #expect(count < 700)
        #expect(
            outcome.errors.contains("--max-new-tokens is 700, but at most \(count) are generated"),
            "\(outcome.errors)"
        )
        #expect(outcome.errors.contains("at most 640 in total"))
        let fits = try BridgeProcess(arguments + ["--max-new-tokens", "2", "--ignore-eos"]).wait()
        #expect(!fits.errors.contains("--max-new-tokens"))
    }

    @Test func keysOfMessagesThatNothingReadsAreWarnedOf() throws {
        let messages = try write(
            """
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": 1}], "wieght": 0}],
             "temperature": 0.3}
            """,
            "chat.json"
        )
        let outcome = try generate("ministral3", ["--messages", messages])
        #expect(outcome.status == 0, "\(outcome.errors)")
        for key in ["temperature", "messages[].wieght", "messages[].content[].cache_control"] {
            #expect(outcome.errors.contains(key), "\(outcome.errors)")
        }
        let known = try write(#"[{"role": "user", "content": "a"}]"#, "known.json")
        #expect(try !generate("ministral3", ["--messages", known]).errors.contains("ignored keys"))
    }

    @Test(arguments: [
        (["--split", "test"], "--split"), (["--maker-name", "make_raven_dataset"], "--maker-name"),
        (["--dataset-type", "tokenized", "--loss-mode", "full"], "--loss-mode"),
        (["--dataset-type", "tokenized", "--roles-to-train", "user"], "--roles-to-train"),
        (["--loss-mode", "full", "--roles-to-train", "user"], "--roles-to-train"),
        (["--dataset-type", "tokenized", "--date", "2025-03-09"], "--date"),
        (["--dataset-type", "hf", "--image-folder", "/tmp"], "--image-folder"),
    ])
    func optionsOfAnotherTypeOfDataAreRefused(_ more: [String], _ option: String) throws {
        for command in ["preview", "check"] {
            let arguments = ["data", command, "--hf-model", directory("ministral3"), "--data", "rows.jsonl"]
            expect(try BridgeProcess(arguments + more).wait(), failsWith: 64, mentioning: "\(option) has no effect")
        }
    }

    @Test func anUnusedImageDirectoryIsRefused() throws {
        let rows = try write(
            #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            "rows.jsonl"
        )
        func preview(_ model: String, _ images: String) throws -> BridgeProcess.Outcome {
            try BridgeProcess.run(
                "data",
                "preview",
                "--hf-model",
                directory(model),
                "--data",
                rows,
                "--image-folder",
                images
            )
        }
        expect(try preview("mistral", scratch.path), failsWith: 64, mentioning: "reads text only")
        expect(try preview("ministral3", scratch.path("nowhere")), failsWith: 1, mentioning: "not a directory")
        #expect(try preview("ministral3", scratch.path).status == 0)
    }

    @Test(arguments: [
        (["--tolerance", "0.1"], "--tolerance has no effect without --logits"),
        (["--dtype", "bfloat16"], "--dtype has no effect without --logits"),
        (["--logits", "a", "--ignore-dtype"], "--ignore-dtype has no effect with --logits"),
        (["--logits", "a", "--allow-missing", "x"], "--allow-missing has no effect with --logits"),
    ])
    func optionsOfTheOtherComparisonAreRefused(_ more: [String], _ words: String) throws {
        let outcome = try BridgeProcess(["verify", directory("mistral"), directory("mistral")] + more).wait()
        expect(outcome, failsWith: 64, mentioning: words)
    }

    @Test func patternsThatMatchNothingAreWarnedOf() throws {
        let verify = try BridgeProcess.run(
            "verify",
            directory("mistral"),
            directory("mistral"),
            "--allow-missing",
            "no.such"
        )
        #expect(verify.status == 0 && verify.errors.contains("--allow-missing no.such has no effect"))
        expect(
            try BridgeProcess.run("reshard", "--megatron-path", "m", "--output", "n", "--allow-missing", "x"),
            failsWith: 64,
            mentioning: "--allow-missing has no effect"
        )
    }

    @Test func noCacheForADirectoryIsWarnedOf() throws {
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            directory("mistral"),
            "--megatron-path",
            scratch.path("m"),
            "--no-cache",
            "--dry-run"
        )
        #expect(outcome.status == 0 && outcome.errors.contains("--no-cache has no effect"), "\(outcome.errors)")
    }

    /// Converts the toy to the Megatron checkpoint `m`.
    private func makeMegatronCheckpoint() throws {
        try BridgeProcess.convert(directory("mistral"), to: scratch.path("m"))
    }

    @Test func anExportAfterAModelThatIsNotThereIsAnErrorBeforeAnyWork() throws {
        try makeMegatronCheckpoint()
        for (model, words) in [("typo", "typo"), ("nobody/typo", "nobody/typo")] {
            let outcome = try BridgeProcess.run(
                "convert",
                "export",
                "--hf-model",
                model,
                "--megatron-path",
                scratch.path("m"),
                "--hf-path",
                scratch.path("out"),
                environment: ["HF_HUB_OFFLINE": "1", "HF_HOME": scratch.path("home")]
            )
            expect(outcome, failsWith: 1, mentioning: words)
            #expect(!FileManager.default.fileExists(atPath: scratch.path("out")))
        }
    }

    @Test func anEditedConfigurationOfACheckpointIsWarnedOf() throws {
        try makeMegatronCheckpoint()
        let export = [
            "convert", "export", "--megatron-path", scratch.path("m"), "--hf-path", scratch.path("out"), "--dry-run",
        ]
        #expect(try !BridgeProcess(export).wait().errors.contains("differs"))
        let file = scratch.url("m/iter_0000000/huggingface/config.json")
        try Models.edit(file) { $0.set(0.0123, at: "initializer_range") }
        let outcome = try BridgeProcess(export).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.errors.contains("\(file.path) differs from the file saved with the checkpoint"))
        #expect(!outcome.output.contains("run_config.yaml"))
    }

    /// The model is that of `huggingface/`, so an edit of `run_config.yaml` changes nothing.
    @Test func anEditOfTheRunConfigurationOfACheckpointIsWarnedOf() throws {
        try makeMegatronCheckpoint()
        let file = scratch.url("m/iter_0000000/run_config.yaml")
        let text = try String(contentsOf: file, encoding: .utf8)
        let edited = text.replacing(/rotary_base: .*/, with: "rotary_base: 123.0")
        #expect(edited != text)
        try edited.write(to: file, atomically: true, encoding: .utf8)
        let outcome = try BridgeProcess(["inspect", scratch.path("m")]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.errors.contains(
                "\(file.path) differs from the file saved with the checkpoint, and the model is not"
            )
        )
    }

    @Test func anotherModelForTheNamesOfAnExportIsNamed() throws {
        try makeMegatronCheckpoint()
        let other = try Models.copy("mistral", to: scratch.url("other"))
        let export = [
            "convert", "export", "--megatron-path", scratch.path("m"), "--hf-path", scratch.path("out"), "--dry-run",
            "--hf-model", other.path,
        ]
        #expect(try !BridgeProcess(export).wait().output.contains("describes another model"))
        try Models.edit(other.appendingPathComponent("config.json")) { $0.set(123.0, at: "rope_theta") }
        let outcome = try BridgeProcess(export).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(outcome.output.contains("describes another model") && outcome.output.contains("rotary_base 123"))
    }

    @Test func strictRefusesASettingForQuantizedWeightsThatArePlain() throws {
        let model = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(model.appendingPathComponent("config.json")) {
            $0.set(["quant_method": "fp8"], at: "quantization_config")
        }
        let plain = try BridgeProcess.run("inspect", model.path)
        #expect(plain.status == 0 && plain.errors.contains("quantization_config (no weight is quantized)"))
        expect(
            try BridgeProcess.run("inspect", model.path, "--strict"),
            failsWith: 1,
            mentioning: "quantization_config (no weight is quantized)"
        )
    }
}
