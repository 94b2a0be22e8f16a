import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge checkpoint`, and what other commands print about a checkpoint that is not whole.
@Suite struct CheckpointCommandTests {
    private static let genuine = "\(Fixtures.root)/torch_dist/mistral-peer-tp1"
    private let scratch: TemporaryDirectory
    private let model = Fixtures.checkpoint("mistral")

    init() throws { scratch = try TemporaryDirectory() }

    private func imported(_ name: String, _ format: String) throws -> String {
        let outcome = try BridgeProcess.run(
            "convert",
            "import",
            "--hf-model",
            model,
            "--megatron-path",
            scratch.path(name),
            "--format",
            format
        )
        try #require(outcome.status == 0, "\(outcome.errors)")
        return scratch.path(name)
    }

    private func json(_ outcome: BridgeProcess.Outcome) throws -> JSON {
        try JSON(parsing: Array(outcome.output.utf8))
    }

    private func change(_ file: String) throws {
        var bytes = try Data(contentsOf: URL(filePath: file))
        bytes[bytes.count / 2] ^= 1
        try bytes.write(to: URL(filePath: file))
    }

    @Test func aCheckCountsWhatItHasCompared() throws {
        let path = try imported("dcp", "dcp")
        let whole = try BridgeProcess.run("checkpoint", "check", path)
        #expect(whole.status == 0 && whole.output.contains("All 3 files of \(path) match"), "\(whole.output)")
        try change("\(path)/__0_0.distcp")
        expect(
            try BridgeProcess.run("checkpoint", "check", path),
            failsWith: 4,
            mentioning: "1 of 3 files",
            "__0_0.distcp"
        )
        try FileManager.default.removeItem(atPath: "\(path)/bridge_checksums.json")
        let bare = try BridgeProcess.run("checkpoint", "check", path)
        #expect(bare.status == 0 && !bare.output.contains("match"), "\(bare.output)")
        #expect(bare.errors.contains("without a checksum are the 3 files of \(path)"), "\(bare.errors)")

        let genuine = try BridgeProcess.run("checkpoint", "check", Self.genuine)
        #expect(
            genuine.output.contains("✅ 4 of 7 files") && genuine.errors.contains("without a checksum are 3 of 7 files")
        )
        let document = try json(BridgeProcess.run("checkpoint", "check", Self.genuine, "--json"))
        #expect(document["files"] == 7 && document["compared_files"] == 4 && document["corrupt_files"] == [])
        #expect(document["files_without_checksum"] == [".metadata", "metadata.json", "run_config.yaml"])
    }

    @Test func weightsAloneAreListed() throws {
        let path = try imported("d", "torch_dist")
        try FileManager.default.moveItem(atPath: "\(path)/iter_0000000", toPath: "\(path)/release")
        try Data("release".utf8).write(to: URL(filePath: "\(path)/latest_checkpointed_iteration.txt"))
        let list = try BridgeProcess.run("checkpoint", "list", path)
        #expect(list.status == 0 && list.output.contains("\(path)/release"), "\(list.errors)")
        let rows = try json(BridgeProcess.run("checkpoint", "list", path, "--json"))
        #expect(rows.array?.count == 1 && rows.array?[0]["iteration"] == .null)
        #expect(rows.array?[0]["path"]?.string == "\(path)/release")
        expect(
            try BridgeProcess.run("checkpoint", "prune", path, "--keep", "1"),
            failsWith: 64,
            mentioning: "has the weights of a Megatron checkpoint alone (release)"
        )
        #expect(try BridgeProcess.run("checkpoint", "check", path).status == 0)
    }

    @Test func aDamagedDescriptionIsNamedByAllThatRead() throws {
        let path = try imported("d", "torch_dist")
        let file = "\(path)/iter_0000000/metadata.json"
        try Data(contentsOf: URL(filePath: file)).withNewline.write(to: URL(filePath: file))
        let verify = try BridgeProcess.run("verify", model, path)
        expect(verify, failsWith: 4, mentioning: "metadata.json", "is not as it was written")
        #expect(!verify.output.contains("✅"), "\(verify.output)")
        let document = try json(BridgeProcess.run("verify", model, path, "--json"))
        #expect(document["equal"] == false && document["damage"]?.array?.count == 1 && document["differences"] == [])
        let inspect = try BridgeProcess.run("inspect", path)
        #expect(inspect.status == 0 && inspect.errors.contains("\(file) is not as it was written"))
        #expect(try json(BridgeProcess.run("inspect", path, "--json"))["damage"]?.array?.count == 1)

        for name in ["metadata.json", "common.pt"] {
            try FileManager.default.removeItem(atPath: "\(path)/iter_0000000/\(name)")
            expect(try BridgeProcess.run("verify", model, path), failsWith: 4, mentioning: name, "is missing")
            let out = scratch.path("out")
            expect(
                try BridgeProcess.run("convert", "export", "--megatron-path", path, "--hf-path", out),
                failsWith: 4,
                mentioning: "is missing"
            )
            #expect(!FileManager.default.fileExists(atPath: out))
        }
    }

    @Test func anExportReportsWhatItDoesNotHave() throws {
        let (path, out) = (scratch.path("copy"), scratch.path("out"))
        let export = ["convert", "export", "--megatron-path", Self.genuine, "--hf-path", out, "--overwrite"]
        let outcome = try BridgeProcess(export).wait()
        #expect(outcome.status == 0 && (outcome.output + outcome.errors).contains("has no tokenizer"))
        let notes = try json(BridgeProcess(export + ["--json"]).wait())["notes"]?.array?.compactMap(\.string) ?? []
        #expect(notes.contains { $0.contains("has no tokenizer") && $0.contains("--hf-model") }, "\(notes)")

        try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
        let file = "\(path)/iter_0000000/run_config.yaml"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "\nmodel:\n", with: "\nmodel:\n  foo_bar: 3\n").utf8)
            .write(to: URL(filePath: file))
        let edited = ["convert", "export", "--megatron-path", path, "--hf-path", out, "--overwrite"]
        let noted = try BridgeProcess(edited).wait()
        #expect(noted.status == 0 && noted.errors.contains("run_config.yaml: model.foo_bar"), "\(noted.errors)")
        expect(try BridgeProcess(edited + ["--strict"]).wait(), failsWith: 1, mentioning: "model.foo_bar")
    }
}

extension Data {
    /// The same content with a line break at its end.
    fileprivate var withNewline: Data { self + [UInt8(ascii: "\n")] }
}
