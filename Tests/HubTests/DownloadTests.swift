import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub
@testable import Network

/// What comes from the hub into the cache.
@Suite struct DownloadTests {
    private let server: HubServer
    private static let content = HubServer.bytes(40_000_000)
    private var large: [UInt8] { Self.content }

    init() throws {
        server = try HubServer()
        try server.put("config.json", "{\"hidden_size\": 7}")
        try server.put("model.safetensors", large)
    }

    private func fetch(_ hub: Hub) throws -> String { try hub.directory(of: "org/name", for: .everything) }

    private func bytes(_ directory: String) throws -> [UInt8] {
        [UInt8](try Data(contentsOf: URL(filePath: "\(directory)/model.safetensors")))
    }

    /// Names in the cache that nobody may be left with.
    private func leftovers() throws -> [String] {
        let all = try FileManager.default.subpathsOfDirectory(atPath: server.home)
        return all.filter { $0.hasSuffix(".incomplete") || $0.hasSuffix(".partial") }
    }

    private func failure(_ hub: Hub) -> String {
        do {
            return "nothing was wrong: \(try fetch(hub))"
        } catch {
            return "\(error)"
        }
    }

    @Test func everyByteIsDownloadedAndTheSecondTimeNoneIsRequested() async throws {
        let directory = try fetch(server.hub())
        #expect(try bytes(directory) == large)
        #expect(try leftovers().isEmpty)
        let before = try await server.log().count
        #expect(try fetch(server.hub()) == directory)
        #expect(try await server.log().count == before)
        #expect(try fetch(server.hub(["HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:1"])) == directory)
    }

    @Test func theLayoutIsThatOfHuggingfaceHub() throws {
        let directory = try fetch(server.hub())
        let root = "\(server.home)/hub/models--org--name"
        let commit = try String(contentsOfFile: "\(root)/refs/main", encoding: .utf8)
        #expect(directory == "\(root)/snapshots/\(commit)")
        let links = try ["config.json", "model.safetensors"].map {
            try FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")
        }
        // `git hash-object` of {"hidden_size": 7}
        #expect(links[0] == "../../blobs/fedc609553e513fa7fbe7e5ae30afe80a733a3ee")
        #expect(links[1].wholeMatch(of: #/\.\./\.\./blobs/[0-9a-f]{64}/#) != nil)
        let tree = try JSON(contentsOf: "\(root)/trees/\(commit).json")
        #expect(tree["format_version"]?.integer == 1)
        #expect(tree["files"]?["model.safetensors"]?["lfs_size"]?.integer == large.count)
    }

    @Test func aConnectionThatIsCutIsResumedAtItsLastByte() async throws {
        try await server.fail(["match": "GET /models/", "times": 2, "cut": 1_000_003])
        #expect(try bytes(fetch(server.hub())) == large)
        let ranges = try await server.log().filter { $0.path.hasPrefix("/models/") }.map(\.range)
        // Whichever piece it was: one begins 1,000,003 bytes behind another, where pieces begin at whole MiB.
        let starts = ranges.compactMap { Int($0.dropFirst("bytes=".count).prefix { $0 != "-" }) }
        #expect(starts.contains { starts.contains($0 - 1_000_003) }, "\(ranges)")
    }

    @Test func aDownloadThatEndedIsResumed() async throws {
        // The first pieces come, the last one never does.
        try await server.fail(["match": "GET /org/name/resolve/.*model", "times": 1000, "status": 500])
        #expect(failure(server.hub()).contains("status 500"))
        try await server.fail(["match": "GET /models/", "times": 1000, "cut": 700_000])
        let impatient = Hub(
            environment: server.hub().environment,
            retryPolicy: RetryPolicy(attempts: 1, initialBackoff: 0)
        )
        // Each attempt brings something, so it goes on to the end.
        #expect(try bytes(fetch(impatient)) == large)
    }

    @Test func downloadedBytesAreNotDownloadedAgain() async throws {
        let cancellation = Cancellation()
        var hub = server.hub()
        hub.context.cancellation = cancellation
        hub.context.progress = { if $0.doneBytes > 8_000_000 { cancellation.cancel() } }
        try await server.fail(["match": "GET /models/", "times": 3, "stall": 5_000_000])
        let error = #expect(throws: BridgeError.self) { try fetch(hub) }
        #expect(error?.code == .cancelled)
        #expect(try leftovers().count == 1)
        try await server.fail()
        let before = try await server.log().count
        #expect(try bytes(fetch(server.hub())) == large)
        let wanted = try await server.log()[before...].filter { $0.path.hasPrefix("/models/") }.map(\.range)
        #expect(!wanted.isEmpty && !wanted.contains { $0.hasPrefix("bytes=0-") }, "\(wanted)")
        #expect(try leftovers().isEmpty)
    }

