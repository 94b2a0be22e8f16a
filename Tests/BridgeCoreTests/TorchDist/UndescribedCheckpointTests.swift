import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing
import Tokenizers

@testable import BridgeCore
@testable import CheckpointFormats

/// Checkpoints in Megatron-Core's container that lack some of their files, and those that were edited.
@Suite struct UndescribedCheckpointTests {
    private static let source = Fixtures.checkpoint("mistral-peer")
    private static let genuine = "\(Fixtures.root)/torch_dist/mistral-peer-tp2"

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "no error"
        } catch { return (error as? BridgeError)?.description ?? "\(error)" }
    }

    private func written(_ directory: TemporaryDirectory, _ options: ConversionOptions = ConversionOptions()) throws
        -> String
    {
        var options = options
        options.container = .torchDist
        let path = directory.path("own")
        try AutoBridge.fromHF(Self.source).importCheckpoint(to: path, options: options)
        return path
    }

    // MARK: Checkpoints that do not describe their model

    /// Verified, inspected and resharded with the Hugging Face model at their side.
    @Test(arguments: [false, true])
    func anotherBridgeDescribesTheModel(_ isStateDict: Bool) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Self.source)
        let catalog = try PluginCatalog.standard()
        let path = directory.path("undescribed")
        if isStateDict {
            let options = ConversionOptions()
            try bridge.writeStateDict(bridge.stateDictPlan(options), to: path, options: options)
            for name in try FileManager.default.contentsOfDirectory(atPath: path)
            where !name.hasSuffix(".distcp") && name != ".metadata" {
                try FileManager.default.removeItem(atPath: "\(path)/\(name)")
            }
        } else {
            try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
            try FileManager.default.removeItem(atPath: "\(path)/iter_0000000/run_config.yaml")
        }
        #expect(message { _ = try Checkpoint(path: path, catalog: catalog) }.contains("--hf-model"))
        let found = try Checkpoint(path: path, catalog: catalog) { bridge }
        let expected = try Checkpoint(path: Self.source, catalog: catalog)
        #expect(try Verifier(expected, found).run().isEqual)
        #expect(found.tensors.count == expected.tensors.count)

        let undescribed = try AutoBridge.fromMegatron(path, catalog: catalog, describedBy: bridge)
        let checkpoint = try AutoBridge.open(path, catalog: catalog, describedBy: bridge)
        let options = ConversionOptions(layout: RankLayout(tensorSize: 2, pipelineSize: 2))
        try checkpoint.reshard(undescribed.reshardPlan(options), to: directory.path("native"), options: options)
        try bridge.exportCheckpoint(from: directory.path("native"), to: directory.path("out"))
        #expect(try contents(of: directory.path("out")) == contents(of: Self.source))
    }

    @Test func aCheckpointWithoutATokenizerNamesTheOptionThatGivesIt() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("copy")
        try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
        try? FileManager.default.removeItem(atPath: "\(path)/iter_0000000/tokenizer")
        let text = message { _ = try AutoBridge.fromMegatron(path).processor() }
        #expect(text.contains("has no tokenizer") && text.contains("--hf-model"))
        // Bridge's own files are used also where its manifest is gone.
        let own = try written(directory)
        try FileManager.default.removeItem(atPath: "\(own)/iter_0000000/bridge_manifest.json")
        let processor = try AutoBridge.fromMegatron(own).processor()
        #expect(processor.tokenizer.vocabularySize > 0)
    }

    @Test(arguments: [NativeCheckpoint.Container.native, .torchDist])
    func iterationsWithoutATrackerAreACheckpoint(_ container: NativeCheckpoint.Container) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("own")
        let options = ConversionOptions(container: container)
        try AutoBridge.fromHF(Self.source).importCheckpoint(to: path, options: options)
        for name in try FileManager.default.contentsOfDirectory(atPath: path) where name.hasPrefix("latest") {
            try FileManager.default.removeItem(atPath: "\(path)/\(name)")
        }
        let catalog = try PluginCatalog.standard()
        let (one, other) = try (
            Checkpoint(path: path, catalog: catalog), Checkpoint(path: Self.source, catalog: catalog)
        )
        #expect(one.kind == .megatron)
        #expect(try Verifier(one, other).run().isEqual)
    }

    // MARK: Edited and incomplete

    /// Two tensors of one shape whose places are swapped: only the checksum of `.metadata` tells.
    @Test func anEditedMetadataIsFoundBeforeATensorIsRead() throws {
        let directory = try TemporaryDirectory()
        let path = try written(directory)
        let name = "\(path)/iter_0000000/.metadata"
        var metadata = try DistributedMetadata(path: name)
        let shapes = metadata.entries.map { ($0.key, $0.shape) }
        let pair = try #require(
            metadata.entries.indices.lazy.compactMap { one in
                metadata.entries.indices.first { $0 > one && shapes[$0].1 == shapes[one].1 && shapes[one].1.count == 2 }
                    .map { (one, $0) }
            }.first
        )
        let first = metadata.entries[pair.0].chunks
        metadata.entries[pair.0].chunks = metadata.entries[pair.1].chunks
        metadata.entries[pair.1].chunks = first
        try Data(metadata.pickled()).write(to: URL(filePath: name))
        let bridge = try AutoBridge.fromHF(Self.source)
        let text = message { try bridge.exportCheckpoint(from: path, to: directory.path("out")) }
        #expect(text.contains(".metadata is not as it was written") && text.contains("bridge_manifest.json"))
        #expect(!FileManager.default.fileExists(atPath: directory.path("out")))
        #expect(try NativeCheckpoint.check(path).corruptFiles.map(\.file) == [".metadata"])
    }

    @Test(arguments: ["metadata.json", "common.pt"])
    func whatMegatronCoreNeedsIsMissed(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("copy")
        try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
        #expect(try NativeCheckpoint.check(path).corruptFiles.isEmpty)
        try FileManager.default.removeItem(atPath: "\(path)/iter_0000000/\(name)")
        let found = try NativeCheckpoint.check(path)
        #expect(found.corruptFiles.map(\.file) == [name])
        #expect(found.corruptFiles.first?.problem.contains("is missing") == true)
    }

    @Test func anUnknownVersionOfTheBackendIsRefused() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path("copy")
        try FileManager.default.copyItem(atPath: Self.genuine, toPath: path)
        let name = "\(path)/iter_0000000/metadata.json"
        var json = try JSON(contentsOf: name)
        json.set(99, at: "sharded_backend_version")
        try Data(json.text()).write(to: URL(filePath: name))
        #expect(message { _ = try NativeCheckpoint.check(path) }.contains("version 99"))
    }

    // MARK: More ranks than KV groups

    /// Ranks share a KV group; the first of them stores it.
    @Test(arguments: [NativeCheckpoint.Container.native, .torchDist])
    func moreRanksThanGroupsStoreEachOnce(_ container: NativeCheckpoint.Container) throws {
        let directory = try TemporaryDirectory()
        let toy = try ToyModel(family: "mistral", options: .init(elementType: .float32))
        _ = try toy.write(to: directory.path("toy"))
        let bridge = try AutoBridge.fromHF(directory.path("toy"))
        let groups = try #require(bridge.megatronFields["num_query_groups"]?.integer)
        let options = ConversionOptions(
            layout: RankLayout(tensorSize: 2 * groups, pipelineSize: 1),
            container: container
        )
        try bridge.importCheckpoint(to: directory.path("own"), options: options)
        try bridge.exportCheckpoint(from: directory.path("own"), to: directory.path("out"))
        #expect(try contents(of: directory.path("out")) == contents(of: directory.path("toy")))
        // A number of ranks that neither divides the groups nor is their multiple.
        let odd = ConversionOptions(
            layout: RankLayout(tensorSize: 2 * groups - 1, pipelineSize: 1),
            container: container
        )
        #expect(message { try bridge.importCheckpoint(to: directory.path("odd"), options: odd) }.contains("KV groups"))
    }
}
