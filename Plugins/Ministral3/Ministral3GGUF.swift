import BridgeCore
import Imaging

/// llama.cpp's architecture `mistral3`, and its tower `pixtral`.
///
/// Source: src/models/mistral3.cpp and tools/mtmd/models/pixtral.cpp of llama.cpp, in llama-cpp-python 0.3.36.
extension Ministral3Bridge {
    private static let architecture = "mistral3"

    func gguf(of provider: Ministral3Provider, files: ProcessorFiles) throws -> GGUFModel {
        let decoder = GGUFDecoder(
            provider.decoder,
            architecture: Self.architecture,
            model: "language_model.model.",
            output: "language_model.lm_head.weight",
            hasPairedHeads: true
        )
        let processor = try Ministral3Processor(provider, files: files)
        return GGUFModel(
            architecture: Self.architecture,
            settings: decoder.settings + decoder.ropeScaling(hasRamp: true) + decoder.withoutWindow
                + [
                    decoder.activation(["silu"]),
                    .noEffect("image_token_id", because: "llama.cpp puts features where the image is"),
                ],
            tensors: decoder.tensors + [decoder.norm("post_attention_layernorm", "ffn_norm")],
            projector: GGUFProjector(
                settings: projectorSettings(of: provider, processor),
                tensors: projectorTensors(of: provider.vision),
                rows: [
                    (
                        "v.token_embd.img_break", processor.breakTokenID,
                        "language_model.model.embed_tokens.weight"
                    )
                ]
            )
        )
    }

    private func projectorSettings(of provider: Ministral3Provider, _ processor: Ministral3Processor) -> [GGUFSetting] {
        let (vision, layers) = (provider.vision, provider.visionFeatureLayer.values)
        return [.constant("clip.projector_type", .text("pixtral"))]
            + vision.tower.ggufSettings(
                width: provider.decoder.hiddenSize,
                rescale: processor.normalization.rescale,
                mean: processor.normalization.mean,
                deviation: processor.normalization.deviation
            )
            + [
                // The class's own; no file has it. Source: PixtralRMSNorm, transformers 5.23.
                .constant("clip.vision.attention.layer_norm_epsilon", .number(1e-5)),
                .keys(
                    "vision_hidden_act",
                    to: [
                        ("clip.use_silu", .flag(vision.activation == "silu")),
                        ("clip.use_gelu", .flag(isGELU(vision.activation))),
                    ]
                ),
                .only(
                    "vision_hidden_act",
                    vision.activation,
                    vision.activation == "silu" || isGELU(vision.activation),
                    expected: "silu, gelu or gelu_pytorch_tanh"
                ),
                .only("vision_rotary_base", "\(vision.rotaryBase)", vision.rotaryBase == 10000, expected: "10000"),
                .noEffect("vision_kv_channels", because: "it is the width divided by the heads"),
                .key("spatial_merge_size", "clip.vision.spatial_merge_size", .count(provider.spatialMergeSize)),
                .only(
                    "projector_hidden_act",
                    provider.projectorActivation,
                    isGELU(provider.projectorActivation),
                    expected: "gelu or gelu_pytorch_tanh"
                ),
                .noEffect("multimodal_projector_bias", because: "the biases are tensors"),
                .only("vision_feature_layer", "\(layers)", layers == [-1], expected: "-1"),
            ]
    }

    /// llama.cpp computes both with a hyperbolic tangent.
    private func isGELU(_ activation: String) -> Bool { ["gelu", "gelu_pytorch_tanh"].contains(activation) }

    private func projectorTensors(of vision: PixtralConfiguration) -> [GGUFTensor] {
        let width = vision.tower.hiddenSize / vision.tower.numAttentionHeads
        func layer(_ path: String, _ name: String, pairedHeads: Int? = nil) -> GGUFTensor {
            GGUFTensor(
                "vision_tower.transformer.layers.*.\(path).weight",
                "v.blk.*.\(name).weight",
                pairedHeads: pairedHeads
            )
        }
        let projector = "multi_modal_projector."
        return [
            GGUFTensor("vision_tower.patch_conv.weight", "v.patch_embd.weight", precision: .convolution),
            GGUFTensor("vision_tower.ln_pre.weight", "v.pre_ln.weight"),
            layer("attention_norm", "ln1"), layer("ffn_norm", "ln2"),
            layer("attention.q_proj", "attn_q", pairedHeads: width),
            layer("attention.k_proj", "attn_k", pairedHeads: width),
            layer("attention.v_proj", "attn_v"), layer("attention.o_proj", "attn_out"),
            layer("feed_forward.gate_proj", "ffn_gate"), layer("feed_forward.up_proj", "ffn_up"),
            layer("feed_forward.down_proj", "ffn_down"),
            GGUFTensor("\(projector)norm.weight", "mm.input_norm.weight"),
            GGUFTensor(
                "\(projector)patch_merger.merging_layer.weight",
                "mm.patch_merger.weight",
                precision: .convolution
            ),
            GGUFTensor("\(projector)linear_1.weight", "mm.1.weight"),
            GGUFTensor("\(projector)linear_1.bias", "mm.1.bias"),
            GGUFTensor("\(projector)linear_2.weight", "mm.2.weight"),
            GGUFTensor("\(projector)linear_2.bias", "mm.2.bias"),
        ]
    }
}
