import Foundation
import TestSupport
import Testing

/// Runs that are ended from outside while they write.
@Suite(.serialized) struct KillTests {
    private static func partialIsThere(_ scratch: Scratch) -> Bool {
        FileManager.default.fileExists(atPath: scratch.path(".out.partial/iter_0000000/run_config.yaml"))
    }

    /// Starts an import and waits until it is writing.
    private static func started(_ scratch: Scratch) throws -> BridgeProcess {
        let run = try BridgeProcess([
            "convert", "--hf-model", scratch.path("model"), "--megatron-path", scratch.path("out"),
        ])
        let end = Date().addingTimeInterval(20)
        while !partialIsThere(scratch), run.isRunning, Date() < end { usleep(500) }
        return run
    }

    @Test func aKillAtAnyMomentLeavesTheDestinationAbsentOrWhole() throws {
        let scratch = try Scratch()
        try Models.large(at: scratch.url("model"))
        let arguments = ["convert", "--hf-model", scratch.path("model"), "--megatron-path", scratch.path("out")]
        let clock = ContinuousClock()
        var longest = Duration.zero
        for _ in 0..<2 {
            let start = clock.now
            let outcome = try BridgeProcess(arguments).wait()
            longest = max(longest, clock.now - start)
            #expect(outcome.status == 0, "\(outcome.errors)")
            try FileManager.default.removeItem(atPath: scratch.path("out"))
        }
        let seed = UInt64.random(in: 0 ... .max)
        print("KillTests: seed \(seed), a run takes \(longest)")
        var generator = SplitMix(state: seed)
        var (killed, whole, left) = (0, 0, 0)
        for kill in 0..<20 {
            let delay = longest * Double.random(in: 0..<1.1, using: &generator)
            let run = try BridgeProcess(arguments)
            usleep(UInt32(delay / .microseconds(1)))
            run.send(SIGKILL)
            if try run.wait().signal == SIGKILL { killed += 1 }
            left += Self.partialIsThere(scratch) ? 1 : 0
            if FileManager.default.fileExists(atPath: scratch.path("out")) {
                whole += 1
                let check = try BridgeProcess.run("checkpoint", "check", scratch.path("out"))
                #expect(check.status == 0, "kill \(kill) after \(delay), seed \(seed): \(check.errors)")
            } else {
                let again = try BridgeProcess(arguments).wait()
                #expect(again.status == 0, "kill \(kill) after \(delay), seed \(seed): \(again.errors)")
            }
            #expect(!scratch.content.contains { $0.contains(".partial") }, "kill \(kill) after \(delay), seed \(seed)")
            try FileManager.default.removeItem(atPath: scratch.path("out"))
        }
        print("KillTests: \(killed) killed, \(left) while writing, \(whole) left a whole checkpoint")
        #expect(killed > 0)
    }

    @Test func aKillWhileACheckpointIsReplacedLeavesTheOldOrTheNewOne() throws {
        let scratch = try Scratch()
        try Models.large(at: scratch.url("model"))
        let arguments = ["convert", "--hf-model", scratch.path("model"), "--megatron-path", scratch.path("out")]
        let clock = ContinuousClock()
        let start = clock.now
        #expect(try BridgeProcess(arguments).wait().status == 0)
        let length = clock.now - start
        let seed = UInt64.random(in: 0 ... .max)
        print("KillTests: replacing, seed \(seed)")
        var generator = SplitMix(state: seed)
        for kill in 0..<8 {
            let delay = length * Double.random(in: 0..<1.1, using: &generator)
            let run = try BridgeProcess(arguments + ["--overwrite"])
            usleep(UInt32(delay / .microseconds(1)))
            run.send(SIGKILL)
            _ = try run.wait()
            let check = try BridgeProcess.run("checkpoint", "check", scratch.path("out"))
            #expect(check.status == 0, "kill \(kill) after \(delay), seed \(seed): \(check.errors)")
        }
        #expect(try BridgeProcess(arguments + ["--overwrite"]).wait().status == 0)
        #expect(!scratch.content.contains { $0.contains(".partial") })
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalEndsTheRunWithNothingLeft(_ signal: Int32) throws {
        let scratch = try Scratch()
        try Models.large(at: scratch.url("model"))
        let before = scratch.content
        let run = try Self.started(scratch)
        run.send(signal)
        let outcome = try run.wait()
        expect(outcome, failsWith: 130, mentioning: "interrupted")
        #expect(scratch.content == before)
    }

    @Test func aSecondRunOnTheSameDestinationIsRefused() throws {
        let scratch = try Scratch()
        try Models.large(at: scratch.url("model"))
        let first = try Self.started(scratch)
        // Held here, the first run cannot finish before the second has looked.
        first.send(SIGSTOP)
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
        #expect(!scratch.content.contains { $0.contains(".partial") })
    }

    @Test func whatAKilledRunHasLeftIsClearedAway() throws {
        let scratch = try Scratch()
        try Models.copy("mistral", to: scratch.url("model"))
        try FileManager.default.createDirectory(
            atPath: scratch.path(".out.partial/iter_0000000/huggingface"),
            withIntermediateDirectories: true
        )
        try Data(count: 100).write(to: scratch.url(".out.partial/iter_0000000/old"))
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            scratch.path("model"),
            "--megatron-path",
            scratch.path("out")
        )
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(!scratch.content.contains { $0.contains(".partial") || $0.hasSuffix("old") })
    }

    @Test func aLinkInPlaceOfWhatAKilledRunLeavesIsNotFollowed() throws {
        let scratch = try Scratch()
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
