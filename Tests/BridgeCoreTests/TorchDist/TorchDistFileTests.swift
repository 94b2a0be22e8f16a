import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@testable import Adapters
@testable import BridgeCore
@testable import CheckpointFormats

/// The files around the tensors of a torch_dist checkpoint, and plain state dictionaries.
@Suite struct TorchDistFileTests {
    private static let source = Fixtures.checkpoint("mistral-peer")

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return (error as? BridgeError)?.description ?? "\(error)" }
    }

    /// The SHA-256 of a file by the program of the system.
    private func digest(_ path: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        process.arguments = [path]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: output.prefix(64), as: UTF8.self)
    }

    private func imported(_ directory: TemporaryDirectory, integrity: Bool = true) throws -> String {
        let options = ConversionOptions(container: .torchDist, writers: 2, writesIntegrity: integrity)
        try AutoBridge.fromHF(Self.source).importCheckpoint(to: directory.path("m"), options: options)
        return directory.path("m/iter_0000000")
    }

    // MARK: integrity.json

    @Test func integrityHasTheDigestOfEveryFile() throws {
        let directory = try TemporaryDirectory()
        let path = try imported(directory)
        let json = try JSON(contentsOf: "\(path)/integrity.json")
        #expect(json["algorithm"] == "sha256")
        let files = try #require(json["files"]?.object)
        let names = try FileManager.default.contentsOfDirectory(atPath: path).filter {
            $0 != "integrity.json" && $0 != "huggingface"
        }
        #expect(Set(files.map(\.key)) == Set(names) && names.contains(".metadata") && names.contains("__0_1.distcp"))
        for (name, value) in files { #expect(try value.string == digest("\(path)/\(name)"), "\(name)") }
        #expect(try NativeCheckpoint.check(path).corruptFiles.isEmpty)
        #expect(try imported(TemporaryDirectory(), integrity: false).contains("iter_") == true)
    }

    @Test func aFileThatDiffersFromItsDigestIsFound() throws {
        let directory = try TemporaryDirectory()
        let path = try imported(directory)
        // Without Bridge's own checksums, as in a checkpoint of megatron-core.
        try FileManager.default.removeItem(atPath: "\(path)/bridge_manifest.json")
        func change(_ json: String) throws -> [NativeCheckpoint.CorruptFile] {
            try Data(json.utf8).write(to: URL(filePath: "\(path)/integrity.json"))
            return try NativeCheckpoint.check(path).corruptFiles
        }
        try Data("abc".utf8).write(to: URL(filePath: "\(path)/note.txt"))
        // The example of FIPS 180-4.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(try change(#"{"algorithm": "sha256", "files": {"note.txt": "\#(abc)"}}"#).isEmpty)
        let wrong = try change(#"{"files": {"note.txt": "\#(String(abc.reversed()))", "gone.txt": "\#(abc)"}}"#)
        #expect(wrong.map(\.file) == ["note.txt", "gone.txt"])
        #expect(wrong[0].problem.contains("SHA-256") && wrong[1].problem.contains("cannot be read"))
        #expect(try change(#"{"files": {"../../m/note.txt": "\#(abc)"}}"#).first?.problem.contains("not in") == true)
        #expect(try change(#"{"algorithm": "md5", "files": {}}"#).first?.problem.contains("md5") == true)
        #expect(message { _ = try change("[]") }.contains("has no object files"))
        #expect(message { _ = try change("{") }.contains("integrity.json"))
    }

    // MARK: Damage

    /// Two iterations have files of the same names and sizes.
    @Test func aFileOfAnotherIterationIsFound() throws {
        let directory = try TemporaryDirectory()
        let path = try imported(directory, integrity: false)
        let other = directory.path("other/iter_0000000")
        try FileManager.default.createDirectory(
            atPath: directory.path("other"),
            withIntermediateDirectories: true
        )
        try FileManager.default.copyItem(atPath: path, toPath: other)
        var bytes = try Data(contentsOf: URL(filePath: "\(other)/__0_1.distcp"))
        // An element of a large tensor: the last page of the file has the end of one.
        bytes[bytes.count - 8000] ^= 0x10
        try FileManager.default.removeItem(atPath: "\(path)/__0_1.distcp")
        try bytes.write(to: URL(filePath: "\(path)/__0_1.distcp"))
        #expect(try NativeCheckpoint.check(path).corruptFiles.map(\.file) == ["__0_1.distcp"])
        let export = message {
            try AutoBridge.fromMegatron(path).exportCheckpoint(from: path, to: directory.path("out"))
        }
        #expect(export.contains("__0_1.distcp"), "\(export)")
        #expect(!FileManager.default.fileExists(atPath: directory.path("out")))
        // A file that was written for another number of ranks has other positions.
        let genuine = "\(Fixtures.root)/torch_dist/mistral-peer-tp1/iter_0000000/__0_0.distcp"
        try FileManager.default.removeItem(atPath: "\(path)/__0_0.distcp")
        try FileManager.default.copyItem(atPath: genuine, toPath: "\(path)/__0_0.distcp")
        #expect(try !NativeCheckpoint.check(path).corruptFiles.isEmpty)
    }

    @Test(arguments: ["common.pt", "train_state.pt", ".metadata"])
    func aDamagedFileOfTheRunIsNamed(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let path = try imported(directory, integrity: false)
        let file = URL(filePath: "\(path)/\(name)")
        let bytes = try Data(contentsOf: file)
        for cut in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 7)) {
            try bytes.prefix(cut).write(to: file)
            let found = message {
                if name == ".metadata" {
                    _ = try NativeCheckpoint(path: path)
                } else {
                    _ = try AutoBridge.megatronProgress(path)
                }
            }
            #expect(found.contains(name), "\(cut): \(found)")
        }
    }

    // MARK: State dictionaries

    @Test func aStateDictionaryHasTheTensorsOfTheFiles() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Self.source)
        let path = directory.path("dcp")
        let options = ConversionOptions(writers: 3)
        let report = try bridge.writeStateDict(bridge.stateDictPlan(options), to: path, options: options)
        let items = ["__0_0.distcp", "__0_1.distcp", "__0_2.distcp"]
        #expect(Set(report.files.map(\.name)) == Set(items + [".metadata", "bridge_checksums.json"]))
        let metadata = try DistributedMetadata(path: "\(path)/.metadata")
        #expect(metadata.hasPlannerData && metadata.objects.isEmpty)
        let tensors = try #require(bridge.directory?.tensors)
        #expect(Set(metadata.entries.map(\.key)) == Set(tensors.keys))
        for entry in metadata.entries {
            #expect(entry.shape == tensors[entry.key]?.shape && entry.elementType == tensors[entry.key]?.elementType)
        }
        try bridge.exportCheckpoint(from: path, to: directory.path("out"))
        #expect(try contents(of: directory.path("out")) == contents(of: Self.source))

        let wide = ConversionOptions(elementType: .float32, overwrite: true)
        try bridge.writeStateDict(bridge.stateDictPlan(wide), to: path, options: wide)
        #expect(try DistributedMetadata(path: "\(path)/.metadata").entries.allSatisfy { $0.elementType == .float32 })
    }

    @Test func aStateDictionaryReplacesNothingElse() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Self.source)
        let plan = try bridge.stateDictPlan()
        let options = ConversionOptions(overwrite: true)
        try FileManager.default.createDirectory(atPath: directory.path("mine"), withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(filePath: directory.path("mine/file")))
        func write(_ path: String, _ options: ConversionOptions) -> String {
            message { try bridge.writeStateDict(plan, to: path, options: options) }
        }
        #expect(write(directory.path("mine"), options).contains("is not empty and has no .metadata"))
        #expect(write(directory.path("dcp"), ConversionOptions()) == "no error")
        #expect(write(directory.path("dcp"), ConversionOptions()).contains("dcp"))
        #expect(write(directory.path("dcp"), options) == "no error")
        #expect(write(Self.source, options) != "no error")
        #expect(message { _ = try bridge.stateDictPlan(ConversionOptions(writers: 0)) }.contains("--writers is 0"))
    }

    // MARK: Adapters

    private func metadata(_ keys: [String]) -> DistributedMetadata {
        DistributedMetadata(
            entries: keys.map { .init(key: $0, elementType: .float32, shape: [], chunks: []) },
            objects: []
        )
    }

    @Test func adaptersAreKnownByTheirNames() {
        let layer = "language_model.decoder.layers.mlp.linear_fc1"
        let adapters = ["\(layer).adapter.linear_in.weight", "\(layer).adapter.linear_out.weight"]
        #expect(metadata(adapters).holdsAdapter)
        #expect(metadata(adapters + ["optimizer.state.exp_avg.\(adapters[0])"]).holdsAdapter)
        // With the weights that they are for it is a model, and so is one without adapters.
        #expect(!metadata(adapters + ["\(layer).weight"]).holdsAdapter)
        #expect(!metadata(["\(layer).weight"]).holdsAdapter && !metadata([]).holdsAdapter)
        #expect(MegatronKey.kind(of: "decoder.layers.0.mlp.linear_fc1.adapter.linear_out.weight_w") == .gate)
        #expect(MegatronKey.kind(of: "decoder.layers.mlp.linear_fc1.adapter.linear_out.weight") == .stacked)
    }

    @Test func settingsOfAdaptersAreThoseOfMegatronBridge() throws {
        func read(_ change: (inout JSON) -> Void) throws -> PEFTConfiguration {
            var section: JSON = [
                "_target_": "megatron.bridge.peft.lora.LoRA", "dim": JSON(8), "alpha": JSON(24), "dropout": JSON(0.1),
                "target_modules": ["linear_qkv"],
            ]
            change(&section)
            return try PEFTConfiguration(megatron: section, name: "run_config.yaml")
        }
        let lora = try read { _ in }
        #expect(lora.rank == 8 && lora.scale == 3 && lora.dropout == 0.1 && !lora.usesDoRA && lora.unknownKeys == [])
        #expect(try read { $0.set("megatron.bridge.peft.dora.DoRA", at: "_target_") }.usesDoRA)
        #expect(try read { $0.set(JSON(1), at: "rank_of_experts") }.unknownKeys == ["rank_of_experts"])
        #expect(
            message { _ = try read { $0.set("a.b.IA3", at: "_target_") } }.contains(
                "_target_ is a.b.IA3, expected LoRA"
            )
        )
        #expect(message { _ = try read { $0.set(JSON(0), at: "dim") } }.contains("dim"))
        #expect(message { _ = try read { $0.set("x", at: "alpha") } }.contains("alpha"))
    }
}
