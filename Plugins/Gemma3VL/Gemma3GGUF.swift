import BridgeCore
import Imaging

/// llama.cpp's architecture `gemma3`, and its tower of the same name.
///
/// Source: src/models/gemma3.cpp and tools/mtmd/models/siglip.cpp of llama.cpp, in llama-cpp-python 0.3.36.
extension Gemma3TextConfiguration {
    /// The keys and names of the decoder.
    ///
    /// - Parameters:
    ///   - model: The prefix of `embed_tokens` in transformers' names.
    ///   - output: transformers' name of the output layer's weight.
    /// - Returns: The model, without a tower.
    func gguf(model: String, output: String) -> GGUFModel {
        let architecture = "gemma3"
        let shared = GGUFDecoder(
            decoder,
            architecture: architecture,
            model: model,
            output: output,
            hasPairedHeads: false,
            normOffset: 1
        )
        return GGUFModel(
            architecture: architecture,
            settings: shared.settings + shared.ropeScaling(hasRamp: false) + shared.withWindow + [
                shared.activation(["gelu_pytorch_tanh"]),
                .key("rotary_base_local", "\(architecture).rope.freq_base_swa", .number(rotaryLocalBase)),
                .noEffect("sliding_window_pattern", because: "every layer has its type"),
                .only(
                    "query_pre_attn_scalar",
                    "\(queryPreAttentionScalar)",
                    queryPreAttentionScalar == scalar,
                    expected: "\(scalar), from which llama.cpp takes it"
                ),
            ] + localSettings,
            tensors: shared.tensors + [
                shared.norm("self_attn.q_norm", "attn_q_norm"), shared.norm("self_attn.k_norm", "attn_k_norm"),
                shared.norm("post_attention_layernorm", "post_attention_norm"),
                shared.norm("pre_feedforward_layernorm", "ffn_norm"),
                shared.norm("post_feedforward_layernorm", "post_ffw_norm"),
            ]
        )
    }

    /// llama.cpp takes the width of a head, and in the model of 62 layers the width divided by the heads.
    private var scalar: Int {
        decoder.numLayers == 62 ? decoder.hiddenSize / decoder.numAttentionHeads : decoder.kvChannels
    }

    private var localSettings: [GGUFSetting] {
        [
            .only(
                "rotary_scaling_type_local",
                localScaling.type,
                localScaling.type == "default",
                expected: "default"
            ),
            .noEffect(
                "rotary_scaling_factor_local",
                "yarn_original_max_position_embeddings_local",
                "yarn_beta_fast_local",
                "yarn_beta_slow_local",
                "yarn_mscale_local",
                "yarn_mscale_all_dim_local",
                "yarn_attention_factor_local",
                "yarn_correction_range_round_to_int_local",
                "rope_low_freq_factor_local",
                "rope_high_freq_factor_local",
                "rotary_percent_local",
                because: "layers with a window are not scaled"
            ),
            .only(
                "llama_4_scaling_beta_local",
                "\(localScaling.llama4ScalingBeta ?? 0)",
                localScaling.llama4ScalingBeta == nil,
                expected: "none"
            ),
        ]
    }
}

extension Gemma3TextBridge {
    func gguf(of provider: Gemma3TextProvider, files: ProcessorFiles) throws -> GGUFModel {
        provider.text.gguf(model: "model.", output: "lm_head.weight")
    }
}

extension Gemma3VLBridge {
    func gguf(of provider: Gemma3VLProvider, files: ProcessorFiles) throws -> GGUFModel {
        var model = provider.text.gguf(model: "language_model.model.", output: "language_model.lm_head.weight")
        model.settings.append(
            .noEffect(
                "image_token_id",
                "boi_token_id",
                "eoi_token_id",
                because: "llama.cpp knows the tokens around an image by their texts"
            )
        )
        let processor = try Gemma3VLProcessor(provider, files: files)
        model.projector = GGUFProjector(
            settings: projectorSettings(of: provider, processor),
            tensors: Self.projectorTensors
        )
        return model
    }

    private func projectorSettings(of provider: Gemma3VLProvider, _ processor: Gemma3VLProcessor) -> [GGUFSetting] {
        let vision = provider.vision
        let side = (0...vision.patchesPerSide).first { $0 * $0 >= provider.tokensPerImage } ?? 1
        return [.constant("clip.projector_type", .text("gemma3"))]
            + vision.tower.ggufSettings(
                width: provider.decoder.hiddenSize,
                rescale: processor.normalization.rescale,
                mean: processor.normalization.mean,
                deviation: processor.normalization.deviation
            )
            + [
                .only(
                    "vision_ffn_hidden_size",
                    "\(vision.tower.ffnHiddenSize)",
                    vision.tower.ffnHiddenSize != vision.tower.hiddenSize,
                    expected: "another number than vision_hidden_size, for which llama.cpp exchanges the MLP's matrices"
                ),
                .key(
                    "vision_layernorm_epsilon",
                    "clip.vision.attention.layer_norm_epsilon",
                    .number(vision.layernormEpsilon)
                ),
                .constant("clip.use_gelu", .flag(true)),
                .only(
                    "vision_hidden_act",
                    vision.activation,
                    vision.activation == "gelu_pytorch_tanh",
                    expected: "gelu_pytorch_tanh"
                ),
                .noEffect("vision_use_head", because: "nothing is computed with the head"),
                .key(
                    "mm_tokens_per_image",
                    "clip.vision.projector.scale_factor",
                    .count(vision.patchesPerSide / max(side, 1))
                ),
            ]
    }

    private static var projectorTensors: [GGUFTensor] {
        let embeddings = "vision_tower.embeddings."
        let layers: [GGUFTensor] = [
            ("layer_norm1", "ln1"), ("layer_norm2", "ln2"), ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.out_proj", "attn_out"),
            ("mlp.fc1", "ffn_up"), ("mlp.fc2", "ffn_down"),
        ].flatMap { path, name in
            ["weight", "bias"].map {
                GGUFTensor(
                    NamePattern("vision_tower.encoder.layers.*.\(path).\($0)"),
                    NamePattern("v.blk.*.\(name).\($0)")
                )
            }
        }
        return [
            GGUFTensor("\(embeddings)patch_embedding.weight", "v.patch_embd.weight", precision: .single),
            GGUFTensor("\(embeddings)patch_embedding.bias", "v.patch_embd.bias"),
            GGUFTensor("\(embeddings)position_embedding.weight", "v.position_embd.weight", precision: .single),
        ] + layers + [
            GGUFTensor("vision_tower.post_layernorm.weight", "v.post_ln.weight"),
            GGUFTensor("vision_tower.post_layernorm.bias", "v.post_ln.bias"),
            .ignored("vision_tower.head.**", because: "nothing is computed with the head"),
            GGUFTensor("multi_modal_projector.mm_soft_emb_norm.weight", "mm.soft_emb_norm.weight", offset: 1),
            GGUFTensor(
                "multi_modal_projector.mm_input_projection_weight",
                "mm.input_projection.weight",
                precision: .half
            ),
        ]
    }
}
