import Foundation
import JSONTree
import Synchronization
import TestSupport
import Testing

@testable import BridgeCore
@testable import BridgeSupport
@testable import HuggingFaceHub

/// A conversion starts before the download ends, and is kept only when all bytes are verified.
@Suite struct StreamTests {
    private let server: HubServer
    private let scratch: TemporaryDirectory
    private let source = Fixtures.checkpoint("mistral")

    init() throws {
        server = try HubServer()
        scratch = try TemporaryDirectory()
        try server.put(directory: source)
    }

    private func convert(to name: String) throws {
        let catalog = try PluginCatalog.standard()
        try AutoBridge.whileDownloading("org/name", catalog: catalog, hub: server.hub()) {
            _ = try $0.importCheckpoint(to: scratch.path(name))
        }
    }

    private func bytes(_ directory: String) throws -> [String: Data] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: directory).filter { $0.contains("/weights") }
        return Dictionary(
            uniqueKeysWithValues: try names.map { ($0, try Data(contentsOf: URL(filePath: "\(directory)/\($0)"))) }
        )
    }

    @Test func theResultEqualsThatOfTheDirectory() throws {
        try AutoBridge.fromHF(source).importCheckpoint(to: scratch.path("expected"))
        try convert(to: "found")
        let expected = try bytes(scratch.path("expected"))
        #expect(try !expected.isEmpty && bytes(scratch.path("found")) == expected)
        // What came is in the cache.
        _ = try server.hub(["HF_HUB_OFFLINE": "1"]).directory(of: "org/name", for: .model)
    }

    @Test func wrongBytesLeaveNoCheckpoint() async throws {
        // Right again when they come the second time, which is too late for what was read of them.
        try await server.fail(["match": "GET /models/.*safetensors.sig", "times": 1, "wrong": true])
        #expect(throws: BridgeError.self) { try convert(to: "found") }
        #expect(!FileManager.default.fileExists(atPath: scratch.path("found")))
        try convert(to: "found")
        #expect(try !bytes(scratch.path("found")).isEmpty)
    }

    @Test(arguments: [1, 3]) func wrongBytesAreReportedBeforeTheirContent(_ times: Int) async throws {
        let number = JSON.number(JSONNumber(times))
        try await server.fail(["match": "GET /models/.*safetensors.sig", "times": number, "wrong": true])
        let error = #expect(throws: BridgeError.self) { try convert(to: "found") }
        #expect(error?.code == .network)
        #expect(error?.message.contains("differs from the hub's file") == true, "\(error as Any)")
        try await server.fail()
        try convert(to: "found")
        #expect(try !bytes(scratch.path("found")).isEmpty)
    }

    @Test func aDamagedHeaderFromAnEarlierDownloadIsDownloadedAgain() async throws {
        let repository = try #require(HubRepository("org/name"))
        let snapshot = try server.hub().snapshot(of: repository)
        for file in snapshot.listing.files where file.path.hasSuffix(".safetensors") {
            let part = snapshot.hub.cache.incomplete(file, of: repository)
            try Files.createDirectory(Files.parent(of: part))
            try Data(repeating: 0xFE, count: file.byteCount).write(to: URL(filePath: part))
            let handle = try FileHandle(forUpdating: URL(filePath: part))
            let mark = DownloadState(prefix: file.byteCount - 5, parts: [])
            #expect(mark.write(to: handle.fileDescriptor, byteCount: file.byteCount))
            try handle.close()
        }
        try convert(to: "found")
        #expect(try !bytes(scratch.path("found")).isEmpty)
    }

    @Test func theStartOfEveryFileIsDownloadedFirst() async throws {
        let count = 16
        let names = (1...count).map { "model-\($0)-of-\(count).safetensors" }
        let map = names.map { "\"\($0)\": \"\($0)\"" }.joined(separator: ", ")
        try server.put("config.json", "{}", in: "models/org/many")
        try server.put("model.safetensors.index.json", "{\"weight_map\": {\(map)}}", in: "models/org/many")
        // Contents differ, or one would do for all.
        for (index, name) in names.enumerated() {
            try server.put(name, HubServer.bytes(1_200_000, seed: UInt64(index + 2)), in: "models/org/many")
        }
        let shown = Mutex(0)
        var hub = server.hub()
        hub.context.progress = { progress in shown.withLock { $0 = max($0, progress.totalBytes) } }
        let stream = try HubStream(hub.snapshot(of: try #require(HubRepository("org/many"))))
        try stream.confirm()
        stream.wait()
        let ranges = try await server.log().filter { $0.path.hasPrefix("/models/") }.map(\.range)
        #expect(ranges.count == 2 * count)
        // When the rest of a file is asked for, the other connections may still be about to ask for the start of one each.
        let early = ranges.prefix { $0 == "bytes=0-1048575" }
        #expect(early.count > count - HubDownload.mostConnections, "\(ranges)")
        #expect(shown.withLock { $0 } == count * 1_200_000)
    }

    @Test func theProgressOfTheDownloadIsShownUntilItIsHidden() async throws {
        let source = server
        try await source.fail(["match": "GET /models/.*safetensors", "times": 9, "stall": 40_000])
        let shown = Monitor(0)
        var hub = server.hub(["HF_HUB_DOWNLOAD_TIMEOUT": "600"])
        hub.context.progress = { _ in shown.update { $0 += 1 } }
        let stream = try HubStream(hub.snapshot(of: try #require(HubRepository("org/name"))))
        #expect(shown.wait { $0 > 2 })
        stream.hide()
        let before = shown.value
        try await source.fail()
        try stream.confirm()
        stream.wait()
        #expect(shown.value == before)
    }

    @Test func bytesAreReadBeforeTheFileIsComplete() async throws {
        let large = HubServer.bytes(8_000_000, seed: 5)
        try server.put("config.json", "{}", in: "models/org/slow")
        try server.put("model.safetensors", large, in: "models/org/slow")
        try await server.fail(["match": "GET /models/org/slow", "times": 9, "stall": 300_000])
        let repository = try #require(HubRepository("org/slow"))
        let stream = try HubStream(server.hub(["HF_HUB_DOWNLOAD_TIMEOUT": "600"]).snapshot(of: repository))
        let pendingFile = try #require(stream.pendingFiles["model.safetensors"])
        let blobs = "\(server.home)/hub/models--org--slow/blobs"
        func isIncomplete() throws -> Bool {
            try FileManager.default.contentsOfDirectory(atPath: blobs).contains { $0.hasSuffix(".incomplete") }
        }
        #expect(try pendingFile.bytes(1000..<2000) == Array(large[1000..<2000]))
        #expect(try isIncomplete())
        try await server.fail()
        #expect(try pendingFile.bytes(large.count - 1000..<large.count) == Array(large.suffix(1000)))
        try stream.confirm()
        #expect(try !isIncomplete())
        stream.wait()
    }

    /// The hub sends no more, so that nothing but the error ends the download.
    @Test func anErrorElsewhereEndsTheDownload() async throws {
        struct Elsewhere: Error {}
        try await server.fail(["match": "GET /models/.*safetensors", "times": 9, "stall": 40_000])
        #expect(throws: Elsewhere.self) {
            let hub = server.hub(["HF_HUB_DOWNLOAD_TIMEOUT": "600"])
            try AutoBridge.whileDownloading("org/name", catalog: .standard(), hub: hub) { _ in throw Elsewhere() }
        }
        try await server.fail()
    }
}
