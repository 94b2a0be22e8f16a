import Foundation
import JSONTree
import TestSupport
import Testing

/// The first signal ends every command in good order.
@Suite(.serialized) struct SignalTests {
    private let bench: TrainBench
    private var scratch: TemporaryDirectory { bench.scratch }
    private static let signals = [SIGINT, SIGTERM, SIGHUP]

    init() throws { bench = try TrainBench() }

    /// What every command is run with, by its words.
    private func commands() throws -> [String: [String]] {
        let toy = scratch.path("toy")
        let native = scratch.path("native")
        let run = scratch.path("run")
        #expect(try BridgeProcess(["convert", "--hf-model", toy, "--megatron-path", native]).wait().status == 0)
        let lora = ["peft.scheme=lora", "peft.dim=4", "train.train_iters=2"]
        let trained = try BridgeProcess(bench.arguments("run") + lora).wait()
        #expect(trained.status == 0, "\(trained.errors)")
        let data = scratch.path("questions.jsonl")
        let row = #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        try Data((row + "\n").utf8).write(to: URL(fileURLWithPath: data))
        try Data(#"["a"]"#.utf8).write(to: scratch.url("strings.json"))
        try Data(#"[{"text": "a"}]"#.utf8).write(to: scratch.url("requests.json"))
        let out = scratch.path("made/out")
        let adapter = ["--hf-model", toy, "--adapter", run]
        let sampled = ["--hf-model", toy, "--data", data]
        let recipe = "mistral_7b_finetune_config"
        return [
            "convert import": ["--hf-model", toy, "--megatron-path", out],
            "convert export": ["--megatron-path", native, "--hf-path", out],
            "verify": [toy, native], "reshard": ["--megatron-path", native, "--output", out, "--tp", "2"],
            "inspect": [toy, "--tensors"], "checkpoint list": [native], "checkpoint check": [native],
            "checkpoint prune": [native, "--keep", "1"], "generate": ["--hf-model", toy, "--prompt", "a"],
            "chat": ["--hf-model", toy],
            "forward": ["--hf-model", toy, "--prompt", "a", "--output", scratch.path("f")],
            "train": Array(bench.arguments("other").dropFirst()), "evaluate": sampled, "data preview": sampled,
            "data check": sampled, "data prepare": sampled + ["--output", out],
            "adapter export": adapter + ["--output", out],
            "adapter import": adapter + ["--output", out], "adapter merge": adapter + ["--hf-path", out],
            "adapter verify": adapter,
            "recipes list": [], "recipes show": [recipe], "recipes settings": [], "recipes diff": [recipe, recipe],
            "recipes check": ["--recipe", recipe, "--pretrained-checkpoint", toy, "--dataset-type", "mock"],
            "tokenize": ["--hf-model", toy, "--file", data], "models": [],
            "hub download": ["a/b"], "hub ls": ["a/b"], "hub cache": [], "hub upload": ["a/b", toy],
            "compare-runs": [scratch.path("run-log"), scratch.path("run-log")],
            "plugins new": ["Sample", "--output", out],
            "plugins test": [BridgeProcess.buildDirectory.appendingPathComponent("libMistralPlugin.so").path],
            "plugins list": [], "plugins doctor": [], "plugins describe": ["mistral"],
            "toy": ["--family", "mistral", "--output", out], "quantize": [toy, out, "--bits", "8"],
            "card": [toy, "--steps", "1000", "--work-dir", scratch.path, "--output", scratch.path("p")],
            "plan": ["--gpus", "8"], "selftest parallel": ["--family", "mistral", "--steps", "1000"],
            "selftest collectives": [], "doctor": [],
            "process prompt": [toy, "--prompt", "a", "--output", scratch.path("p")],
            "process strings": [toy, scratch.path("strings.json")],
            "process requests": [toy, scratch.path("requests.json"), scratch.path("r")],
        ]
    }

    /// The words of all commands that do something, from the program's own description.
    private static func leaves() throws -> Set<String> {
        let help = try BridgeProcess(["--experimental-dump-help"]).wait()
        func leaves(_ command: JSON, _ words: [String]) -> [String] {
            let below = (command["subcommands"]?.array ?? []).filter { $0["commandName"] != "help" }
            guard !below.isEmpty else { return [words.joined(separator: " ")] }
            return below.flatMap { leaves($0, words + [$0["commandName"]?.string ?? ""]) }
        }
        return Set(leaves(try JSON(parsing: Array(help.output.utf8))["command"] ?? .null, []))
    }

    @Test func theFirstSignalEndsEveryCommandAndLeavesNothing() throws {
        let commands = try commands()
        #expect(Set(commands.keys) == (try Self.leaves()))
        let before = scratch.content
        for (words, arguments) in commands.sorted(by: { $0.key < $1.key }) {
            for signal in Self.signals {
                let outcome = try interrupted(words.split(separator: " ").map(String.init) + arguments, signal)
                #expect(outcome.status == 130, "\(words), signal \(signal): \(outcome.status ?? -1) \(outcome.errors)")
                #expect(outcome.errors.hasPrefix("error: interrupted"), "\(words): \(outcome.errors)")
                #expect(scratch.content == before, "\(words), signal \(signal)")
            }
        }
    }

    /// A run that gets a signal as soon as it handles it; one that was done by then is run again.
    private func interrupted(_ arguments: [String], _ signal: Int32) throws -> BridgeProcess.Outcome {
        for _ in 0..<50 {
            let run = try BridgeProcess(
                arguments,
                environment: ["HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": scratch.path("home"), "HF_TOKEN": "x"]
            )
            guard run.stopWhenHandlingSignals() else { continue }
            run.resume(with: signal)
            let outcome = try run.wait()
            guard outcome.status == 0 else { return outcome }
            for name in ["made", "f", "p", "r", "other", "other-log"] {
                try? FileManager.default.removeItem(atPath: scratch.path(name))
            }
        }
        Issue.record("\(arguments) does not react to signal \(signal)")
        return try BridgeProcess(["models"]).wait()
    }

    /// Commands that write a directory.
    private func writers(_ large: String) -> [[String]] {
        let (out, native) = (scratch.path("out"), scratch.path("large-native"))
        let merge = ["adapter", "merge", "--hf-model", large, "--adapter", scratch.path("large-lora")]
        return [
            ["convert", "--hf-model", large, "--megatron-path", out],
            ["convert", "export", "--megatron-path", native, "--hf-path", out],
            ["reshard", "--megatron-path", native, "--output", out, "--tp", "2"],
            ["toy", "--family", "mistral", "--output", out, "--num-layers", "24", "--hidden-size", "1024"],
            merge + ["--hf-path", out], merge + ["--output", out],
        ]
    }

    @Test(arguments: signals) func aSignalWhileACommandWritesLeavesNothing(_ signal: Int32) throws {
        let large = scratch.path("large")
        try Models.large(at: scratch.url("large"))
        let native = ["convert", "--hf-model", large, "--megatron-path", scratch.path("large-native")]
        #expect(try BridgeProcess(native).wait().status == 0)
        try makeAdapter(at: scratch.url("large-lora"))
        let before = scratch.content
        for arguments in writers(large) {
            let run = try FaultRun(arguments: arguments, under: scratch.path(".out.partial")).start("pwrite", 1, .stop)
            try run.waitUntilStopped()
            #expect(scratch.content.contains { $0.hasPrefix(".out.partial/") }, "\(arguments)")
            run.resume(with: signal)
            let outcome = try run.wait()
            expect(outcome, failsWith: 130, mentioning: "interrupted")
            #expect(scratch.content == before, "\(arguments)")
        }
    }

    /// Adapters in the form of PEFT on one matrix of the large model.
    private func makeAdapter(at url: URL) throws {
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        let configuration: JSON = [
            "peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM",
        ]
        try Data(configuration.text()).write(to: url.appendingPathComponent("adapter_config.json"))
        var (entries, end) = ([String](), 0)
        for layer in 0..<2 {
            for (part, shape) in [("A", [2, 1024]), ("B", [1024, 2])] {
                let name = "base_model.model.model.layers.\(layer).self_attn.q_proj.lora_\(part).weight"
                let bytes = shape.reduce(4, *)
                entries.append(Models.entry(name, "F32", "\(shape)", "[\(end),\(end + bytes)]"))
                end += bytes
            }
        }
        let file = Models.safetensors("{\(entries.joined(separator: ","))}", data: end)
        try file.write(to: url.appendingPathComponent("adapter_model.safetensors"))
    }

    @Test(arguments: signals) func aRunFinishesAndSavesItsStep(_ signal: Int32) throws {
        let endless = bench.arguments("run", "train.train_iters=100000", "checkpoint.save_interval=100000")
        let run = try BridgeProcess(endless)
        try run.waitForOutput(containing: "iteration")
        run.send(signal)
        // A session that ends sends it again, which is not a user's second signal.
        if signal == SIGHUP { run.send(signal) }
        let outcome = try run.wait()
        #expect(outcome.status == 130, "\(outcome.errors)")
        #expect(outcome.output.contains("Stopped after step"), "\(outcome.output)")
        #expect(bench.iterations("run").count == 1)
        #expect(try BridgeProcess.run("checkpoint", "check", scratch.path("run")).status == 0)
    }

    @Test func aRunUnderNohupContinuesAfterAHangup() throws {
        let endless = bench.arguments("run", "train.train_iters=100000", "checkpoint.save_interval=100000")
        let run = try BridgeProcess(endless, shell: "trap '' HUP; exec \"$@\"")
        try run.waitForOutput(containing: "iteration")
        run.send(SIGHUP)
        let lines = run.outputSoFar.split(separator: "\n").count
        try run.wait(until: "it prints three more steps") {
            run.outputSoFar.split(separator: "\n").count >= lines + 3
        }
        #expect(run.isRunning)
        run.send(SIGTERM)
        #expect(try run.wait().status == 130)
    }

    /// A model that generates until it is stopped.
    private func makeEndlessModel() throws -> [String] {
        let model = try Models.copy("mistral", to: scratch.url("endless"))
        try Models.edit(model.appendingPathComponent("config.json")) {
            $0.set(1_000_000, at: "max_position_embeddings")
        }
        return ["--hf-model", model.path, "--max-new-tokens", "900000", "--ignore-eos"]
    }

    @Test func ctrlCStopsAnAnswerAndTheOthersEndTheChat() throws {
        let endless = try makeEndlessModel()
        for signal in Self.signals {
            let chat = try BridgeProcess(["chat"] + endless, input: "hello\n/help\n")
            try chat.waitForOutput()
            chat.send(signal)
            let outcome = try chat.wait()
            #expect(outcome.status == (signal == SIGINT ? 0 : 130), "signal \(signal): \(outcome.errors)")
            // Whether what was typed behind the answer is still read.
            #expect(outcome.errors.contains("/reset") == (signal == SIGINT), "signal \(signal): \(outcome.errors)")
        }
    }

    @Test func aReaderWhoDoesNotReadKeepsNoCommandFromEnding() throws {
        let pipe = scratch.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        let reader = open(pipe, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        defer { close(reader) }
        // The smallest that Linux has, F_SETPIPE_SZ.
        let size = fcntl(reader, 1031, 4096)
        #expect(size == 4096)
        let generate = ["generate", "--prompt", "a"] + (try makeEndlessModel())
        for (arguments, signal) in [(["recipes", "settings"], SIGINT), (["recipes", "settings", "--json"], SIGHUP)]
            + Self.signals.map({ (generate, $0) })
        {
            let run = try BridgeProcess(arguments, shell: "exec \"$@\" >\(pipe)")
            var waiting: Int32 = 0
            // With the first bytes its only page is taken, and there is more to come.
            try run.wait(until: "its output fills the pipe") {
                ioctl(reader, UInt(FIONREAD), &waiting) == 0 && waiting > 0
            }
            run.send(signal)
            #expect(try run.wait().status == 130, "\(arguments) with signal \(signal)")
            var rest = [UInt8](repeating: 0, count: 1 << 16)
            while read(reader, &rest, rest.count) > 0 {}
        }
    }
}
