import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@testable import BridgeCore
@testable import CheckpointFormats
@testable import Conversion
@testable import TorchFiles

/// What a check of a torch_dist checkpoint compares, what it parses, and what it reports.
@Suite struct TorchDistCheckTests {
    private static let source = Fixtures.checkpoint("mistral-peer")
    private static let genuine = "\(Fixtures.root)/torch_dist/mistral-peer-tp2"

    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    /// A checkpoint that Bridge wrote, with or without its own files.
    private func own(hasManifest: Bool = true) throws -> String {
        let path = scratch.path("own-\(UUID().uuidString)")
        let options = ConversionOptions(
            layout: RankLayout(tensorSize: 2, pipelineSize: 1),
            container: .torchDist,
            writers: 2
        )
        try AutoBridge.fromHF(Self.source).importCheckpoint(to: path, options: options)
        if !hasManifest { try FileManager.default.removeItem(atPath: "\(path)/iter_0000000/bridge_manifest.json") }
        return "\(path)/iter_0000000"
    }

    /// A copy of a checkpoint that Megatron Bridge wrote.
    private func copy() throws -> String {
        let path = scratch.path("copy-\(UUID().uuidString)")
        try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
        return "\(path)/iter_0000000"
    }

    private func change(_ file: String, _ body: (inout Data) -> Void) throws {
        let url = URL(filePath: file)
        var bytes = try Data(contentsOf: url)
        body(&bytes)
        try bytes.write(to: url)
    }

