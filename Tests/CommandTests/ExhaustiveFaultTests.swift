import BridgeCore
import Foundation
import TestSupport
import Testing

/// Every system call of a command that writes fails once, and the process is killed at each: what was there stays or the new
/// result is there, both without a missing byte, and the next run gives what an undisturbed one gives.
@Suite struct ExhaustiveFaultTests {
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws {
        scratch = try TemporaryDirectory()
        try FileManager.default.createDirectory(at: scratch.url("out"), withIntermediateDirectories: true)
    }

    /// The files below a path with their content; nil where there is nothing.
    private func content(_ path: String) -> [String: Data]? {
        FileManager.default.fileExists(atPath: path) ? TemporaryDirectory.bytes(of: path) : nil
    }

    /// Tries every call of a command that makes `out/result`, with nothing there before and with an older result.
    private func exhaust(_ arguments: [String], older: [String]? = nil) throws {
        let result = scratch.path("out/result")
        let run = FaultRun(arguments: arguments + (older == nil ? [] : ["--overwrite"]), under: scratch.path("out"))
        let files = FileManager.default
        func reset() throws {
            try? files.removeItem(atPath: scratch.path("out"))
            try files.createDirectory(at: scratch.url("out"), withIntermediateDirectories: true)
            if older != nil { try files.copyItem(atPath: scratch.path("older"), toPath: result) }
        }
        if let older { #expect(try BridgeProcess(older).wait().status == 0) }
        try reset()
        let before = content(result)
        #expect(try BridgeProcess(run.arguments).wait().status == 0)
        let after = try #require(content(result))
        var points = 0
        for (call, actions) in FaultRun.calls {
            try reset()
            let count = try run.count(call, in: scratch)
            for number in 1...max(1, count) where count > 0 {
                for action in actions {
                    points += 1
                    try reset()
                    let outcome = try run.run(call, number, action)
                    let found = content(result)
                    let what = "\(call) \(number) of \(count), \(action.rawValue): \(outcome.errors)"
                    if outcome.status == 0 {
                        #expect(found == after, "\(what)")
                    } else {
                        #expect(found == before || found == after, "\(what)")
                    }
                    if action == .kill {
                        #expect(outcome.signal == SIGKILL, "\(what)")
                    } else {
                        #expect(outcome.signal == nil, "\(what)")
                        #expect(outcome.status == 0 || outcome.errors.contains("error: "), "\(what)")
                        // What the system only asks to be done again is done again.
                        let isHarmless = action == .interrupted || action == .short
                        #expect(!isHarmless || outcome.status == 0, "\(what)")
                    }
                    // A result that is there already is not made again.
                    guard found == before else { continue }
                    let again = try BridgeProcess(run.arguments).wait()
                    #expect(again.status == 0, "again after \(what): \(again.errors)")
                    #expect(content(result) == after, "again after \(what)")
                    #expect(try files.contentsOfDirectory(atPath: scratch.path("out")) == ["result"], "\(what)")
                }
            }
        }
        #expect(points > 20)
    }

    @Test func anImportIsAtomic() throws {
        try exhaust(["convert", "--hf-model", model, "--megatron-path", scratch.path("out/result")])
    }

    @Test func anExportIsAtomic() throws {
        let source = scratch.path("megatron")
        #expect(
            try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", source, "--tp", "2").status == 0
        )
        try exhaust(["convert", "export", "--megatron-path", source, "--hf-path", scratch.path("out/result")])
    }

