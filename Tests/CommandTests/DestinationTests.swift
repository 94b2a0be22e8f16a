import BridgeCore
import Foundation
import TestSupport
import Testing

/// Nothing is written over, into or around what is read.
@Suite struct DestinationTests {
    private let bench: TrainBench
    private var scratch: TemporaryDirectory { bench.scratch }
    private var toy: String { scratch.path("toy") }
    private var native: String { scratch.path("native") }
    private var lora: String { scratch.path("lora") }

    init() throws { bench = try TrainBench() }

    /// Makes what the commands read.
    private func prepare() throws {
        #expect(try BridgeProcess(["convert", "--hf-model", toy, "--megatron-path", native]).wait().status == 0)
        let settings = ["peft.scheme=lora", "peft.dim=4", "train.train_iters=2"]
        #expect(try BridgeProcess(bench.arguments("run") + settings).wait().status == 0)
        let export = ["adapter", "export", "--hf-model", toy, "--adapter", scratch.path("run"), "--output", lora]
        #expect(try BridgeProcess(export).wait().status == 0)
        let files = FileManager.default
        try files.createSymbolicLink(atPath: scratch.path("link"), withDestinationPath: "native")
        try files.createDirectory(atPath: scratch.path("beside/deep"), withIntermediateDirectories: true)
        try files.createSymbolicLink(atPath: scratch.path("beside/up"), withDestinationPath: "../native/iter_0000000")
        try files.createDirectory(atPath: scratch.path("upper/models"), withIntermediateDirectories: true)
        try files.copyItem(atPath: toy, toPath: scratch.path("upper/models/toy"))
        // As in a cache: the files of a directory are links to where the bytes lie.
        try files.createDirectory(atPath: scratch.path("linked"), withIntermediateDirectories: true)
        try files.createDirectory(atPath: scratch.path("blobs"), withIntermediateDirectories: true)
        for name in try files.contentsOfDirectory(atPath: toy) {
            try files.copyItem(atPath: "\(toy)/\(name)", toPath: scratch.path("blobs/\(name)"))
            try files.createSymbolicLink(
                atPath: scratch.path("linked/\(name)"),
                withDestinationPath: "../blobs/\(name)"
            )
        }
    }

    /// The bytes and links of everything.
    private func state() -> [String: Data] { TemporaryDirectory.bytes(of: scratch.path) }

    @Test func aDestinationThatIsInsideOrAboveASourceIsRefusedBeforeAnyWork() throws {
        try prepare()
        let forms = [
            native, "\(native)/", "\(native)/iter_0000000", "\(native)/iter_0000000/huggingface", "\(native)/new/deep",
            "\(native)/absent/../iter_0000000", "\(native)/./iter_0000000/", scratch.path("link"),
            scratch.path("link/new"), scratch.path("beside/up"), scratch.path("beside/up/new"),
            scratch.path("beside/deep/../up/../new"), scratch.path("toy/../native"), scratch.path,
        ]
        var commands: [[String]] = forms.flatMap { form in
            [
                ["convert", "export", "--megatron-path", native, "--hf-path", form, "--overwrite"],
                ["reshard", "--megatron-path", native, "--output", form, "--overwrite", "--tp", "2"],
                ["adapter", "merge", "--megatron-path", native, "--adapter", lora, "--hf-path", form, "--overwrite"],
            ]
        }
        for form in [toy, "\(toy)/new", scratch.path("upper/../toy"), scratch.path] {
            commands += [
                ["convert", "--hf-model", toy, "--megatron-path", form, "--overwrite"],
                ["convert", "export", "--hf-model", toy, "--megatron-path", native, "--hf-path", form, "--overwrite"],
                ["adapter", "merge", "--hf-model", toy, "--adapter", lora, "--hf-path", form, "--overwrite"],
                ["adapter", "merge", "--hf-model", toy, "--adapter", lora, "--output", form, "--overwrite"],
                ["adapter", "export", "--hf-model", toy, "--adapter", lora, "--output", form, "--overwrite"],
                ["adapter", "import", "--hf-model", toy, "--adapter", lora, "--output", form, "--overwrite"],
            ]
        }
        commands += [
            ["adapter", "export", "--hf-model", toy, "--adapter", lora, "--output", lora, "--overwrite"],
            ["adapter", "merge", "--hf-model", toy, "--adapter", lora, "--hf-path", "\(lora)/merged"],
            ["convert", "--hf-model", scratch.path("upper/models/toy"), "--megatron-path", scratch.path("upper")],
            ["convert", "--hf-model", scratch.path("linked"), "--megatron-path", scratch.path("blobs"), "--overwrite"],
            ["process", "prompt", toy, "--prompt", "a", "--output", "\(toy)/config.json"],
            ["process", "requests", toy, "\(toy)/config.json", "\(toy)/config.json"],
            ["forward", "--hf-model", toy, "--prompt", "a", "--output", "\(toy)/config.json"],
            [
                "forward", "--hf-model", scratch.path("linked"), "--prompt", "a", "--output",
                scratch.path("blobs/config.json"),
            ],
        ]
        let before = state()
        for command in commands {
            let outcome = try BridgeProcess(command).wait()
            #expect(outcome.status == 64, "\(command): \(outcome.errors)")
            #expect(outcome.sentence.contains("choose a"), "\(outcome.errors)")
            #expect(outcome.output.isEmpty, "\(command) began: \(outcome.output)")
        }
        #expect(state() == before)
    }

