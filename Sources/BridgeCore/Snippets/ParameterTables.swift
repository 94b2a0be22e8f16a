// The code of the article ParameterTables.

import BridgeCore

// snippet.table
let (hidden, ffn, vocabulary) = (48, 128, 600)
let heads = HeadLayout(queryHeads: 12, groups: 4, headWidth: 10)
let table = ParameterTable {
    Rename("embedding.word_embeddings.weight", "model.embed_tokens.weight", [vocabulary, hidden], split: .vocabulary)
    Layers(4) {
        Rename(
            "decoder.layers.*.self_attention.linear_qkv.layer_norm_weight",
            "model.layers.*.input_layernorm.weight",
            [hidden]
        )
        FuseHeads(
            "decoder.layers.*.self_attention.linear_qkv.weight",
            [
                "model.layers.*.self_attn.q_proj.weight", "model.layers.*.self_attn.k_proj.weight",
                "model.layers.*.self_attn.v_proj.weight",
            ],
            heads: heads,
            hiddenSize: hidden
        )
        Rename(
            "decoder.layers.*.self_attention.linear_proj.weight",
            "model.layers.*.self_attn.o_proj.weight",
            [hidden, heads.queryHeads * heads.headWidth],
            split: .row
        )
        FuseGate(
            "decoder.layers.*.mlp.linear_fc1.weight",
            gate: "model.layers.*.mlp.gate_proj.weight",
            up: "model.layers.*.mlp.up_proj.weight",
            ffnHiddenSize: ffn,
            hiddenSize: hidden
        )
    }
    LastStage {
        Rename("decoder.final_layernorm.weight", "model.norm.weight", [hidden])
    }
}
// snippet.end

// snippet.transform
/// Query, key and value one below the other in one tensor, as some files have them.
struct StackedHeads: ParameterTransform {
    let heads: HeadLayout
    var summary: String { "q, k, v stacked" }

    private var stacking: Stacking {
        let (queries, keys) = (heads.queryHeads * heads.headWidth, heads.groups * heads.headWidth)
        return Stacking(heights: [queries, keys, keys])
    }

    func toMegatron(_ tensors: [TensorView]) -> TensorView {
        HeadInterleaving(heads).toMegatron(stacking.toHuggingFace(tensors[0]))
    }

    func toHuggingFace(_ parameter: TensorView) -> [TensorView] {
        [stacking.toMegatron(HeadInterleaving(heads).toHuggingFace(parameter))]
    }
}

let line = ParameterMapping(
    "decoder.layers.*.self_attention.linear_qkv.weight",
    ["model.layers.*.self_attn.qkv_proj.weight"],
    shapes: [[(heads.queryHeads + 2 * heads.groups) * heads.headWidth, hidden]],
    transform: StackedHeads(heads: heads),
    split: .column,
    parts: heads.groups
)
// snippet.end

// snippet.rows
for row in table.mappings { print(row.megatron, row.huggingFace, row.shapes, row.split) }
// snippet.end
