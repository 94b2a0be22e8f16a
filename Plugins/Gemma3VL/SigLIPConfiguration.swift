import BridgeCore
import JSONTree
import TensorRuntime

/// The SigLIP vision tower.
struct SigLIPConfiguration: ConfigurationRoot, Equatable {
    /// The sizes.
    var tower = VisionConfiguration()
    /// The epsilon of the norms.
    var layernormEpsilon = 0.0

    /// Patches along a side of an image.
    var patchesPerSide: Int { tower.imageSize / max(tower.patchSize, 1) }

    func validate(name: String) throws { try tower.validate(name: name) }

    private static let source = "SiglipVisionConfig, transformers 5.23"

    /// `vision_config` and the fields.
    static let table = ConfigurationTable<SigLIPConfiguration> {
        Field.fixed("model_type", ["siglip_vision_model"], ifAbsent: source)
        VisionConfiguration.fields(
            \.tower,
            classDefaults: VisionConfiguration(
                layers: 12,
                hidden: 768,
                ffn: 3072,
                heads: 12,
                channels: 3,
                image: 224,
                patch: 16
            ),
            source: source
        )
        Field(
            "layer_norm_eps",
            "vision_layernorm_epsilon",
            \.layernormEpsilon,
            ifAbsent: .classDefault(1e-6, source: source)
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
        let (hiddenSize, ffnHiddenSize, patchSize) = (tower.hiddenSize, tower.ffnHiddenSize, tower.patchSize)
        func affine(_ name: String, _ shape: [Int]) -> [(path: String, shape: [Int])] {
            [("\(name).weight", shape), ("\(name).bias", [shape[0]])]
        }
        let embeddings =
            affine("embeddings.patch_embedding", [hiddenSize, tower.numChannels, patchSize, patchSize])
            + [("embeddings.position_embedding.weight", [patchesPerSide * patchesPerSide, hiddenSize])]
        let layers = (0..<tower.numLayers).flatMap { layer in
            let own = "encoder.layers.\(layer)."
            return affine("\(own)layer_norm1", [hiddenSize]) + affine("\(own)layer_norm2", [hiddenSize])
                + ["q", "k", "v", "out"].flatMap { affine("\(own)self_attn.\($0)_proj", [hiddenSize, hiddenSize]) }
                + affine("\(own)mlp.fc1", [ffnHiddenSize, hiddenSize])
                + affine("\(own)mlp.fc2", [hiddenSize, ffnHiddenSize])
        }
        return embeddings + layers + affine("post_layernorm", [hiddenSize])
    }
}