    @Test(arguments: ["toy", "toy/run", "toy/../toy/deep/run"])
    func aRunDoesNotSaveIntoTheModelItStartsFrom(_ name: String) throws {
        let before = state()
        var arguments = bench.arguments("run")
        arguments.append("checkpoint.save=\(scratch.path(name))")
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 64 || name == "toy", "\(outcome.errors)")
        #expect(outcome.status != 0)
        #expect(state() == before)
    }

    /// A log is started from scratch: in the place of data it would remove them.
    @Test func aRunDoesNotLogIntoWhatItReads() throws {
        let files = FileManager.default
        try files.createDirectory(atPath: scratch.path("data"), withIntermediateDirectories: true)
        try files.copyItem(atPath: scratch.path("rows.jsonl"), toPath: scratch.path("data/log.jsonl"))
        try files.createSymbolicLink(atPath: scratch.path("link"), withDestinationPath: "toy")
        try files.createDirectory(atPath: scratch.path("linked"), withIntermediateDirectories: true)
        try files.createSymbolicLink(atPath: scratch.path("linked/log.jsonl"), withDestinationPath: "../rows.jsonl")
        #expect(try BridgeProcess(bench.arguments("one", "train.train_iters=2")).wait().status == 0)
        let before = state()
        func settings(_ changes: [String: String]) -> [String] {
            let names = changes.keys
            return bench.arguments("run").filter { argument in !names.contains { argument.hasPrefix("\($0)=") } }
                + changes.map { "\($0)=\(scratch.path($1))" }
                + (names.contains("dataset.valid_data_path") ? ["train.eval_interval=1"] : [])
        }
        for (changes, setting, source) in [
            (["logger.log_dir": "toy"], "logger.log_dir", "toy"),
            (["logger.log_dir": "toy/logs"], "logger.log_dir", "toy"),
            (["logger.log_dir": "link/logs"], "logger.log_dir", "toy"),
            (["logger.log_dir": "data/../toy"], "logger.log_dir", "toy"),
            (["logger.tensorboard_dir": "toy/tb_logs"], "logger.tensorboard_dir", "toy"),
            // The log would be the data, or what the data lead to.
            (["logger.log_dir": "data", "dataset.train_data_path": "data/log.jsonl"], "logger.log_dir", "log.jsonl"),
            (["logger.log_dir": "linked"], "logger.log_dir", "rows.jsonl"),
            (["logger.log_dir": "data", "dataset.valid_data_path": "data/log.jsonl"], "logger.log_dir", "log.jsonl"),
            // Beside checkpoints a log is at home, inside of one it is not; nor where another run's weights come from.
            (["checkpoint.save": "one", "logger.log_dir": "one/iter_0000002"], "logger.log_dir", "iter_0000002"),
            (["checkpoint.load": "one", "logger.log_dir": "one/iter_0000002/x"], "logger.log_dir", "iter_0000002"),
            (["logger.log_dir": "one"], "logger.log_dir", "one"),
        ] {
            let weights = scratch.path(source == "one" ? "one" : "toy")
            for more in [[], ["--dry-run"]] {
                let words = settings(changes).with("--pretrained-checkpoint", weights)
                let outcome = try BridgeProcess(words + more).wait()
                expect(outcome, failsWith: 64, mentioning: "\(setting) is", source, "choose a directory outside it")
            }
        }
        #expect(state() == before)
    }

    @Test func aLogBesideCheckpointsAndDataIsFine() throws {
        let log = { (path: String) in "logger.log_dir=\(scratch.path(path))" }
        // Above model and data, with no file of theirs in the way; then inside of the run, which is resumed.
        #expect(try BridgeProcess(bench.arguments("run", "train.train_iters=2", log("."))).wait().status == 0)
        for count in [4, 6] {
            let outcome = try BridgeProcess(bench.arguments("run", "train.train_iters=\(count)", log("run"))).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
        // A run that is inside of its model, as could once be begun, is resumed where it is.
        try FileManager.default.moveItem(atPath: scratch.path("run"), toPath: scratch.path("toy/run"))
        let inside = bench.arguments("toy/run", "train.train_iters=8", log("toy/run_logs"))
        let outcome = try BridgeProcess(inside).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    @Test(arguments: [".", "./", "..", "new/..", "new/.", ""]) func aPathThatNoDirectoryCanTakeIsRefusedBeforeTheWork(
        _ path: String
    ) throws {
        #expect(try BridgeProcess(["convert", "--hf-model", toy, "--megatron-path", native]).wait().status == 0)
        try FileManager.default.createDirectory(atPath: scratch.path("a/b"), withIntermediateDirectories: true)
        let before = state()
        for command in [
            ["toy", "--family", "mistral", "--output", path], ["convert", "--hf-model", toy, "--megatron-path", path],
            ["convert", "export", "--megatron-path", native, "--hf-path", path],
            ["reshard", "--megatron-path", native, "--output", path, "--overwrite"],
        ] {
            let outcome = try BridgeProcess(command, shell: "cd \(scratch.path("a/b")) && exec \"$@\"").wait()
            #expect([1, 64].contains(outcome.status), "\(command): \(outcome.errors)")
            #expect(outcome.errors.hasPrefix("error: ") && outcome.output.isEmpty, "\(command): \(outcome.output)")
        }
        #expect(state() == before)
    }

    @Test func aLinkIsNotTakenForTheDirectoryThatItLeadsTo() throws {
        try FileManager.default.createDirectory(atPath: scratch.path("empty"), withIntermediateDirectories: true)
        for (link, target) in [("to-empty", "empty"), ("to-nothing", "absent")] {
            try FileManager.default.createSymbolicLink(atPath: scratch.path(link), withDestinationPath: target)
            let outcome = try BridgeProcess(["toy", "--family", "mistral", "--output", scratch.path(link)]).wait()
            expect(outcome, failsWith: 1, mentioning: "is a link")
            #expect(outcome.output.isEmpty, "\(outcome.output)")
        }
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aMountPointIsRefusedBeforeTheWork() throws {
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 4096)
        let outcome = try BridgeProcess(["toy", "--family", "mistral", "--output", disk.url.path]).wait()
        expect(outcome, failsWith: 1, mentioning: "is a mount point", "inside of it")
        let inside = disk.url.appendingPathComponent("toy").path
        #expect(try BridgeProcess(["toy", "--family", "mistral", "--output", inside]).wait().status == 0)
    }

    @Test func aDestinationBesideASourceIsFine() throws {
        try prepare()
        let files = FileManager.default
        try files.copyItem(atPath: toy, toPath: scratch.path("weights-elsewhere"))
        for name in try files.contentsOfDirectory(atPath: toy) where name.hasSuffix(".safetensors") {
            try files.removeItem(atPath: scratch.path("weights-elsewhere/\(name)"))
            try files.createSymbolicLink(
                atPath: scratch.path("weights-elsewhere/\(name)"),
                withDestinationPath: "../blobs/\(name)"
            )
        }
        for (index, command) in [
            ["convert", "export", "--megatron-path", "\(native)/iter_0000000", "--hf-path"],
            ["convert", "export", "--megatron-path", scratch.path("link"), "--hf-path"],
            ["reshard", "--megatron-path", native, "--output"],
            ["adapter", "merge", "--hf-model", toy, "--adapter", lora, "--hf-path"],
            ["convert", "--hf-model", scratch.path("weights-elsewhere"), "--megatron-path"],
        ].enumerated() {
            // The name begins with that of a source, and is another one.
            let outcome = try BridgeProcess(command + [scratch.path("native\(index)")]).wait()
            #expect(outcome.status == 0, "\(command): \(outcome.errors)")
        }
    }

    @Test func relationsFollowWhatThePathsLeadTo() throws {
        try prepare()
        #expect(Destination.relation(of: native, to: native) == .same)
        #expect(Destination.relation(of: scratch.path("link"), to: native) == .same)
        #expect(Destination.relation(of: "\(native)/a/b", to: native) == .inside)
        #expect(Destination.relation(of: scratch.path, to: native) == .above)
        #expect(Destination.relation(of: "\(native)-two", to: native) == nil)
        #expect(Destination.relation(of: scratch.path("x"), to: "org/name") == nil)
        #expect(Destination.relation(of: "\(native)/a/../../x", to: native) == nil)
    }
}
