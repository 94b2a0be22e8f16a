import BridgeCore
import JSONTree
import TensorRuntime

/// The SigLIP vision tower.
struct SigLIPConfiguration: ConfigurationRoot, Equatable {
    /// The sizes.
    var tower = VisionConfiguration()
    /// The epsilon of the norms.
    var layernormEpsilon = 0.0

    /// The activation of the MLP, under transformers' name.
    var activation = ""
    /// Whether the class has a pooling head, which Gemma does not use.
    var hasHead = false

    /// Patches along a side of an image.
    var patchesPerSide: Int { tower.imageSize / max(tower.patchSize, 1) }

    func validate(name: String) throws {
        try tower.validate(name: name)
        do { _ = try ElementFunction(huggingFace: activation) } catch let error as BridgeError {
            throw BridgeError(.badConfiguration, "\(name): vision_config.hidden_act: \(error.message)")
        }
    }

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
        Field(
            "hidden_act",
            "vision_hidden_act",
            \.activation,
            ifAbsent: .classDefault("gelu_pytorch_tanh", source: source)
        )
        Field(
            ["vision_use_head"],
            "vision_use_head",
            \.hasHead,
            ifAbsent: .classDefault(true, source: source),
            writesDefault: true
        )
        Field.noEffect("dtype", "torch_dtype", because: "the type at the top level is used")
        Field.noEffect("projection_dim", "projector_hidden_act", because: "the class does not read it")
    }

    /// The tensors of the tower below `vision_tower.`, with their shapes.
    var parameters: [(path: String, shape: [Int])] {
        let (hiddenSize, ffnHiddenSize, patchSize) = (tower.hiddenSize, tower.ffnHiddenSize, tower.patchSize)
        let affine = Self.affine
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

    private static func affine(_ name: String, _ shape: [Int]) -> [(path: String, shape: [Int])] {
        [("\(name).weight", shape), ("\(name).bias", [shape[0]])]
    }

    /// The tensors of the pooling head, which are converted but not used.
    ///
    /// Source: `SiglipMultiheadAttentionPoolingHead` in `modeling_siglip.py`, transformers 5.23.
    var headParameters: [(path: String, shape: [Int])] {
        let (width, inner) = (tower.hiddenSize, tower.ffnHiddenSize)
        return [
            ("head.probe", [1, 1, width]), ("head.attention.in_proj_weight", [3 * width, width]),
            ("head.attention.in_proj_bias", [3 * width]),
        ]
            + Self.affine("head.attention.out_proj", [width, width]) + Self.affine("head.layernorm", [width])
            + Self.affine("head.mlp.fc1", [inner, width]) + Self.affine("head.mlp.fc2", [width, inner])
    }
}