    @Test func anIncompleteFileWithAWrongStateIsVerified() async throws {
        let blobs = "\(server.home)/hub/models--org--name/blobs"
        let repository = try #require(HubRepository("org/name"))
        let name = try #require(try server.hub().snapshot(of: repository).listing.file("model.safetensors")?.sha256)
        try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
        // As long as one of Bridge's, with a state that records all bytes.
        let path = "\(blobs)/\(name).b41d6e00.incomplete"
        try Data(repeating: 7, count: large.count).write(to: URL(filePath: path))
        let handle = try FileHandle(forUpdating: URL(filePath: path))
        let state = DownloadState(prefix: large.count, parts: [])
        #expect(state.write(to: handle.fileDescriptor, byteCount: large.count))
        #expect(DownloadState(readFrom: handle.fileDescriptor, byteCount: large.count)?.prefix == large.count)
        try handle.close()
        #expect(try self.bytes(fetch(server.hub())) == large)
        // All of them are requested again, none before the wrong checksum is known.
        let ranges = try await server.log().filter { $0.path.hasPrefix("/models/") }.map(\.range)
        #expect(ranges.contains { $0.hasPrefix("bytes=0-") }, "\(ranges)")
        #expect(try leftovers().isEmpty)
    }

    @Test func wrongBytesAreDownloadedOnceMoreAndThenAnError() async throws {
        try await server.fail(["match": "GET /models/", "times": 1, "wrong": true])
        #expect(try bytes(fetch(server.hub())) == large)
        try FileManager.default.removeItem(atPath: server.home)
        try await server.fail(["match": "GET /models/", "times": 1000, "wrong": true])
        let text = failure(server.hub())
        #expect(text.contains("model.safetensors was downloaded twice with the checksum"))
        #expect(try leftovers().isEmpty)
        let blobs = try FileManager.default.contentsOfDirectory(atPath: "\(server.home)/hub/models--org--name/blobs")
        #expect(!blobs.contains { $0.count == 64 })
    }

    @Test func aServerThatIgnoresRangesIsDownloadedFrom() async throws {
        try await server.fail(["match": "GET /models/", "times": 1000, "no_range": true])
        #expect(try bytes(fetch(server.hub())) == large)
    }

    @Test(arguments: [429, 500, 502, 503])
    func aBusyServerIsRetried(_ status: Int) async throws {
        try await server.fail(["match": "GET", "times": 3, "status": .number(JSONNumber(status))])
        #expect(try bytes(fetch(server.hub())) == large)
    }

    @Test func retryAfterIsHonoured() async throws {
        try await server.fail(["match": "revision", "times": 1, "status": 429, "headers": ["Retry-After": "1"]])
        let pauses = Monitor<[Double]>([])
        var hub = server.hub()
        hub.retryPolicy.pause = { seconds, _ in pauses.update { $0.append(seconds) } }
        _ = try fetch(hub)
        #expect(pauses.value == [1])
        try await server.fail(["match": "revision", "times": 9, "status": 429, "headers": ["Retry-After": "86400"]])
        #expect(failure(server.hub(cachePolicy: .forceRevalidate)).contains("a pause of 86400 seconds"))
    }

    @Test func aPauseIsReported() async throws {
        try await server.fail(
            ["match": "revision", "times": 1, "status": 429, "headers": ["Retry-After": "1"]],
            ["match": "GET /models/", "times": 1, "status": 503]
        )
        let outcome = try BridgeProcess.run("hub", "download", "org/name", "--all", environment: server.variables)
        #expect(outcome.status == 0)
        #expect(outcome.errors.contains("status 429; waiting 1 s as the hub requests (2 of 6)"), "\(outcome.errors)")
        #expect(outcome.errors.contains("status 503; trying again (2 of 6)"), "\(outcome.errors)")
        // Whom nobody reaches is asked once more.
        let away = ["HF_ENDPOINT": "http://127.0.0.1:1", "HF_HOME": "\(server.home)-other", "NO_PROXY": "*"]
        let other = try BridgeProcess.run("hub", "ls", "org/name", environment: away)
        #expect(other.errors.contains("trying again (2 of 2)"), "\(other.errors)")
    }

    @Test func aServerThatDoesNotRespondIsATimeout() async throws {
        try await server.fail(["match": "GET /models/", "times": 1000, "hold": true])
        let text = failure(
            Hub(
                environment: server.hub(["HF_HUB_DOWNLOAD_TIMEOUT": "1"]).environment,
                retryPolicy: RetryPolicy(attempts: 1, initialBackoff: 0)
            )
        )
        #expect(text.contains("HF_HUB_DOWNLOAD_TIMEOUT"))
        try await server.fail()
    }

    @Test func concurrentDownloadsLeaveOneCompleteCopy() async throws {
        let hub = server.hub()
        let directories = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<3 { group.addTask { try hub.directory(of: "org/name", for: .everything) } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(directories.count == 1)
        let directory = try #require(directories.first)
        #expect(try bytes(directory) == large)
        #expect(try leftovers().isEmpty)
        // Nobody fetched what another was at: 40 MB are three pieces.
        #expect(try await server.log().filter { $0.path.hasPrefix("/models/") }.count == 3)
    }

    @Test func aDirectoryOfManyPagesIsComplete() throws {
        for number in 0..<120 { try server.put("parts/\(number).txt", "\(number)") }
        let directory = try fetch(server.hub())
        for number in 0..<120 {
            #expect(try String(contentsOfFile: "\(directory)/parts/\(number).txt", encoding: .utf8) == "\(number)")
        }
    }

    @Test func anEmptyFileIsAFile() throws {
        try server.put("empty.txt", "")
        #expect(try Data(contentsOf: URL(filePath: "\(fetch(server.hub()))/empty.txt")).isEmpty)
    }
}
