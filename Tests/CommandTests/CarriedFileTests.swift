import Foundation
import TestSupport
import Testing

/// A link among a model's files that leads elsewhere is not copied along.
@Suite struct CarriedFileTests {
    private let scratch: TemporaryDirectory
    private var model: String { scratch.path("model") }

    init() throws {
        scratch = try TemporaryDirectory()
        try FileManager.default.copyItem(
            at: URL(filePath: Fixtures.checkpoint("mistral")),
            to: scratch.url("model")
        )
        try Data("secret".utf8).write(to: scratch.url("secret.txt"))
    }

    private func link(_ name: String, _ target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: "\(model)/\(name)", withDestinationPath: target)
    }

    private func convert() throws -> BridgeProcess.Outcome {
        try BridgeProcess.run("convert", "--hf-model", model, "--megatron-path", scratch.path("out"))
    }

    @Test(arguments: ["notes.txt", "generation_extra.json"]) func aLinkThatLeadsOutIsNamed(_ name: String) throws {
        try link(name, "../secret.txt")
        expect(
            try convert(),
            failsWith: 1,
            mentioning: "\(model)/\(name) is a link to",
            "secret.txt",
            "put a copy of the target file here"
        )
        #expect(!scratch.content.contains { $0.hasPrefix("out") })
    }

    @Test func aLinkedDirectoryIsNamed() throws {
        try FileManager.default.createDirectory(at: scratch.url("private"), withIntermediateDirectories: false)
        try Data("secret".utf8).write(to: scratch.url("private/key.txt"))
        try link("extra", "../private")
        expect(try convert(), failsWith: 1, mentioning: "extra/key.txt is a link to")
    }

    @Test func aLinkThatWasPutIntoACheckpointIsNamed() throws {
        #expect(try convert().status == 0)
        let carried = scratch.path("out/iter_0000000/huggingface/tokenizer_config.json")
        try FileManager.default.moveItem(atPath: carried, toPath: scratch.path("moved.json"))
        try FileManager.default.createSymbolicLink(atPath: carried, withDestinationPath: scratch.path("moved.json"))
        for arguments in [
            ["convert", "export", "--megatron-path", scratch.path("out"), "--hf-path", scratch.path("back")],
            ["reshard", "--megatron-path", scratch.path("out"), "--output", scratch.path("other")],
        ] {
            expect(try BridgeProcess(arguments).wait(), failsWith: 1, mentioning: "is a link to", "moved.json")
        }
    }

    @Test func linksThatStayAndThoseOfTheHubsCacheAreCopied() throws {
        let content = "secret".utf8
        let name = String(repeating: "0123456789", count: 4)
        let blobs = scratch.url("models--org--name/blobs")
        try FileManager.default.createDirectory(at: blobs, withIntermediateDirectories: true)
        try Data(content).write(to: blobs.appendingPathComponent(name))
        try link("cached.txt", "../models--org--name/blobs/\(name)")
        try Data(content).write(to: URL(fileURLWithPath: "\(model)/here.txt"))
        try link("again.txt", "here.txt")
        let outcome = try convert()
        #expect(outcome.status == 0, "\(outcome.errors)")
        for name in ["cached.txt", "again.txt"] {
            #expect(try Data(contentsOf: scratch.url("out/iter_0000000/huggingface/\(name)")) == Data(content))
        }
    }

    @Test func aModelOfLinksIsStillRead() throws {
        try FileManager.default.createDirectory(at: scratch.url("links"), withIntermediateDirectories: false)
        for name in TemporaryDirectory.content(of: model) {
            try FileManager.default.createSymbolicLink(
                atPath: scratch.path("links/\(name)"),
                withDestinationPath: "../model/\(name)"
            )
        }
        let arguments = ["generate", "--hf-model", scratch.path("links"), "--prompt", "a", "--max-new-tokens", "1"]
        let outcome = try BridgeProcess(arguments).wait()
        #expect(outcome.status == 0, "\(outcome.errors)")
    }
}
