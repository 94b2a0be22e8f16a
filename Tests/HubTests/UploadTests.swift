import Foundation
import JSONTree
import TestSupport
import Testing

@testable import BridgeCore
@testable import Tokenizers

/// What goes to the hub.
@Suite struct UploadTests {
    private let server: HubServer
    private let directory: TemporaryDirectory
    /// In several parts, in one, and by the commit itself.
    private let files: [String: [UInt8]] = [
        "model.safetensors": HubServer.bytes(300_001), "small.safetensors": HubServer.bytes(500, seed: 2),
        "config.json": Array("{\"hidden_size\": 3}".utf8), "sub/notes.txt": Array("ä note".utf8), "empty.txt": [],
        "huggingface/.safetensors/headers.json": Array("{}".utf8), ".gitattributes": Array("*.bin".utf8),
    ]
    /// What is no part of what the directory holds, and what the hub ignores.
    private static let foreign = [
        ".DS_Store", ".cache/huggingface/x", ".env", ".git/config", "left.ignored", "sub/a.incomplete", "sub/b.partial",
    ]

    init() throws {
        server = try HubServer()
        directory = try TemporaryDirectory()
        for (path, bytes) in files.map({ ($0.key, $0.value) }) + Self.foreign.map({ ($0, [1]) }) {
            let url = URL(filePath: directory.path(path))
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(),
                withIntermediateDirectories: true
            )
            try Data(bytes).write(to: url)
        }
    }

    private func upload(_ hub: Hub, to id: String = "me/new") throws -> HubUpload.Report {
        try HubUpload(directory.path, to: #require(HubRepository(id)), of: hub).run()
    }

    private var hub: Hub { server.hub(["HF_TOKEN": HubServer.token]) }

    private func stored(_ id: String = "me/new") throws -> [String: [UInt8]] {
        let root = server.root.appending(path: "models/\(id)").path
        let names = try FileManager.default.subpathsOfDirectory(atPath: root)
        return Dictionary(
            uniqueKeysWithValues: try names.compactMap { name in
                var isDirectory: ObjCBool = false
                _ = FileManager.default.fileExists(atPath: "\(root)/\(name)", isDirectory: &isDirectory)
                return isDirectory.boolValue
                    ? nil : (name, [UInt8](try Data(contentsOf: URL(filePath: "\(root)/\(name)"))))
            }
        )
    }

    @Test func everyFileArrivesAndComesBack() throws {
        let report = try upload(hub)
        let largeByteCount = files.reduce(0) { $0 + ($1.key.hasSuffix(".safetensors") ? $1.value.count : 0) }
        #expect(try stored() == files)
        #expect(report.fileCount == files.count && report.sentByteCount == largeByteCount)
        // Of a directory that stays here its name says enough.
        #expect(
            report.leftOut.sorted() == [
                ".DS_Store", ".cache", ".env", ".git", "left.ignored", "sub/a.incomplete", "sub/b.partial",
            ]
        )
        let back = try hub.directory(of: "me/new", for: .everything)
        #expect(back.hasSuffix(report.commit))
        for (path, bytes) in files { #expect([UInt8](try Data(contentsOf: URL(filePath: "\(back)/\(path)"))) == bytes) }
    }

    @Test func whatIsThereIsNotSentAgain() async throws {
        _ = try upload(hub)
        let before = try await server.log().count
        #expect(try upload(hub, to: "me/other").sentByteCount == 0)
        #expect(try await server.log()[before...].allSatisfy { $0.method != "PUT" })
        #expect(try stored("me/other") == files)
    }

    @Test func theTokenDoesNotGoToTheStorage() async throws {
        _ = try upload(hub)
        let sent = try await server.log().filter { $0.method == "PUT" }
        // 300,001 bytes in parts of 65,536, and 500 in one.
        #expect(sent.count == 6 && sent.allSatisfy { $0.authorization.isEmpty })
    }

    @Test func aPartThatFailsIsSentAgain() async throws {
        try await server.fail(["match": "PUT", "times": 3, "status": 500])
        _ = try upload(hub)
        #expect(try stored() == files)
    }

    @Test func aCommitThatFailsIsNotMadeTwice() async throws {
        try await server.fail(["match": "commit", "times": 9, "status": 503])
        #expect(throws: BridgeError.self) { try upload(hub) }
        #expect(try await server.log().count { $0.path.contains("/commit/") } == 1)
        #expect(try stored().isEmpty)
    }

    @Test func withoutATokenNothingIsRequested() async throws {
        let error = #expect(throws: BridgeError.self) { try upload(server.hub()) }
        #expect(error?.message.contains("HF_TOKEN") == true)
        #expect(try await server.log().isEmpty)
    }

    @Test func whatCannotBePushedIsNotMade() throws {
        let out = directory.path("made")
        let export = [
            "convert", "export", "--megatron-path", directory.path, "--hf-path", out, "--push-to-hub", "me/new",
        ]
        expect(
            try BridgeProcess(export, environment: server.variables).wait(),
            failsWith: 1,
            mentioning: "uploading to me/new requires authentication"
        )
        let offline = server.variables.merging(["HF_TOKEN": HubServer.token, "HF_HUB_OFFLINE": "1"]) { $1 }
        expect(
            try BridgeProcess(export, environment: offline).wait(),
            failsWith: 1,
            mentioning: "me/new cannot be uploaded while HF_HUB_OFFLINE"
        )
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test func aPlanListsWhatWouldBeUploaded() throws {
        let megatron = directory.path("megatron")
        let model = Fixtures.checkpoint("mistral")
        #expect(try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", megatron).status == 0)
        let export = [
            "convert", "export", "--megatron-path", megatron, "--hf-path", directory.path("made"), "--dry-run",
            "--push-to-hub", "me/new",
        ]
        let outcome = try BridgeProcess(export, environment: server.variables).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(
            outcome.output.contains("would upload \(directory.path("made"))") && outcome.output.contains("to me/new")
        )
        let plan = try BridgeProcess(export + ["--json"], environment: server.variables).wait()
        #expect(try JSON(parsing: Array(plan.output.utf8))["push_to_hub"]?.string == "me/new", "\(plan.output)")
    }

    @Test func aMegatronCheckpointIsNotLookedUpOnTheHub() throws {
        expect(
            try BridgeProcess.run(
                "convert",
                "export",
                "--megatron-path",
                "me/new",
                "--hf-path",
                directory.path("made")
            ),
            failsWith: 1,
            mentioning: "bridge convert --hf-model me/new"
        )
    }

    /// What a link of a stranger's directory may lead to.
    private func link(_ name: String, _ target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: directory.path(name), withDestinationPath: target)
    }

    /// A file and a directory outside of what is uploaded.
    private func secrets() throws -> TemporaryDirectory {
        let outside = try TemporaryDirectory()
        try outside.write(Array("secret".utf8), to: "key.txt")
        return outside
    }

    @Test(arguments: [
        ("notes.txt", "key.txt", "notes.txt is a link to"),
        ("tokenizer.json", "key.txt", "tokenizer.json is a link to"),
        // No weights, whatever its name says.
        ("extra.safetensors", "key.txt", "extra.safetensors is a link to"), ("private", "", "private is a link to"),
        ("sub/deep.txt", "key.txt", "sub/deep.txt is a link to"),
    ]) func aLinkThatLeadsOutIsNotUploaded(_ name: String, _ target: String, _ message: String) async throws {
        let outside = try secrets()
        try link(name, target.isEmpty ? outside.path : outside.path(target))
        for more in [[], ["--dry-run"]] {
            let outcome = try BridgeProcess(
                ["hub", "upload", "me/new", directory.path] + more,
                environment: server.variables.merging(["HF_TOKEN": HubServer.token]) { $1 }
            ).wait()
            expect(outcome, failsWith: 1, mentioning: message, outside.path, "put a copy of the target file here")
        }
        #expect(try await server.log().isEmpty)
    }

    @Test func linksThatStayAndThoseOfTheHubsCacheAreUploaded() throws {
        let outside = try TemporaryDirectory()
        let blobs = "models--org--name/blobs"
        let blob = "\(blobs)/\(String(repeating: "0123456789", count: 4))"
        try FileManager.default.createDirectory(atPath: outside.path(blobs), withIntermediateDirectories: true)
        try outside.write(Array("cached".utf8), to: blob)
        try FileManager.default.copyItem(
            atPath: "\(Fixtures.checkpoint("mistral"))/model-00001-of-00003.safetensors",
            toPath: outside.path("weights")
        )
        try link("cached.txt", outside.path(blob))
        try link("again.json", "config.json")
        // Weights may lie on another disk.
        try link("linked.safetensors", outside.path("weights"))
        _ = try upload(hub)
        let stored = try stored()
        #expect(stored["cached.txt"] == Array("cached".utf8) && stored["again.json"] == files["config.json"])
        #expect(try stored["linked.safetensors"] == [UInt8](Data(contentsOf: URL(filePath: outside.path("weights")))))
    }

    @Test(arguments: ["", "a", "ab", "abc", "abcd", "\u{0}\u{FF}ÿ"])
    func base64IsFoundations(_ text: String) {
        #expect(Base64.encode(Array(text.utf8)) == Data(text.utf8).base64EncodedString())
    }
}
