import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore

/// A conversion begins before the last byte has come, and counts only when all of them were right.
@Suite struct StreamTests {
    private let server: HubServer
    private let scratch: TemporaryFolder
    private let source = Fixtures.checkpoint("mistral")

    init() throws {
        server = try HubServer()
        scratch = try TemporaryFolder()
        try server.put(folder: source)
    }

    private func convert(to name: String) throws {
        let catalog = try PluginCatalog.standard()
        try AutoBridge.whileDownloading("org/name", catalog: catalog, hub: server.hub()) {
            _ = try $0.importCheckpoint(to: scratch.path(name))
        }
    }

    private func bytes(_ folder: String) throws -> [String: Data] {
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.contains("/weights") }
        return Dictionary(
            uniqueKeysWithValues: try names.map { ($0, try Data(contentsOf: URL(filePath: "\(folder)/\($0)"))) }
        )
    }

    @Test func theResultIsThatOfTheFolder() throws {
        try AutoBridge.fromHF(source).importCheckpoint(to: scratch.path("expected"))
        try convert(to: "found")
        let expected = try bytes(scratch.path("expected"))
        #expect(try !expected.isEmpty && bytes(scratch.path("found")) == expected)
        // What came is in the cache.
        _ = try server.hub(["HF_HUB_OFFLINE": "1"]).folder(of: "org/name", for: .model)
    }

    @Test func wrongBytesLeaveNoCheckpoint() async throws {
        // Right again when they come the second time, which is too late for what was read of them.
        try await server.fail(["match": "GET /models/.*safetensors.sig", "times": 1, "wrong": true])
        #expect(throws: BridgeError.self) { try convert(to: "found") }
        #expect(!FileManager.default.fileExists(atPath: scratch.path("found")))
        try convert(to: "found")
        #expect(try !bytes(scratch.path("found")).isEmpty)
    }

    @Test func bytesAreReadBeforeTheFileIsWhole() async throws {
        let large = HubServer.bytes(8_000_000, seed: 5)
        try server.put("config.json", "{}", in: "models/org/slow")
        try server.put("model.safetensors", large, in: "models/org/slow")
        try await server.fail(["match": "GET /models/org/slow", "times": 9, "drip": 4_000_000])
        let repository = try #require(HubRepository("org/slow"))
        let stream = try HubStream(server.hub().snapshot(of: repository))
        let arrival = try #require(stream.arrivals["model.safetensors"])
        let blobs = "\(server.home)/hub/models--org--slow/blobs"
        #expect(try arrival.bytes(1000..<2000) == Array(large[1000..<2000]))
        // Two seconds are the least that it can take.
        #expect(try FileManager.default.contentsOfDirectory(atPath: blobs).contains { $0.hasSuffix(".incomplete") })
        #expect(try arrival.bytes(large.count - 1000..<large.count) == Array(large.suffix(1000)))
        try stream.confirm()
        #expect(try !FileManager.default.contentsOfDirectory(atPath: blobs).contains { $0.hasSuffix(".incomplete") })
        stream.wait()
    }

    @Test func anErrorElsewhereEndsTheDownload() async throws {
        struct Elsewhere: Error {}
        try await server.fail(["match": "GET /models/.*safetensors", "times": 9, "drip": 1000])
        let start = ContinuousClock.now
        #expect(throws: Elsewhere.self) {
            try AutoBridge.whileDownloading("org/name", catalog: .standard(), hub: server.hub()) { _ in
                throw Elsewhere()
            }
        }
        #expect(ContinuousClock.now - start < .seconds(30))
    }
}
