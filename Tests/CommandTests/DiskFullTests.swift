import Foundation
import TestSupport
import Testing

/// Disks that fill up while a run writes.
@Suite(.serialized) struct DiskFullTests {
    /// How many kB are free when the run starts; the checkpoint takes a bit more than 320, its manifest included.
    static let free = [0, 4, 16, 100, 200, 280, 300, 308, 316, 324, 332, 340, 360, 600]

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aFullDiskLeavesNoFile() throws {
        let scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 800)
        var statuses: [Int32?] = []
        for kilobytes in Self.free {
            let filler = disk.url.appendingPathComponent("filler")
            try Data(count: (800 - kilobytes) << 10).write(to: filler)
            let out = disk.url.appendingPathComponent("a/out").path
            let outcome = try BridgeProcess.run("convert", "--hf-model", scratch.path("model"), "--megatron-path", out)
            statuses.append(outcome.status)
            if outcome.status == 0 {
                #expect(try BridgeProcess.run("checkpoint", "check", out).status == 0)
                try FileManager.default.removeItem(at: disk.url.appendingPathComponent("a"))
            } else {
                expect(outcome, failsWith: 1, mentioning: disk.url.path, "free some")
            }
            #expect(TemporaryDirectory.content(of: disk.url.path) == ["filler"], "with \(kilobytes) kB free")
        }
        #expect(statuses.first == 1)
        #expect(statuses.last == 0)
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aFullDiskKeepsTheExistingCheckpoint() throws {
        let scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 600)
        let out = disk.url.appendingPathComponent("out").path
        #expect(
            try BridgeProcess.run("convert", "--hf-model", scratch.path("model"), "--megatron-path", out).status == 0
        )
        let before = TemporaryDirectory.bytes(of: disk.url.path)
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            scratch.path("model"),
            "--megatron-path",
            out,
            "--overwrite",
            "--tp",
            "2"
        )
        expect(outcome, failsWith: 1, mentioning: disk.url.path, "free some")
        #expect(TemporaryDirectory.bytes(of: disk.url.path) == before)
    }

    @Test func aLimitOnTheSizeOfFilesIsAnErrorLikeAnyOther() throws {
        let scratch = try TemporaryDirectory()
        try Models.copy("mistral", to: scratch.url("model"))
        let before = scratch.content
        let outcome = try BridgeProcess.run(
            "convert",
            "--hf-model",
            scratch.path("model"),
            "--megatron-path",
            scratch.path("out"),
            shell: "ulimit -f 64; exec \"$@\""
        )
        expect(outcome, failsWith: 1, mentioning: "weights_tp00_pp00.safetensors", "too large")
        #expect(scratch.content == before)
    }
}
