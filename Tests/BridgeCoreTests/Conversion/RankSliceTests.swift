import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

/// What each rank's file holds, against slices of Hugging Face's tensors that are made row by row.
@Suite struct RankSliceTests {
    static let layouts = [1, 2, 4].flatMap { tensor in [1, 2, 3].map { (tensor, $0) } }

    @Test(arguments: ["mistral", "mistral-odd-vocab", "ministral3-untied", "gemma3-untied"], layouts)
    func everyRankHoldsItsSlice(_ name: String, _ sizes: (tensor: Int, pipeline: Int)) throws {
        let (tensorSize, pipelineSize) = sizes
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let layout = RankLayout(tensorSize: tensorSize, pipelineSize: pipelineSize)
        try bridge.importCheckpoint(to: directory.path("m"), options: ConversionOptions(layout: layout))

        let source = try SlowTensor.readAll(Fixtures.checkpoint(name), prefix: "model")
        let expected = SlowMegatron(
            source: source,
            decoder: bridge.toProvider().decoder,
            tensorSize: tensorSize,
            pipelineSize: pipelineSize
        )
        var seen = 0
        for stage in 0..<pipelineSize {
            for rank in 0..<tensorSize {
                let file = directory.path("m/iter_0000000/weights_tp0\(rank)_pp0\(stage).safetensors")
                let found = try SlowTensor.read(file)
                let wanted = try expected.file(rank: rank, stage: stage)
                #expect(Set(found.keys) == Set(wanted.keys))
                for (key, tensor) in wanted { #expect(found[key] == tensor, "\(key), rank \(rank), stage \(stage)") }
                seen += found.count
            }
        }
        #expect(seen > source.count / 2)
    }
}

/// Megatron's parameters by the book, with arrays.
struct SlowMegatron {
    let source: [String: SlowTensor]
    let decoder: DecoderConfiguration
    let tensorSize: Int
    let pipelineSize: Int

    private var isVision: Bool { source.keys.contains { $0.hasPrefix("language_model.") } }
    private var prefix: String { isVision ? "language_model.model." : "model." }
    private var own: String { isVision ? "language_model." : "" }

    /// First stages take the layers that are left over.
    private func stage(ofLayer layer: Int) -> Int {
        var end = 0
        for stage in 0..<pipelineSize {
            end += decoder.numLayers / pipelineSize + (stage < decoder.numLayers % pipelineSize ? 1 : 0)
            if layer < end { return stage }
        }
        return pipelineSize - 1
    }

    func file(rank: Int, stage: Int) throws -> [String: SlowTensor] {
        var file: [String: SlowTensor] = [:]
        func put(_ name: String, _ tensor: SlowTensor?) { file[own + name] = tensor }
        func hf(_ name: String) throws -> SlowTensor { try #require(source[prefix + name], "\(prefix + name)") }
        func column(_ tensor: SlowTensor) -> SlowTensor {
            let part = tensor.rows.count / tensorSize
            return tensor.rows(rank * part..<(rank + 1) * part)
        }
        func row(_ tensor: SlowTensor) -> SlowTensor {
            let part = tensor.shape[1] / tensorSize
            return tensor.columns(rank * part..<(rank + 1) * part)
        }
        func vocabulary(_ tensor: SlowTensor) -> SlowTensor {
            column(tensor.padded(to: (tensor.rows.count + tensorSize - 1) / tensorSize * tensorSize))
        }
        if stage == 0 {
            put("embedding.word_embeddings.weight", vocabulary(try hf("embed_tokens.weight")))
            for (name, tensor) in source where name.contains("vision_tower.") || name.contains("multi_modal_projector.")
            {
                if name.hasSuffix("mm_input_projection_weight") {
                    file["multi_modal_projector.proj.weight"] = column(tensor.transposed)
                } else if rank == 0 {
                    let short = name.replacing("vision_tower.vision_model.", with: "vision_tower.")
                        .replacing("mm_soft_emb_norm", with: "mm_soft_embed_norm")
                    file[short] = tensor
                }
            }
        }
        for layer in 0..<decoder.numLayers where self.stage(ofLayer: layer) == stage {
            let (from, to) = ("layers.\(layer).", "decoder.layers.\(layer).")
            put(
                "\(to)self_attention.linear_qkv.weight",
                column(interleaved(try ["q", "k", "v"].map { try hf("\(from)self_attn.\($0)_proj.weight") }))
            )
            put("\(to)self_attention.linear_proj.weight", row(try hf("\(from)self_attn.o_proj.weight")))
            put(
                "\(to)mlp.linear_fc1.weight",
                .stack([column(try hf("\(from)mlp.gate_proj.weight")), column(try hf("\(from)mlp.up_proj.weight"))])
            )
            put("\(to)mlp.linear_fc2.weight", row(try hf("\(from)mlp.down_proj.weight")))
            guard rank == 0 else { continue }
            put("\(to)self_attention.linear_qkv.layer_norm_weight", try hf("\(from)input_layernorm.weight"))
            if let norm = source["\(prefix)\(from)pre_feedforward_layernorm.weight"] {
                put("\(to)mlp.linear_fc1.layer_norm_weight", norm)
                put("\(to)mlp.linear_fc2.post_layernorm.weight", try hf("\(from)post_feedforward_layernorm.weight"))
                put(
                    "\(to)self_attention.linear_proj.post_layernorm.weight",
                    try hf("\(from)post_attention_layernorm.weight")
                )
                put("\(to)self_attention.q_layernorm.weight", try hf("\(from)self_attn.q_norm.weight"))
                put("\(to)self_attention.k_layernorm.weight", try hf("\(from)self_attn.k_norm.weight"))
            } else {
                put("\(to)mlp.linear_fc1.layer_norm_weight", try hf("\(from)post_attention_layernorm.weight"))
            }
        }
        if stage == pipelineSize - 1 {
            if rank == 0 { put("decoder.final_layernorm.weight", try hf("norm.weight")) }
            if let head = source["\(own)lm_head.weight"] { put("output_layer.weight", vocabulary(head)) }
        }
        return file
    }

    /// For each KV group its query heads, its key head, its value head.
    private func interleaved(_ tensors: [SlowTensor]) -> SlowTensor {
        let width = decoder.kvChannels
        let perGroup = decoder.numAttentionHeads / decoder.numQueryGroups
        var parts: [SlowTensor] = []
        for group in 0..<decoder.numQueryGroups {
            for head in 0..<perGroup {
                let start = (group * perGroup + head) * width
                parts.append(tensors[0].rows(start..<start + width))
            }
            parts.append(tensors[1].rows(group * width..<(group + 1) * width))
            parts.append(tensors[2].rows(group * width..<(group + 1) * width))
        }
        return .stack(parts)
    }
}
