import BridgeCore
import Foundation
import Synchronization
import TestSupport
import Testing

/// Files that somebody writes to while they are converted.
@Suite struct SourceChangeTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// Options of a conversion that finds a file changed when all is written.
    private func options(_ change: @escaping @Sendable () throws -> Void) -> ConversionOptions {
        let isChanged = Atomic(false)
        var context = RunContext()
        context.progress = { progress in
            guard progress.doneBytes == progress.totalBytes, !isChanged.exchange(true, ordering: .relaxed) else {
                return
            }
            do { try change() } catch { Issue.record(error) }
        }
        return ConversionOptions(context: context)
    }

    /// Writes a byte into a file as a copy over it would, or gives its name to a copy of it.
    private static func change(_ path: String, replaces: Bool) throws {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        if replaces { return try bytes.write(to: URL(fileURLWithPath: path), options: .atomic) }
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try handle.seek(toOffset: UInt64(bytes.count - 1))
        try handle.write(contentsOf: [~(bytes.last ?? 0)])
        try handle.close()
    }

    private func expectNothing(_ body: () throws -> Void, naming file: String) {
        let before = scratch.content
        do {
            try body()
            Issue.record("\(file) was changed and nobody noticed")
        } catch let error as BridgeError {
            #expect(error.code == .fileSystem && error.message.contains(file), "\(error)")
            #expect(error.message.contains("changed while it was read"), "\(error)")
        } catch {
            Issue.record("\(error)")
        }
        #expect(scratch.content == before)
    }

    @Test(arguments: [false, true]) func aChangedFileEndsEveryConversion(_ replaces: Bool) throws {
        let model = try Models.copy("mistral", to: scratch.url("model")).path
        let names = TemporaryDirectory.content(of: model)
        let shard = try #require(names.first { $0.hasSuffix(".safetensors") })
        let native = scratch.path("native")
        let out = scratch.path("out")
        // Weights and side files alike.
        for name in [shard, "tokenizer.json"] {
            let file = "\(model)/\(name)"
            let bridge = try AutoBridge.fromHF(model)
            expectNothing(
                {
                    try bridge.importCheckpoint(
                        to: out,
                        options: options { try Self.change(file, replaces: replaces) }
                    )
                },
                naming: file
            )
        }
        try AutoBridge.fromHF(model).importCheckpoint(to: native)
        let weights = "\(native)/iter_0000000/weights_tp00_pp00.safetensors"
        let bytes = try Data(contentsOf: URL(fileURLWithPath: weights))
        expectNothing(
            {
                let change = options { try Self.change(weights, replaces: replaces) }
                try AutoBridge.fromMegatron(native).exportCheckpoint(from: native, to: out, options: change)
            },
            naming: weights
        )
        try bytes.write(to: URL(fileURLWithPath: weights))
        expectNothing(
            {
                let change = options { try Self.change(weights, replaces: replaces) }
                try NativeCheckpoint(path: native).reshard(to: out, options: change)
            },
            naming: weights
        )
    }

    @Test func aMergeNoticesToo() throws {
        let bench = try TrainBench()
        let settings = ["peft.scheme=lora", "peft.dim=4", "train.train_iters=2"]
        #expect(try BridgeProcess(bench.arguments("run") + settings).wait().status == 0)
        let toy = bench.scratch.path("toy")
        let shard = try #require(TemporaryDirectory.content(of: toy).first { $0.hasSuffix(".safetensors") })
        let out = scratch.path("out")
        let bridge = try AutoBridge.fromMegatron(bench.scratch.path("run"))
        expectNothing(
            {
                try bridge.exportMerged(
                    from: bench.scratch.path("run"),
                    to: out,
                    on: TestEngine.cpu(threadCount: 1),
                    options: options { try Self.change("\(toy)/\(shard)", replaces: false) }
                )
            },
            naming: shard
        )
    }

    @Test func filesAreKnownByWhatTheyAre() throws {
        for name in ["a", "b/c", "b/d"] {
            let url = scratch.url("files/\(name)")
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(name.utf8).write(to: url)
        }
        let files = SourceFiles([scratch.path("files"), nil, "org/name"])
        try files.confirmUnchanged()
        // What was read of a file that is gone by now is one state of it.
        try FileManager.default.removeItem(at: scratch.url("files/b/d"))
        try files.confirmUnchanged()
        try Self.change(scratch.path("files/b/c"), replaces: false)
        #expect(throws: BridgeError.self) { try files.confirmUnchanged() }
    }
}
