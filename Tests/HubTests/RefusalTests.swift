import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import HuggingFaceHub

/// What goes wrong is one sentence with what to do.
@Suite struct RefusalTests {
    private let server: HubServer

    init() throws {
        server = try HubServer()
        try server.put("config.json", "{}")
        try server.put("model.safetensors", HubServer.bytes(2000))
        try server.put("config.json", "{}", in: "models/org/gated")
        try server.put(".repo.json", "{\"gated\": true}", in: "models/org/gated")
    }

    private func failure(_ id: String, _ variables: [String: String] = [:], for purpose: HubPurpose = .everything)
        -> BridgeError
    {
        do {
            _ = try server.hub(variables).directory(of: id, for: purpose)
            return BridgeError(.badArgument, "nothing was wrong")
        } catch let error as BridgeError {
            return error
        } catch {
            return BridgeError(.badArgument, "no sentence: \(error)")
        }
    }

    @Test func aNameThatIsNotThereComesWithThoseLikeIt() throws {
        _ = try server.hub().directory(of: "org/name", for: .everything)
        let error = failure("org/naem", ["HF_TOKEN": HubServer.token])
        #expect(error.code == .network)
        #expect(error.message.contains("no model org/naem") && error.names == ["org/name"])
        #expect(failure("org/naem").message.contains("hf auth login"))
        #expect(failure("org/quitesomethingelse").names.isEmpty)
    }

    @Test func aRevisionThatIsNotThereIsNamed() {
        #expect(failure("org/name@v9").message.contains("no branch, tag or commit 'v9'"))
    }

    @Test func termsAreLinked() {
        #expect(failure("org/gated").message.contains("accept its terms at \(server.endpoint)/org/gated, then log in"))
        #expect(
            failure("org/gated", ["HF_TOKEN": HubServer.token]).message.contains(
                "accept them at \(server.endpoint)/org/gated"
            )
        )
    }

    @Test func aWrongTokenIsReported() {
        #expect(failure("org/name", ["HF_TOKEN": "hf_wrong"]).message.contains("does not accept the token"))
    }

    @Test func withoutANetworkTheErrorNamesWhatIsMissing() throws {
        #expect(failure("org/name", ["HF_HUB_OFFLINE": "1"]).message.contains("HF_HUB_OFFLINE"))
        let snapshot = try server.hub().snapshot(of: try #require(HubRepository("org/name")))
        try snapshot.fetch(snapshot.listing.files.filter { $0.path == "config.json" })
        let error = failure("org/name", ["HF_HUB_OFFLINE": "1"])
        #expect(error.message.contains("is incomplete") && error.names == ["model.safetensors"])
    }

    @Test func withoutANetworkWeightsThatPythonDidNotFetchAreMissing() throws {
        // huggingface_hub of a version without listings, asked for one file.
        let root = "\(server.home)/hub/models--org--name"
        let commit = String(repeating: "c", count: 40)
        for directory in ["refs", "blobs", "snapshots/\(commit)"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true)
        }
        try commit.write(toFile: "\(root)/refs/main", atomically: true, encoding: .utf8)
        try "{}".write(toFile: "\(root)/snapshots/\(commit)/config.json", atomically: true, encoding: .utf8)
        let message = failure("org/name", ["HF_HUB_OFFLINE": "1"], for: .model).message
        #expect(message.contains("it has no weights") && message.contains("HF_HUB_OFFLINE"), "\(message)")
        #expect(!message.contains("check the name"))
    }

    @Test func onlyAWholeCacheIsAdvised() throws {
        let away = ["HF_ENDPOINT": "http://127.0.0.1:1"]
        func message() throws -> String {
            let hub = server.hub(away, cachePolicy: .forceRevalidate)
            let error = #expect(throws: BridgeError.self) { try hub.directory(of: "org/name", for: .model) }
            return error?.message ?? ""
        }
        let snapshot = try server.hub().snapshot(of: try #require(HubRepository("org/name")))
        try snapshot.fetch(snapshot.listing.files.filter { $0.path == "config.json" })
        #expect(try !message().contains("HF_HUB_OFFLINE"))
        try snapshot.fetch(for: .model)
        #expect(try message().contains("set HF_HUB_OFFLINE=1"))
    }

    @Test func anUnreachableAddressIsNamed() {
        let text = failure("org/name", ["HF_ENDPOINT": "http://127.0.0.1:1"]).message
        #expect(text.contains("http://127.0.0.1:1 cannot be reached"))
        #expect(failure("org/name", ["HF_ENDPOINT": "ftp://127.0.0.1"]).message.contains("check HF_ENDPOINT"))
    }

    @Test func aProxyThatIsNotThereIsTheReason() {
        let text = failure("org/name", ["http_proxy": "http://127.0.0.1:1", "NO_PROXY": ""]).message
        #expect(text.contains("127.0.0.1"), "\(text)")
        #expect(
            failure("org/name", ["HTTP_PROXY": "http://127.0.0.1:1", "no_proxy": "127.0.0.1,localhost"]).message
                == "nothing was wrong"
        )
    }

    @Test func aWebPageIsNotAHub() async throws {
        try await server.fail(["match": "revision", "times": 1, "status": 200])
        #expect(failure("org/name").message.contains("it is not a hub"))
    }

    @Test(arguments: ["../x", "/etc/passwd", "a//b", "a/../../b", "a\u{0}b", ""])
    func aListingWithPathsOutsideItsDirectoryIsRefused(_ path: String) {
        let entry: JSON = [
            "type": "file", "path": .string(path), "size": 3, "oid": .string(String(repeating: "a", count: 40)),
        ]
        #expect(throws: BridgeError.self) { try HubFile(response: entry, of: "a hub") }
    }

    @Test func aModelOfOtherFormsIsRefusedWithAHint() throws {
        try server.put("config.json", "{}", in: "models/org/pickled")
        try server.put("pytorch_model.bin", "x", in: "models/org/pickled")
        #expect(failure("org/pickled", for: .model).message.contains("safetensors"))
    }

    @Test(arguments: ["org/name", "a/b@main", "a/b@refs/pr/1", "A.b-c_d/e"])
    func anIdIsAnId(_ text: String) { #expect(HubRepository(text) != nil) }

    @Test(arguments: [
        "", "name", "/a/b", "a/b/c", "a/..", "a/b@", "a/b@../x", "a/b@x/../y", "-a/b", "a/b--c", "a b/c", "a/b@x y",
        "./a",
    ])
    func aPathIsNotAnId(_ text: String) { #expect(HubRepository(text) == nil) }
}
