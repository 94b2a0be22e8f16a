import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub

/// Listing the hub changes nothing in the cache, whose state follows from its content.
@Suite struct CacheInspectionTests {
    private let server: HubServer
    private let repository: HubRepository

    init() throws {
        server = try HubServer()
        repository = try #require(HubRepository("org/name"))
        try server.put(directory: Fixtures.checkpoint("mistral"))
    }

    private func run(_ arguments: String..., variables: [String: String] = [:], shell: String = "exec \"$@\"") throws
        -> BridgeProcess.Outcome
    {
        try BridgeProcess(arguments, shell: shell, environment: server.variables.merging(variables) { $1 }).wait()
    }

    /// The path of the content of a file of weights, and the file.
    private func weights() throws -> (path: String, file: HubFile) {
        let snapshot = try server.hub().snapshot(of: repository)
        let file = try #require(snapshot.listing.files.first { $0.path.hasSuffix(".safetensors") })
        return (snapshot.hub.cache.blob(file, of: repository), file)
    }

    @Test(arguments: [["ls"], ["download", "--dry-run"]]) func listingMovesNoBranch(_ command: [String]) throws {
        _ = try server.hub().directory(of: repository, for: .model)
        let before = TemporaryDirectory.bytes(of: server.home)
        // The branch moves, and its files are not here.
        try server.put("config.json", "{\"other\": 1}")
        let arguments = ["hub", command[0], "org/name"] + command.dropFirst()
        let outcome = try BridgeProcess(arguments, environment: server.variables).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(TemporaryDirectory.bytes(of: server.home) == before)
        _ = try server.hub(["HF_HUB_OFFLINE": "1"]).directory(of: repository, for: .model)
    }

    @Test func listingAnUncachedRepositoryLeavesNothing() throws {
        let outcome = try run("hub", "download", "org/name", "--dry-run")
        #expect(outcome.status == 0 && outcome.output.contains("model-00001"), "\(outcome)")
        #expect(TemporaryDirectory.content(of: server.home).isEmpty)
    }

    @Test func aDownloadThatEndsEarlyMovesNoBranch() async throws {
        _ = try server.hub().directory(of: repository, for: .model)
        let ref = "\(server.home)/hub/models--org--name/refs/main"
        let before = try String(contentsOfFile: ref, encoding: .utf8)
        try server.put("notes.txt", "new")
        try await server.fail(["match": "resolve/.*/notes", "times": 100, "status": 404])
        let hub = server.hub(cachePolicy: .forceRevalidate)
        #expect(throws: BridgeError.self) { try hub.directory(of: repository, for: .model) }
        #expect(try String(contentsOfFile: ref, encoding: .utf8) == before)
        try await server.fail()
        let directory = try hub.directory(of: repository, for: .model)
        #expect(try directory.hasSuffix(String(contentsOfFile: ref, encoding: .utf8)))
        #expect(!directory.hasSuffix(before))
    }

    @Test func aContentOfAnotherCommitCounts() throws {
        _ = try server.hub().directory(of: repository, for: .model)
        try server.put("config.json", "{\"other\": 1}")
        let outcome = try run("hub", "ls", "org/name", "--json")
        let files = try #require(try JSON(parsing: Array(outcome.output.utf8))["files"]?.array)
        let missing = files.filter { $0["cached"]?.bool == false }.map { $0["path"]?.string }
        #expect(missing == ["config.json"])
    }

    @Test func aDamagedContentIsFetchedAgain() throws {
        let directory = try server.hub().directory(of: repository, for: .model)
        let (path, file) = try weights()
        let content = try Data(contentsOf: URL(filePath: path))
        try content.dropLast(3).write(to: URL(filePath: path))
        #expect(try !server.hub().snapshot(of: repository).isCached(file))
        #expect(try server.hub().directory(of: repository, for: .model) == directory)
        #expect(try Data(contentsOf: URL(filePath: "\(directory)/\(file.path)")) == content)
    }

    @Test func whatAnotherProgramHasFinishedLeavesNoPart() throws {
        _ = try server.hub().directory(of: repository, for: .model)
        let (path, file) = try weights()
        let part = server.hub().cache.incomplete(file, of: repository)
        #expect(part.hasPrefix(path))
        try Data(count: 100).write(to: URL(filePath: part))
        _ = try server.hub().directory(of: repository, for: .model)
        #expect(!FileManager.default.fileExists(atPath: part))
        #expect(FileManager.default.fileExists(atPath: path))
    }

    @Test(.enabled(if: SmallDisk.mayMount, "only root may mount a disk"))
    func aCacheThatIsOnlyReadIsEnough() throws {
        let scratch = try TemporaryDirectory()
        let disk = try SmallDisk(at: scratch.url("disk"), kilobytes: 4000)
        let variables = ["HF_HOME": disk.url.path]
        #expect(try run("hub", "download", "org/name", variables: variables).status == 0)
        // As a version of huggingface_hub without listings leaves it.
        try FileManager.default.removeItem(atPath: "\(disk.url.path)/hub/models--org--name/trees")
        let readOnly = "mount -o remount,ro '\(disk.url.path)' || exit 99; exec \"$@\""
        for command in ["download", "ls"] {
            let outcome = try run("hub", command, "org/name", variables: variables, shell: readOnly)
            #expect(outcome.status == 0, "\(outcome.errors)")
        }
    }

    @Test func aCacheWithoutLinksHasItsSizeToo() async throws {
        try server.put("a/b.bin", HubServer.bytes(5000))
        try server.put("c.json", "{}")
        let hub = server.hub()
        let directory = try hub.directory(of: "org/name", for: .everything)
        let before = try #require(try hub.cache.repositories().first { $0.id == "org/name" }).byteCount
        #expect(before >= 5002)
        // As huggingface_hub lays it out where links cannot be made, and as a copy with second names of one file does.
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            let path = "\(directory)/\(name)"
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: path) else { continue }
            let blob = URL(filePath: target, relativeTo: URL(filePath: path).deletingLastPathComponent()).path
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.linkItem(atPath: blob, toPath: path)
        }
        #expect(try hub.cache.repositories().first { $0.id == "org/name" }?.byteCount == before)
        let root = URL(filePath: directory).deletingLastPathComponent().deletingLastPathComponent()
        try FileManager.default.removeItem(at: root.appending(path: "blobs"))
        #expect(try hub.cache.repositories().first { $0.id == "org/name" }?.byteCount == before)
    }
}
