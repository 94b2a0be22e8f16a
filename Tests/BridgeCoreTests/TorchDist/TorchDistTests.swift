import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@testable import BridgeCore
@testable import CheckpointFormats

/// Checkpoints in Megatron-Core's container: those that Megatron Bridge 0.3.1 wrote of `mistral-peer`, and Bridge's own.
@Suite struct TorchDistTests {
    private static let source = Fixtures.checkpoint("mistral-peer")
    private static let genuine = ["mistral-peer-tp1", "mistral-peer-tp2"]

    private static func genuine(_ name: String) -> String { "\(Fixtures.root)/torch_dist/\(name)" }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return (error as? BridgeError)?.description ?? "\(error)" }
    }

    // MARK: Reading

    @Test(arguments: genuine) func aGenuineCheckpointBecomesItsSourceByteForByte(_ name: String) throws {
        let directory = try TemporaryDirectory()
        try AutoBridge.fromHF(Self.source).exportCheckpoint(from: Self.genuine(name), to: directory.path("out"))
        #expect(try contents(of: directory.path("out")) == contents(of: Self.source))
    }

    @Test(arguments: genuine) func aGenuineCheckpointDescribesItsModel(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromMegatron(Self.genuine(name))
        #expect(bridge.architecture == "MistralForCausalLM")
        #expect(bridge.megatronFields == (try AutoBridge.fromHF(Self.source).megatronFields))
        try bridge.exportCheckpoint(from: Self.genuine(name), to: directory.path("out"))
        let catalog = try PluginCatalog.standard()
        let (one, other) = try (
            Checkpoint(path: directory.path("out"), catalog: catalog), Checkpoint(path: Self.source, catalog: catalog)
        )
        #expect(try Verifier(one, other).run().isEqual)
        let direct = try Checkpoint(path: Self.genuine(name), catalog: catalog)
        #expect(try Verifier(direct, other).run().isEqual)
        #expect(direct.facts.contains { $0 == ("layout", name.hasSuffix("2") ? "TP 2 x PP 1" : "TP 1 x PP 1") })
    }

    @Test func aModelRunsFromAGenuineCheckpoint() throws {
        let engine = TestEngine.cpu(threadCount: 1)
        let batch = TokenBatch(tokens: [1, 5, 900, 17, 3])
        let bridge = try AutoBridge.fromHF(Self.source)
        func logits(_ path: String?) throws -> [Float] {
            let model = try bridge.toModel(weights: path, elementType: .float32, on: engine)
            return try model.forward(batch).logits.floats()
        }
        #expect(try logits(Self.genuine("mistral-peer-tp2")) == logits(nil))
    }

    @Test func aGenuineCheckpointBecomesAnyOther() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromMegatron(Self.genuine("mistral-peer-tp2"))
        let checkpoint = try AutoBridge.open(Self.genuine("mistral-peer-tp2"), catalog: bridge.catalog)
        for container in [NativeCheckpoint.Container.native, .torchDist] {
            let path = directory.path(container.rawValue)
            let options = ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2), container: container)
            try checkpoint.reshard(bridge.reshardPlan(options), to: path, options: options)
            try AutoBridge.fromHF(Self.source).exportCheckpoint(from: path, to: "\(path)-out")
            #expect(try contents(of: "\(path)-out") == contents(of: Self.source))
            #expect(try AutoBridge.fromMegatron(path).architecture == "MistralForCausalLM")
        }
    }

    // MARK: Writing

    @Test(arguments: try Fixtures.exact) func exportAfterImportGivesTheSameBytes(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let source = Fixtures.checkpoint(name)
        let bridge = try AutoBridge.fromHF(source)
        for (index, layout) in [RankLayout.single, RankLayout(tensorSize: 2, pipelineSize: 2)].enumerated() {
            let path = directory.path("megatron\(index)")
            let options = ConversionOptions(layout: layout, container: .torchDist, writers: 1 + 2 * index)
            try bridge.importCheckpoint(to: path, options: options)
            try AutoBridge.fromMegatron(path).exportCheckpoint(from: path, to: "\(path)-out")
            #expect(try contents(of: "\(path)-out") == contents(of: source))
            #expect(try NativeCheckpoint.check(path).corruptFiles.isEmpty)
            // Without Bridge's own files it is what another program reads and writes.
            try FileManager.default.removeItem(atPath: "\(path)/iter_0000000/bridge_manifest.json")
            try bridge.exportCheckpoint(from: path, to: "\(path)-again")
            #expect(try contents(of: "\(path)-again") == contents(of: source))
        }
    }

    @Test func theFilesAreThoseOfTheContainer() throws {
        let directory = try TemporaryDirectory()
        let options = ConversionOptions(
            layout: RankLayout(tensorSize: 2, pipelineSize: 2),
            vocabularyMultiple: 128,
            container: .torchDist,
            writers: 2
        )
        try AutoBridge.fromHF(Fixtures.checkpoint("mistral-odd-vocab")).importCheckpoint(
            to: directory.path("m"),
            options: options
        )
        let files = try contents(of: directory.path("m"))
        let names = (0..<4).flatMap { rank in (0..<2).map { "iter_0000000/__\(rank)_\($0).distcp" } }
        for name in names
            + [".metadata", "common.pt", "metadata.json", "train_state.pt", "run_config.yaml"].map({
                "iter_0000000/\($0)"
            })
        {
            #expect(files[name] != nil, "\(name)")
        }
        #expect(files["latest_checkpointed_iteration.txt"] == Data("0".utf8))
        #expect(files["latest_train_state.pt"] == files["iter_0000000/train_state.pt"])
        let catalog = try PluginCatalog.standard()
        let (one, other) = try (
            Checkpoint(path: directory.path("m"), catalog: catalog),
            Checkpoint(path: Fixtures.checkpoint("mistral-odd-vocab"), catalog: catalog)
        )
        #expect(try Verifier(one, other).run().isEqual)
        let metadata = try DistributedMetadata(path: directory.path("m/iter_0000000/.metadata"))
        let embedding = try #require(metadata.entries.first { $0.key == "embedding.word_embeddings.weight" })
        // 1001 words are padded to a multiple of 128 times the two ranks.
        #expect(embedding.shape[0] == 1024)
        #expect(embedding.chunks.map(\.offsets) == [[0, 0], [512, 0]])
        let keys = Set(metadata.objects.map(\.key))
        #expect(keys.contains("common_state/shard_0_1"))
        #expect(keys.contains("decoder.layers.self_attention.core_attention._extra_state/shard_3_4"))
        #expect(keys.contains("decoder.final_layernorm._extra_state/shard_0_1"))
        // Large elements are on a page of their file.
        let checkpoint = try NativeCheckpoint(path: directory.path("m"), isVerified: false)
        let large = checkpoint.parameters.flatMap { $0.view.sources }.filter { $0.byteCount >= 64 << 10 }
        #expect(large.allSatisfy { $0.offset % 4096 == 0 })
    }

    // MARK: Damage

    /// A copy of a genuine checkpoint.
    private func copy(_ directory: TemporaryDirectory) throws -> String {
        let path = directory.path("copy")
        try FileManager.default.copyItem(atPath: Self.genuine("mistral-peer-tp2"), toPath: path)
        return path
    }

    private func export(_ path: String) -> String {
        message {
            _ = try AutoBridge.fromHF(Self.source).exportPlan(from: path)
        }
    }

    @Test func whatIsMissingIsNamed() throws {
        let directory = try TemporaryDirectory()
        let path = try copy(directory)
        let iteration = "\(path)/iter_0000000"
        #expect(export(path) == "no error")
        try FileManager.default.moveItem(atPath: "\(iteration)/__1_0.distcp", toPath: directory.path("away"))
        #expect(export(path).contains("lacks 1 file that its .metadata names"))
        #expect(export(path).contains("__1_0.distcp"))
        try FileManager.default.moveItem(atPath: directory.path("away"), toPath: "\(iteration)/__1_0.distcp")
        let file = try #require(FileHandle(forWritingAtPath: "\(iteration)/__1_0.distcp"))
        try file.truncate(atOffset: 100_000)
        #expect(export(path).contains("the file is truncated, copy it again"))
        try Data("5".utf8).write(to: URL(filePath: "\(path)/latest_checkpointed_iteration.txt"))
        #expect(export(path).contains("names iteration 5"))
        try FileManager.default.removeItem(atPath: "\(path)/latest_checkpointed_iteration.txt")
        try FileManager.default.removeItem(atPath: "\(iteration)/.metadata")
        #expect(export(path).contains("is a directory without a checkpoint") || export(path).contains(".metadata"))
        #expect(export(iteration).contains("an incomplete torch_dist checkpoint"))
    }

    @Test func aChangedByteIsFoundByItsChecksum() throws {
        let directory = try TemporaryDirectory()
        let path = try copy(directory)
        let name = "\(path)/iter_0000000/__1_0.distcp"
        var bytes = try Data(contentsOf: URL(filePath: name))
        bytes[5000] ^= 1
        try bytes.write(to: URL(filePath: name))
        let found = try NativeCheckpoint.check(path)
        #expect(found.corruptFiles.map(\.file) == ["__1_0.distcp"])
        #expect(found.corruptFiles.first?.problem.contains("bytes 704 to 64703") ?? false)
        #expect(try NativeCheckpoint.check(Self.genuine("mistral-peer-tp1")).corruptFiles.isEmpty)
    }

    @Test func chunksThatOverlapOrLeaveAGapAreRefused() throws {
        let directory = try TemporaryDirectory()
        let path = try copy(directory)
        let name = "\(path)/iter_0000000/.metadata"
        let metadata = try DistributedMetadata(path: name)
        func changed(_ change: (inout DistributedMetadata) -> Void) throws -> String {
            var other = metadata
            change(&other)
            try Data(other.pickled()).write(to: URL(filePath: name))
            return export(path)
        }
        #expect(try changed { _ in } == "no error")
        #expect(try changed { $0.entries[0].chunks.removeLast() }.contains("the checkpoint is not complete"))
        #expect(try changed { $0.entries[0].chunks[1].offsets = [250, 0] }.contains("overlap"))
        #expect(try changed { $0.entries[0].elementType = .float16 }.contains("expected [500, 64] of float16"))
        #expect(try changed { $0.entries[0].chunks[0].item.range = 0..<1 << 40 }.contains("is truncated"))
        #expect(
            try changed { $0.entries[0].chunks[0].item = $0.objects[0].item }.contains("is not a tensor")
        )
        #expect(try changed { $0.entries.removeFirst() }.contains("embedding.word_embeddings.weight: missing"))
    }

    @Test func otherContainersAreRefusedByName() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("fsdp/iter_0000001")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        let metadata = DistributedMetadata(
            entries: [
                .init(
                    key: "model.module.decoder.layers.0.mlp.linear_fc1.weight",
                    elementType: .float32,
                    shape: [],
                    chunks: []
                )
            ],
            objects: []
        )
        try Data(metadata.pickled()).write(to: URL(filePath: "\(path)/.metadata"))
        #expect(export(path).contains("is an fsdp_dtensor checkpoint"))
        try Data(#"{"sharded_backend": "zarr"}"#.utf8).write(to: URL(filePath: "\(path)/metadata.json"))
        #expect(export(path).contains("names the backend zarr"))
    }

    @Test func aRunConfigurationOfAnotherModelIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = try copy(directory)
        let name = "\(path)/iter_0000000/run_config.yaml"
        let text = try String(contentsOfFile: name, encoding: .utf8)
        func describe(_ old: String, _ new: String) throws -> String {
            try Data(text.replacing(old, with: new).utf8).write(to: URL(filePath: name))
            return message { _ = try AutoBridge.fromMegatron(path) }
        }
        #expect(try describe("", "") == "no error")
        #expect(
            try describe("normalization: RMSNorm", "normalization: LayerNorm").contains(
                "normalization is \"LayerNorm\""
            )
        )
        #expect(try describe("num_moe_experts: null", "num_moe_experts: 8").contains("num_moe_experts is 8"))
        #expect(
            try describe("mistral_provider.MistralModelProvider", "qwen.QwenProvider").contains("which no plugin knows")
        )
        #expect(try describe("model:", "[[[[").contains("is not valid YAML"))
        try FileManager.default.removeItem(atPath: name)
        #expect(
            message { _ = try AutoBridge.fromMegatron(path) }.contains("give the directory of the Hugging Face model")
        )
        #expect(export(path) == "no error")
    }
}
