import BridgeCore
import TensorRuntime
import TestSupport
import Testing

@testable import CheckpointFormats

/// `.metadata` of the checkpoints that Megatron Bridge 0.3.1 wrote; expected values as `pickle.load` of torch 2.13 gives them.
@Suite struct DistributedMetadataTests {
    private func metadata(_ name: String) throws -> DistributedMetadata {
        try DistributedMetadata(path: "\(Fixtures.root)/torch_dist/\(name)/iter_0000000/.metadata")
    }

    @Test func keysShapesAndChunksAreThoseThatTorchReads() throws {
        let metadata = try metadata("mistral-peer-tp2")
        #expect(
            metadata.entries.map(\.key) == [
                "embedding.word_embeddings.weight", "decoder.layers.self_attention.linear_proj.weight",
                "decoder.layers.self_attention.linear_qkv.weight",
                "decoder.layers.self_attention.linear_qkv.layer_norm_weight", "decoder.layers.mlp.linear_fc1.weight",
                "decoder.layers.mlp.linear_fc1.layer_norm_weight", "decoder.layers.mlp.linear_fc2.weight",
                "decoder.final_layernorm.weight", "output_layer.weight",
            ]
        )
        #expect(metadata.entries.allSatisfy { $0.elementType == .bfloat16 })
        #expect(metadata.entries[1].shape == [4, 64, 64])
        #expect(
            metadata.entries[1].chunks.map(\.offsets).prefix(5) == [
                [0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0], [0, 0, 32],
            ]
        )
        #expect(metadata.entries[4].shape == [4, 256, 64])
        #expect(metadata.entries[4].chunks.map(\.offsets).prefix(3) == [[0, 0, 0], [0, 128, 0], [1, 0, 0]])
        #expect(metadata.entries[4].chunks[0].sizes == [1, 64, 64])
        #expect(metadata.objects.count == 16)
        #expect(metadata.objects[0].key == "decoder.layers.self_attention.linear_proj._extra_state/shard_0_4")
        #expect(metadata.objects[0].item == .init(file: "__0_0.distcp", range: 0..<1261))
        #expect(metadata.files == ["__0_0.distcp", "__0_1.distcp", "__1_0.distcp", "__1_1.distcp"])
        #expect(!metadata.hasPlannerData)
    }

    @Test func whatIsWrittenIsReadAgain() throws {
        for name in ["mistral-peer-tp1", "mistral-peer-tp2"] {
            let metadata = try metadata(name)
            let again = try DistributedMetadata(parsing: metadata.pickled(), name: name)
            #expect(again.entries == metadata.entries && again.objects == metadata.objects)
        }
    }

    @Test func chunksAndLocationsAreChecked() throws {
        func message(_ change: (inout DistributedMetadata.Entry) -> Void) throws -> String {
            var entry = DistributedMetadata.Entry(
                key: "a",
                elementType: .float32,
                shape: [4, 2],
                chunks: [.init(offsets: [0, 0], sizes: [4, 2], item: .init(file: "__0_0.distcp", range: 0..<700))]
            )
            change(&entry)
            let metadata = DistributedMetadata(entries: [entry], objects: [])
            do {
                _ = try DistributedMetadata(parsing: metadata.pickled(), name: ".metadata")
                return "no error"
            } catch { return (error as? BridgeError)?.message ?? "\(error)" }
        }
        #expect(try message { _ in } == "no error")
        #expect(try message { $0.chunks[0].offsets = [1, 0] }.contains("reaches outside its size [4, 2]"))
        #expect(try message { $0.chunks[0].sizes = [4] }.contains("reaches outside"))
        #expect(try message { $0.chunks[0].item.file = "../secret" }.contains("not inside the checkpoint"))
        #expect(try message { $0.chunks.append($0.chunks[0]) }.contains("twice"))
        #expect(try message { $0.shape = [1 << 40, 1 << 40] }.contains("no memory can hold"))
        #expect(try message { $0.chunks[0].item.range = 0..<1 << 60 }.contains("at byte 0"))
    }
}