    /// An older export, of other weights, that the new one replaces.
    @Test func anExportThatReplacesAnotherIsAtomic() throws {
        let (source, other) = (scratch.path("megatron"), scratch.path("other"))
        #expect(try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", source).status == 0)
        #expect(
            try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", other, "--dtype", "float32").status
                == 0
        )
        try exhaust(
            ["convert", "export", "--megatron-path", source, "--hf-path", scratch.path("out/result")],
            older: ["convert", "export", "--megatron-path", other, "--hf-path", scratch.path("older")]
        )
    }

    @Test func aReshardIsAtomic() throws {
        let source = scratch.path("megatron")
        #expect(try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", source).status == 0)
        try exhaust(["reshard", "--megatron-path", source, "--output", scratch.path("out/result"), "--tp", "2"])
    }

    @Test func aMergeOfAnAdapterIsAtomic() throws {
        let adapter = "\(Fixtures.root)/adapters/mistral-layers"
        try exhaust([
            "adapter", "merge", "--hf-model", model, "--adapter", adapter, "--hf-path", scratch.path("out/result"),
        ])
    }

    /// A run saves its weights and its optimizer twice; after a fault it resumes and ends with the same bits.
    @Test func aSaveOfARunIsAtomic() throws {
        let bench = try TrainBench()
        func arguments(_ name: String) -> [String] {
            bench.arguments(name, "train.train_iters=2", "checkpoint.save_interval=1")
        }
        #expect(try BridgeProcess(arguments("reference")).wait().status == 0)
        let reference = content(bench.scratch.path("reference/iter_0000002"))?.filter {
            $0.key.hasSuffix(".safetensors")
        }
        #expect(reference?.isEmpty == false)
        var points = 0
        for (call, actions) in FaultRun.calls {
            let counting = FaultRun(arguments: arguments("count"), under: bench.scratch.path("count/"))
            try? FileManager.default.removeItem(atPath: bench.scratch.path("count"))
            let count = try counting.count(call, in: scratch)
            for number in 1...max(1, count) where count > 0 {
                let name = "run-\(call)-\(number)"
                let run = FaultRun(arguments: arguments(name), under: bench.scratch.path("\(name)/"))
                points += 1
                // The kill at every call, the errors in turn: a run takes a second.
                let action = number % 2 == 0 ? .kill : actions[number / 2 % actions.count]
                let outcome = try run.run(call, number, action)
                let what = "\(call) \(number) of \(count), \(action.rawValue): \(outcome.errors)"
                #expect(outcome.signal == nil || (outcome.signal == SIGKILL && action == .kill), "\(what)")
                let iterations = (try? NativeCheckpoint.iterations(in: bench.scratch.path(name))) ?? []
                for iteration in iterations {
                    #expect(try NativeCheckpoint.check(iteration.path).corruptFiles.isEmpty, "\(what)")
                }
                let again = try BridgeProcess(arguments(name)).wait()
                #expect(again.status == 0, "again after \(what): \(again.errors)")
                let found = content(bench.scratch.path("\(name)/iter_0000002"))?.filter {
                    $0.key.hasSuffix(".safetensors")
                }
                #expect(found == reference, "again after \(what)")
                try? FileManager.default.removeItem(atPath: bench.scratch.path(name))
            }
        }
        #expect(points > 20)
    }

    /// A file system that opens files for direct writes and refuses the writes.
    @Test func aConversionGoesThroughThePageCacheWhereDirectWritesAreRefused() throws {
        let large = scratch.path("large")
        let made = try BridgeProcess.run(
            "toy",
            "--family",
            "mistral",
            "--output",
            large,
            "--hidden-size",
            "240",
            "--num-layers",
            "4",
            "--dtype",
            "float32"
        )
        #expect(made.status == 0, "\(made.errors)")
        let arguments = ["convert", "--hf-model", large, "--megatron-path", scratch.path("out/result")]
        let run = FaultRun(arguments: arguments, under: scratch.path("out"))
        let count = try run.count("pwrite", in: scratch)
        let reference = content(scratch.path("out/result"))
        #expect(count > 1)
        for number in 1...count {
            try? FileManager.default.removeItem(atPath: scratch.path("out/result"))
            let outcome = try run.run("pwrite", number, .invalid)
            let found = content(scratch.path("out/result"))
            if outcome.status == 0 {
                #expect(found == reference)
            } else {
                // A small file is not written directly, so there is nothing to fall back to.
                #expect(outcome.errors.contains("cannot write"), "\(outcome.errors)")
            }
        }
    }
}
