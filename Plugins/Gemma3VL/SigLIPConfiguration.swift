import BridgeCore
import JSONTree
import TensorRuntime

/// The SigLIP vision tower.
struct SigLIPConfiguration: ConfigurationRoot, Equatable {
    /// Layers.
    var numLayers = 0
    /// Width of the residual stream.
    var hiddenSize = 0
    /// Width between the matrices of the MLP.
    var ffnHiddenSize = 0
    /// Heads.
    var numAttentionHeads = 0
    /// Channels of an image.
    var numChannels = 0
    /// The side of an image, in pixels.
    var imageSize = 0
    /// The side of a patch, in pixels.
    var patchSize = 0
    /// The epsilon of the norms.
    var layernormEpsilon = 0.0
    /// The share of attention weights that training drops.
    var attentionDropout = 0.0

    /// Patches along a side of an image.
    var patchesPerSide: Int { imageSize / max(patchSize, 1) }

    func validate(name: String) throws {
        let sizes = [
            ("num_hidden_layers", numLayers), ("hidden_size", hiddenSize), ("intermediate_size", ffnHiddenSize),
            ("num_attention_heads", numAttentionHeads), ("num_channels", numChannels), ("image_size", imageSize),
            ("patch_size", patchSize),
        ]
        let bounds = ["num_hidden_layers": 4096, "num_channels": 1024, "patch_size": 4096]
        var wrong = sizes.compactMap { field, value -> String? in
            let bound = bounds[field] ?? 1 << 20
            return (1...bound).contains(value)
                ? nil : "vision_config.\(field) is \(value), expected 1 to \(bound)"
        }
        if wrong.isEmpty, hiddenSize % numAttentionHeads != 0 {
            wrong = [
                "vision_config.hidden_size is \(hiddenSize), not a multiple of num_attention_heads, \(numAttentionHeads)"
            ]
        }
        guard wrong.isEmpty else {
            throw BridgeError(.badConfiguration, "\(name) describes a vision tower that cannot be", names: wrong)
        }
    }

    private static let source = "SiglipVisionConfig, transformers 5.23"

    /// `vision_config` and the fields.
    static let table = ConfigurationTable<SigLIPConfiguration> {
        Field.fixed("model_type", ["siglip_vision_model"], ifAbsent: source)
        Field("num_hidden_layers", "vision_num_layers", \.numLayers, ifAbsent: .classDefault(12, source: source))
        Field("hidden_size", "vision_hidden_size", \.hiddenSize, ifAbsent: .classDefault(768, source: source))
        Field(
            "intermediate_size",
            "vision_ffn_hidden_size",
            \.ffnHiddenSize,
            ifAbsent: .classDefault(3072, source: source)
        )
        Field(
            "num_attention_heads",
            "vision_num_attention_heads",
            \.numAttentionHeads,
            ifAbsent: .classDefault(12, source: source)
        )
        Field("num_channels", "vision_num_channels", \.numChannels, ifAbsent: .classDefault(3, source: source))
        Field("image_size", "vision_image_size", \.imageSize, ifAbsent: .classDefault(224, source: source))
        Field("patch_size", "vision_patch_size", \.patchSize, ifAbsent: .classDefault(16, source: source))
        Field(
            "layer_norm_eps",
            "vision_layernorm_epsilon",
            \.layernormEpsilon,
            ifAbsent: .classDefault(1e-6, source: source)
        )
        Field(
            "attention_dropout",
            "vision_attention_dropout",
            \.attentionDropout,
            ifAbsent: .classDefault(0, source: source)
        )
        Field.fixed("hidden_act", ["gelu_pytorch_tanh"], ifAbsent: source)
        // Gemma's wrapper drops the pooling head, whatever the key says.
        Field.carried(
            "vision_use_head",
            "initializer_range",
            "dtype",
            "torch_dtype",
            "projection_dim",
            "projector_hidden_act"
        )
    }

    /// The tensors of the tower below `vision_tower.`, with their shapes.
    var parameters: [(path: String, shape: [Int])] {
        func affine(_ name: String, _ shape: [Int]) -> [(path: String, shape: [Int])] {
            [("\(name).weight", shape), ("\(name).bias", [shape[0]])]
        }
        let embeddings =
            affine("embeddings.patch_embedding", [hiddenSize, numChannels, patchSize, patchSize])
            + [("embeddings.position_embedding.weight", [patchesPerSide * patchesPerSide, hiddenSize])]
        let layers = (0..<numLayers).flatMap { layer in
            let own = "encoder.layers.\(layer)."
            return affine("\(own)layer_norm1", [hiddenSize]) + affine("\(own)layer_norm2", [hiddenSize])
                + ["q", "k", "v", "out"].flatMap { affine("\(own)self_attn.\($0)_proj", [hiddenSize, hiddenSize]) }
                + affine("\(own)mlp.fc1", [ffnHiddenSize, hiddenSize])
                + affine("\(own)mlp.fc2", [hiddenSize, ffnHiddenSize])
        }
        return embeddings + layers + affine("post_layernorm", [hiddenSize])
    }
}
