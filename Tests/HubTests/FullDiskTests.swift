import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Disks that fill up while something is downloaded.
@Suite(.serialized) struct FullDiskTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory
    private let content: [UInt8]

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
        content = try server.put("model.safetensors", HubServer.bytes(3_000_000))
        try server.put("config.json", "{}")
    }

    private func download(to home: String, shell: String = "exec \"$@\"", waiting seconds: Int = 10) throws
        -> BridgeProcess
    {
        try BridgeProcess(
            ["hub", "download", "org/name", "--all"],
            shell: shell,
            environment: server.variables.merging(["HF_HOME": home, "HF_HUB_DOWNLOAD_TIMEOUT": "\(seconds)"]) { $1 }
        )
    }

    /// Contents below a directory that have their own names though they are not whole.
    private func halves(_ home: String) -> [String] {
        let whole = TemporaryDirectory.bytes(of: home).filter {
            $0.key.contains("/blobs/") && !$0.key.hasSuffix(".incomplete")
        }
        return whole.filter { $0.key.split(separator: "/").last?.count == 64 && [UInt8]($0.value) != content }.map(
            \.key
        )
    }

    private func isComplete(_ home: String) throws -> Bool {
        let directory = try server.hub(["HF_HOME": home, "HF_HUB_OFFLINE": "1"]).directory(
            of: "org/name",
            for: .everything
        )
        return try [UInt8](Data(contentsOf: URL(filePath: "\(directory)/model.safetensors"))) == content
    }

    @Test func aLimitOnTheSizeOfFilesIsAnError() throws {
        let home = scratch.path("home")
        let outcome = try download(to: home, shell: "ulimit -f 2048; exec \"$@\"").wait()
        expect(outcome, failsWith: 1, mentioning: home, "too large", "ulimit -f")
        #expect(halves(home).isEmpty)
        #expect(throws: BridgeError.self) { try isComplete(home) }
        #expect(try download(to: home).wait().status == 0)
        #expect(try isComplete(home))
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func noDownloadStartsOnADiskThatIsTooSmall() async throws {
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 1000)
        expect(try download(to: disk.url.path).wait(), failsWith: 1, mentioning: disk.url.path, "HF_HUB_CACHE")
        #expect(try await !server.log().contains { $0.path.hasPrefix("/models/") })
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func downloadedBytesNeedNoMoreSpace() async throws {
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 4000)
        try await server.fail(["match": "GET /models/", "times": 9, "stall": 2_000_000])
        let run = try download(to: disk.url.path, waiting: 600)
        try run.wait(until: "2_000_000 bytes are on the disk") { try disk.usedByteCount() >= 2_000_000 }
        run.send(SIGINT)
        _ = try run.wait()
        // Of 3 MB 1 MB is missing, and 2 MB are free.
        try await server.fail()
        let outcome = try download(to: disk.url.path).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try isComplete(disk.url.path))
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a small disk"))
    func aDiskThatFillsUpKeepsTheDownloadedBytes() async throws {
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 4000)
        try await server.fail(["match": "GET /models/", "times": 9, "stall": 1_000_000])
        let run = try download(to: disk.url.path, waiting: 600)
        try run.wait(until: "1_000_000 bytes are on the disk") { try disk.usedByteCount() >= 1_000_000 }
        let filler = disk.url.appending(path: "filler")
        // Takes what is left, and fails at the end of it.
        try? Data(count: 4000 << 10).write(to: filler)
        // The hub goes on where it stopped.
        try await server.fail()
        expect(try run.wait(), failsWith: 1, mentioning: disk.url.path, "no space is left")
        #expect(halves(disk.url.path).isEmpty)
        try FileManager.default.removeItem(at: filler)
        let before = try await server.log().count
        let outcome = try download(to: disk.url.path).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        let later = try await server.log()[before...].filter { $0.path.hasPrefix("/models/") }
        #expect(!later.isEmpty && !later.contains { $0.range.hasPrefix("bytes=0-") }, "\(later.map(\.range))")
        #expect(try isComplete(disk.url.path))
    }
}