    private func code(_ body: () throws -> Void) -> BridgeError.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? BridgeError)?.code }
    }

    private static let weights = ["__0_0.distcp", "__0_1.distcp", "__1_0.distcp", "__1_1.distcp"]
    private static let others = [".metadata", "common.pt", "metadata.json", "run_config.yaml", "train_state.pt"]

    // MARK: What is counted

    @Test func filesWithoutAChecksumAreCountedApart() throws {
        let whole = try NativeCheckpoint.check(own())
        #expect(whole.uncheckedFiles.isEmpty && whole.comparedCount == whole.fileCount && whole.fileCount > 9)
        // Items of Bridge have no CRC-32: without its manifest nothing is compared.
        let stripped = try NativeCheckpoint.check(own(hasManifest: false))
        #expect(stripped.corruptFiles.isEmpty)
        #expect(stripped.uncheckedFiles == (Self.others + Self.weights).sorted() && stripped.comparedCount == 0)
        // Megatron Bridge gives archives a CRC-32, and other files none.
        let genuine = try NativeCheckpoint.check(Self.genuine)
        #expect(genuine.corruptFiles.isEmpty)
        #expect(genuine.uncheckedFiles == [".metadata", "metadata.json", "run_config.yaml"])
        #expect(genuine.comparedCount == Self.weights.count + 2)
        let native = scratch.path("native")
        try AutoBridge.fromHF(Self.source).importCheckpoint(to: native)
        try Data("x".utf8).write(to: URL(filePath: "\(native)/iter_0000000/note.txt"))
        #expect(try NativeCheckpoint.check(native).uncheckedFiles == ["note.txt"])
    }

    @Test func aStateDictionaryHasChecksums() throws {
        let bridge = try AutoBridge.fromHF(Self.source)
        let options = ConversionOptions(writers: 3)
        let path = scratch.path("dcp")
        try bridge.writeStateDict(bridge.stateDictPlan(options), to: path, options: options)
        let whole = try NativeCheckpoint.check(path)
        #expect(whole.corruptFiles.isEmpty && whole.uncheckedFiles.isEmpty && whole.fileCount == 4)
        try change("\(path)/__0_0.distcp") { $0[$0.count / 2] ^= 1 }
        #expect(try NativeCheckpoint.check(path).corruptFiles.map(\.file) == ["__0_0.distcp"])
        // What reads the tensors compares them too.
        #expect(code { try bridge.exportCheckpoint(from: path, to: scratch.path("out")) } == .corruptInput)
        try change("\(path)/__0_0.distcp") { $0[$0.count / 2] ^= 1 }
        try bridge.exportCheckpoint(from: path, to: scratch.path("out"))
        #expect(try contents(of: scratch.path("out")) == contents(of: Self.source))
        // A file of checksums that cannot be read is not one that is missing.
        try change("\(path)/bridge_checksums.json") { $0.removeLast(8) }
        #expect(code { _ = try NativeCheckpoint.check(path) } == .corruptInput)
        try FileManager.default.removeItem(atPath: "\(path)/bridge_checksums.json")
        #expect(try NativeCheckpoint.check(path).comparedCount == 0)
    }

    // MARK: What is damaged

    @Test func aTruncatedFileIsOneProblemOfThatFileAlone() throws {
        for path in [try own(), try own(hasManifest: false), try copy()] {
            let handle = try #require(FileHandle(forWritingAtPath: "\(path)/__1_1.distcp"))
            try handle.truncate(atOffset: 20000)
            try handle.close()
            let found = try NativeCheckpoint.check(path)
            #expect(found.corruptFiles.map(\.file) == ["__1_1.distcp"], "\(found.corruptFiles)")
        }
    }

    @Test(arguments: ["train_state.pt", "common.pt"]) func aFileOfTheRunIsParsed(_ name: String) throws {
        let path = try own(hasManifest: false)
        let file = URL(filePath: "\(path)/\(name)")
        let whole = try Data(contentsOf: file)
        func found(_ bytes: some Sequence<UInt8>) throws -> [NativeCheckpoint.CorruptFile] {
            try Data(bytes).write(to: file)
            return try NativeCheckpoint.check(path).corruptFiles
        }
        var nothing = PickleGraph()
        nothing.finish(.none)
        var call = PickleGraph()
        let harm = call.call(PickleGlobal("posix", "system"), [.text("true")])
        let state = call.dictionary([("iteration", .integer(0)), ("x", harm)])
        call.finish(state)
        #expect(try found(Array("garbage".utf8)).map(\.file) == [name])
        #expect(try found(TorchArchive.bytes(of: nothing, prefix: "archive")).map(\.file) == [name])
        let harmful = try found(TorchArchive.bytes(of: call, prefix: "archive"))
        #expect(harmful.map(\.file) == [name] && harmful.first?.problem.contains("posix.system") == true)
        #expect(try found(whole).isEmpty)
    }

    /// The CRC-32 of a member that Megatron Bridge wrote.
    @Test func aChangedNumberOfTheRunIsFoundByItsChecksum() throws {
        let path = try copy()
        let file = "\(path)/train_state.pt"
        let storage = try FileStorage(path: file)
        let members = try ZipArchive(storage, in: 0..<storage.byteCount, name: file).members
        let step = try #require(members.first { $0.name == "train_state/data/0" })
        try change(file) { $0[step.range.lowerBound] ^= 1 }
        let found = try NativeCheckpoint.check(path).corruptFiles
        #expect(found.map(\.file) == ["train_state.pt"] && found[0].problem.contains("train_state/data/0"))
    }

    @Test(arguments: [("metadata.json", "{"), ("run_config.yaml", "model: [")])
    func textThatIsNotWhatItsNameSuggestsIsFound(_ name: String, _ text: String) throws {
        let path = try copy()
        try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
        do {
            #expect(try NativeCheckpoint.check(path).corruptFiles.map(\.file) == [name])
        } catch let error as BridgeError { #expect(error.code == .corruptInput && error.message.contains(name)) }
    }

    /// Megatron-Core 0.19 has the common state as an object alone.
    @Test func theCommonStateMayBeAnObject() throws {
        let path = try own(hasManifest: false)
        try FileManager.default.removeItem(atPath: "\(path)/common.pt")
        #expect(try NativeCheckpoint.check(path).corruptFiles.isEmpty)
    }

    // MARK: Comparisons of damaged checkpoints

    /// Every file that describes the tensors, changed and removed: the same for all that read.
    @Test(arguments: [".metadata", "metadata.json", "common.pt"])
    func aComparisonNamesWhatOtherReadersRefuse(_ name: String) throws {
        let catalog = try PluginCatalog.standard()
        let path = try own()
        #expect(try Checkpoint(path: path, catalog: catalog).damage.isEmpty)
        let bytes = try Data(contentsOf: URL(filePath: "\(path)/\(name)"))
        func expectDamage(_ what: String) throws {
            let damage = try Checkpoint(path: path, catalog: catalog).damage
            #expect(damage.count == 1 && damage[0].hasPrefix("\(path)/\(name) \(what)"), "\(damage)")
            let export = code {
                try AutoBridge.fromMegatron(path).exportCheckpoint(from: path, to: scratch.path("out"))
            }
            #expect(export == .corruptInput)
        }
        // Another file with the same content.
        switch name {
        case ".metadata":
            var metadata = try DistributedMetadata(path: "\(path)/\(name)")
            metadata.hasPlannerData.toggle()
            try Data(metadata.pickled()).write(to: URL(filePath: "\(path)/\(name)"))
        case "metadata.json": try change("\(path)/\(name)") { $0.append(UInt8(ascii: "\n")) }
        default: try change("\(path)/\(name)") { $0[4] ^= 1 }
        }
        try expectDamage("is not as it was written")
        try bytes.write(to: URL(filePath: "\(path)/\(name)"))
        guard name != ".metadata" else { return }
        try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        try expectDamage("is missing")
        let genuine = try copy()
        try FileManager.default.removeItem(atPath: "\(genuine)/\(name)")
        #expect(try Checkpoint(path: genuine, catalog: catalog).damage.count == 1)
    }

    // MARK: The description of the model

    @Test func everyKeyOfADescriptionIsAccountedFor() throws {
        #expect(try AutoBridge.fromMegatron(Self.genuine).unknownSettings().isEmpty)
        let path = try copy()
        func add(_ line: String) throws {
            let text = try String(contentsOfFile: "\(Self.genuine)/iter_0000000/run_config.yaml", encoding: .utf8)
            let changed = text.replacingOccurrences(of: "\nmodel:\n", with: "\nmodel:\n  \(line)\n")
            try Data(changed.utf8).write(to: URL(filePath: "\(path)/run_config.yaml"))
        }
        try add("foo_bar: 3")
        let found = try AutoBridge.fromMegatron(path).unknownSettings()
        #expect(found.map(\.file) == ["run_config.yaml"] && found.first?.keys == ["model.foo_bar"])
        // A later version's setting of a part that no family has.
        try add("moe_later_setting: 3")
        #expect(try AutoBridge.fromMegatron(path).unknownSettings().isEmpty)
        for line in ["head_wise_attn_gate: true", "rotary_base_per_layer: [1.0]"] {
            try add(line)
            #expect(code { _ = try AutoBridge.fromMegatron(path) } == .badConfiguration, "\(line)")
        }
    }

    @Test func anExportWithoutATokenizerHasANote() throws {
        let bridge = try AutoBridge.fromMegatron(Self.genuine)
        let notes = try bridge.exportPlan(from: Self.genuine).notes
        #expect(notes.contains { $0.contains("has no tokenizer") && $0.contains("--hf-model") }, "\(notes)")
        let other = try AutoBridge.fromHF(Self.source)
        #expect(try !other.exportPlan(from: Self.genuine).notes.contains { $0.contains("tokenizer") })
        let path = try own()
        #expect(try !AutoBridge.fromMegatron(path).exportPlan(from: path).notes.contains { $0.contains("tokenizer") })
    }
}
