import Foundation
import JSONTree
import TestSupport
import Testing

/// Standard output and standard error that are closed, full, or that nobody reads.
@Suite struct BrokenOutputTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws { scratch = try TemporaryDirectory() }

    /// Runs that end with each kind of message: an error, wrong usage, a warning, a result, help.
    private func runs() throws -> [(arguments: [String], status: Int32)] {
        let strange = try Models.copy("mistral", to: scratch.url("strange"))
        try Models.edit(strange.appendingPathComponent("config.json")) { $0.set(1, at: "a_key_that_nobody_knows") }
        return [
            (["inspect", "/nonexistent"], 1), (["inspect", "/nonexistent", "--json"], 1), (["bogus"], 64),
            (["generate", "--hf-model", model, "--prompt", "a", "--top-k", "-1", "--json"], 64),
            (["inspect", strange.path], 0), (["inspect", strange.path, "--strict"], 1), (["--help"], 0),
            (["models"], 0),
            (["verify", model, Fixtures.checkpoint("mistral-tied")], 3),
            (["generate", "--hf-model", model, "--prompt", "a", "--max-new-tokens", "2"], 0),
            (
                [
                    "convert", "--hf-model", strange.path, "--megatron-path", scratch.path("out"), "--verbose",
                    "--overwrite",
                ], 0
            ),
        ]
    }

    @Test(arguments: ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
    func standardErrorThatCannotBeWrittenChangesNothing(_ redirection: String) throws {
        for (arguments, status) in try runs() {
            // The status of the run itself, whatever stands behind it in a pipe.
            let file = scratch.path("status")
            let shell = "{ \"$@\"; echo $? >\(file); } \(redirection)"
            let plain = try BridgeProcess(arguments).wait()
            #expect(plain.status == status, "\(arguments): \(plain.errors)")
            let outcome = try BridgeProcess(arguments, shell: shell).wait()
            let found = try String(contentsOfFile: file, encoding: .utf8).trimmingCharacters(in: .newlines)
            #expect(found == "\(status)", "\(arguments) with \(redirection)")
            guard !redirection.contains("|"), !arguments.contains("convert") else { continue }
            #expect(outcome.output == plain.output)
        }
    }

    @Test func noFileGetsTheMessagesOfAClosedDescriptor() throws {
        let strange = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(strange.appendingPathComponent("config.json")) { $0.set(1, at: "a_key_that_nobody_knows") }
        func convert(_ name: String, _ shell: String) throws -> [String: Data] {
            let arguments = ["convert", "--hf-model", strange.path, "--megatron-path", scratch.path(name), "--verbose"]
            let outcome = try BridgeProcess(arguments, shell: shell).wait()
            #expect(outcome.signal == nil && [0, 1].contains(outcome.status), "\(shell): \(outcome.errors)")
            return TemporaryDirectory.bytes(of: scratch.path(name))
        }
        let expected = try convert("whole", "exec \"$@\"")
        for (index, closed) in ["2>&-", "<&-", "<&- 2>&-", ">&-", "<&- >&- 2>&-"].enumerated() {
            #expect(try convert("out\(index)", "exec \"$@\" \(closed)") == expected, "\(closed)")
        }
    }

    @Test(arguments: [">/dev/full", ">&-"]) func standardOutputThatCannotBeWrittenIsAnError(_ redirection: String)
        throws
    {
        for arguments in [
            ["models"], ["models", "--json"], ["--help"], ["inspect", "--help"], ["--version"],
            ["recipes", "settings"],
            ["inspect", model, "--tensors"],
            ["generate", "--hf-model", model, "--prompt", "a", "--max-new-tokens", "2"],
            ["--generate-completion-script", "bash"],
        ] {
            let outcome = try BridgeProcess(arguments, shell: "exec \"$@\" \(redirection)").wait()
            expect(outcome, failsWith: 1, mentioning: "cannot write to standard output")
        }
        // What was asked for on disk is there all the same.
        let arguments = ["convert", "--hf-model", model, "--megatron-path", scratch.path("out")]
        let outcome = try BridgeProcess(arguments, shell: "exec \"$@\" \(redirection)").wait()
        expect(outcome, failsWith: 1, mentioning: "cannot write to standard output")
        #expect(try BridgeProcess.run("checkpoint", "check", scratch.path("out")).status == 0)
        #expect(!scratch.content.contains { $0.contains(".partial") })
    }

    /// The work ends as it would otherwise, with the status of the work and no message.
    @Test func aClosedPipeChangesNoStatus() throws {
        let bench = try TrainBench()
        // The reader has closed its end before the program starts.
        let pipe = scratch.path("pipe")
        let shell = "mkfifo \(pipe); : <\(pipe) & exec 4>\(pipe); wait; rm \(pipe); exec \"$@\" >&4"
        let runs: [(arguments: [String], status: Int32)] = [
            (["models"], 0), (["inspect", model, "--tensors", "--json"], 0), (["inspect", "/nonexistent"], 1),
            (["convert", "--hf-model", model, "--megatron-path", scratch.path("out")], 0),
            (bench.arguments("run", "train.train_iters=2"), 0),
            (["verify", model, Fixtures.checkpoint("mistral-tied")], 3),
        ]
        for (arguments, status) in runs {
            let outcome = try BridgeProcess(arguments, shell: shell).wait()
            #expect(outcome.status == status, "\(arguments): \(outcome.errors)")
            #expect(!outcome.errors.contains("standard output"), "\(outcome.errors)")
        }
        #expect(try BridgeProcess.run("checkpoint", "check", scratch.path("out")).status == 0)
        #expect(bench.iterations("run") == ["iter_0000002"])
    }

    @Test func aReaderWhoHasSeenEnoughEndsAGenerationWithoutAWord() throws {
        let toy = try Models.copy("mistral", to: scratch.url("model"))
        try Models.edit(toy.appendingPathComponent("config.json")) { $0.set(1_000_000, at: "max_position_embeddings") }
        let arguments = [
            "generate", "--hf-model", toy.path, "--prompt", "a", "--max-new-tokens", "900000", "--ignore-eos",
        ]
        let outcome = try BridgeProcess(arguments, shell: "\"$@\" | head -c 1 >/dev/null").wait()
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    }

    @Test(arguments: [">/dev/full", ">/dev/full 2>/dev/full", ">&-", "2>&-"])
    func aRunThatCannotWriteItsLogContinuesAndSaves(_ redirection: String) throws {
        let bench = try TrainBench()
        let run = bench.arguments("run", "train.train_iters=3")
        let outcome = try BridgeProcess(run, shell: "exec \"$@\" \(redirection)").wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(bench.iterations("run") == ["iter_0000003"])
        #expect(try BridgeProcess.run("checkpoint", "check", bench.scratch.path("run")).status == 0)
        guard redirection == ">/dev/full" else { return }
        let warnings = outcome.errors.split(separator: "\n").filter { $0.contains("cannot write to standard output") }
        #expect(warnings.count == 1 && warnings[0].contains("the run continues"), "\(outcome.errors)")
    }
}
