import Foundation
import TestSupport
import Testing

/// Runs that are ended from outside while they write.
@Suite(.serialized) struct KillTests {
    private static let partial = ".out.partial"

    /// The arguments of an import that writes several blocks of each file, some of them past the page cache.
    private static func arguments(_ scratch: TemporaryDirectory) throws -> [String] {
        let made = try BridgeProcess(
            ["toy", "--family", "mistral", "--output", scratch.path("model")]
                + ["--hidden-size", "240", "--num-layers", "4", "--dtype", "float32"]
        ).wait()
        try #require(made.status == 0, "\(made.errors)")
        return ["convert", "--hf-model", scratch.path("model"), "--megatron-path", scratch.path("out")]
    }

    private static func hasPartial(_ scratch: TemporaryDirectory) -> Bool {
        scratch.content.contains { $0.contains(partial) }
    }

    /// Starts an import that stops itself before its first write.
    private static func stopped(_ scratch: TemporaryDirectory) throws -> BridgeProcess {
        let run = try FaultRun(arguments: arguments(scratch), under: scratch.path(partial)).start("pwrite", 1, .stop)
        try run.waitUntilStopped()
        return run
    }

    @Test func aKillAtAnySystemCallLeavesTheDestinationAbsentOrComplete() throws {
        let scratch = try TemporaryDirectory()
        let arguments = try Self.arguments(scratch)
        let run = FaultRun(arguments: arguments, under: scratch.path)
        let count = try run.count(FaultRun.anyCall, in: scratch)
        try #require(count > 20)
        try FileManager.default.removeItem(atPath: scratch.path("out"))
        for number in 1...count {
            let killed = try run.run(FaultRun.anyCall, number, .kill)
            #expect(killed.signal == SIGKILL, "call \(number) of \(count): \(killed.errors)")
            if FileManager.default.fileExists(atPath: scratch.path("out")) {
                let check = try BridgeProcess.run("checkpoint", "check", scratch.path("out"))
                #expect(check.status == 0, "call \(number) of \(count): \(check.errors)")
            } else {
                let again = try BridgeProcess(arguments).wait()
                #expect(again.status == 0, "call \(number) of \(count): \(again.errors)")
            }
            #expect(!Self.hasPartial(scratch), "call \(number) of \(count)")
            try FileManager.default.removeItem(atPath: scratch.path("out"))
        }
    }

    @Test func aKillWhileACheckpointIsReplacedLeavesTheOldOrTheNewOne() throws {
        let scratch = try TemporaryDirectory()
        let arguments = try Self.arguments(scratch)
        #expect(try BridgeProcess(arguments).wait().status == 0)
        let replacing = arguments + ["--overwrite"]
        let run = FaultRun(arguments: replacing, under: scratch.path)
        let count = try run.count(FaultRun.anyCall, in: scratch)
        try #require(count > 20)
        for number in 1...count {
            let killed = try run.run(FaultRun.anyCall, number, .kill)
            #expect(killed.signal == SIGKILL, "call \(number) of \(count): \(killed.errors)")
            let check = try BridgeProcess.run("checkpoint", "check", scratch.path("out"))
            #expect(check.status == 0, "call \(number) of \(count): \(check.errors)")
        }
        #expect(try BridgeProcess(replacing).wait().status == 0)
        #expect(!Self.hasPartial(scratch))
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalEndsTheRunWithNothingLeft(_ signal: Int32) throws {
        let scratch = try TemporaryDirectory()
        let run = try Self.stopped(scratch)
        #expect(Self.hasPartial(scratch))
        run.resume(with: signal)
        let outcome = try run.wait()
        expect(outcome, failsWith: 130, mentioning: "interrupted")
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == ["model"])
    }

    @Test func aSecondRunOnTheSameDestinationIsRefused() throws {
        let scratch = try TemporaryDirectory()
        let first = try Self.stopped(scratch)
        let second = try BridgeProcess.run(
            "convert",
            "--hf-model",
            scratch.path("model"),
            "--megatron-path",
            scratch.path("out")
        )
        first.send(SIGCONT)
        expect(second, failsWith: 1, mentioning: scratch.path("out"), "another run is writing", "wait for it")
        #expect(try first.wait().status == 0)
        #expect(try BridgeProcess.run("checkpoint", "check", scratch.path("out")).status == 0)
        #expect(!Self.hasPartial(scratch))
    }

    @Test func thePartialResultOfAKilledRunIsRemoved() throws {
        let scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        try FileManager.default.createDirectory(
            atPath: scratch.path(".out.partial/iter_0000000/huggingface"),
            withIntermediateDirectories: true
        )
        try Data(count: 100).write(to: scratch.url(".out.partial/iter_0000000/old"))
        try BridgeProcess.convert(scratch.path("model"), to: scratch.path("out"))
        #expect(!scratch.content.contains { $0.contains(".partial") || $0.hasSuffix("old") })
    }

    @Test func aLinkWithTheNameOfAPartialResultIsNotFollowed() throws {
        let scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        try FileManager.default.createDirectory(atPath: scratch.path("precious"), withIntermediateDirectories: false)
        try Data(count: 10).write(to: scratch.url("precious/file"))
        try FileManager.default.createSymbolicLink(
            atPath: scratch.path(".out.partial"),
            withDestinationPath: "precious"
        )
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            scratch.path("model"),
            "--megatron-path",
            scratch.path("out")
        )
        expect(outcome, failsWith: 1, mentioning: ".out.partial")
        #expect(FileManager.default.fileExists(atPath: scratch.path("precious/file")))
    }
}
