import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Where a conversion writes: what is there stays, and a dry run sees what the run would see.
@Suite struct ConversionDestinationTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws { scratch = try TemporaryDirectory() }

    private func tracker() throws -> String {
        try String(contentsOf: scratch.url("run/latest_checkpointed_iteration.txt"), encoding: .utf8)
    }

    /// A directory with iteration 60, as a training run leaves it.
    private func makeRun() throws {
        #expect(
            try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", scratch.path("run")).status == 0
        )
        let files = FileManager.default
        try files.moveItem(at: scratch.url("run/iter_0000000"), to: scratch.url("run/iter_0000060"))
        try Data("60".utf8).write(to: scratch.url("run/latest_checkpointed_iteration.txt"))
    }

    @Test func anImportDoesNotSetTheTrackerOfARunBack() throws {
        try makeRun()
        let arguments = ["convert", "--hf-model", model, "--megatron-path", scratch.path("run")]
        for more in [[], ["--dry-run"]] {
            expect(
                try BridgeProcess(arguments + more).wait(),
                failsWith: 1,
                mentioning: "holds iterations up to 60",
                "--overwrite"
            )
            #expect(try tracker() == "60")
            #expect(!FileManager.default.fileExists(atPath: scratch.path("run/iter_0000000")))
        }
        let outcome = try BridgeProcess(arguments + ["--overwrite"]).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(FileManager.default.fileExists(atPath: scratch.path("run/iter_0000000/manifest.json")))
        #expect(try tracker() == "60")
        #expect(try NativeCheckpoint(path: scratch.path("run")).path == scratch.path("run/iter_0000060"))
    }

    @Test func aLaterIterationBecomesTheNewest() throws {
        try makeRun()
        try FileManager.default.createDirectory(at: scratch.url("other"), withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: scratch.url("run/iter_0000060"), to: scratch.url("other/iter_0000070"))
        let outcome = try BridgeProcess.run(
            "reshard",
            "--megatron-path",
            scratch.path("other/iter_0000070"),
            "--output",
            scratch.path("run")
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try tracker() == "70")
    }

    @Test func aDryRunLooksAtTheDestination() throws {
        try makeRun()
        let run = scratch.path("run")
        try Data("x".utf8).write(to: scratch.url("file"))
        #expect(
            try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", scratch.path("other")).status == 0
        )
        for (arguments, status, sentence) in [
            (["convert", "--hf-model", model, "--megatron-path", scratch.path("file")], 1, "is not a directory"),
            (["convert", "export", "--megatron-path", run, "--hf-path", run], 64, "which is read"),
            (
                ["convert", "export", "--megatron-path", run, "--hf-path", scratch.path("file")], 1,
                "is not a directory"
            ),
            (["reshard", "--megatron-path", run, "--output", run], 64, "which is read"),
            (["reshard", "--megatron-path", scratch.path("other"), "--output", run], 1, "holds iterations up to 60"),
        ] as [([String], Int32, String)] {
            let dry = try BridgeProcess(arguments + ["--dry-run"]).wait()
            expect(dry, failsWith: status, mentioning: sentence)
        }
        let free = ["convert", "--hf-model", model, "--megatron-path", scratch.path("free"), "--dry-run"]
        #expect(try BridgeProcess(free).wait().status == 0)
        #expect(!FileManager.default.fileExists(atPath: scratch.path("free")))
    }
}
