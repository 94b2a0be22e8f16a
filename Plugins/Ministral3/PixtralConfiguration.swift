import BridgeCore
import JSONTree
import TensorRuntime

/// The Pixtral vision tower.
struct PixtralConfiguration: ConfigurationRoot, Equatable {
    /// The sizes.
    var tower = VisionConfiguration()
    /// The base of the rotary frequencies.
    var rotaryBase = 0.0
    /// The activation of the MLP.
    var activation = ""

    /// The head dimension if the file has one; it must be hidden_size / num_attention_heads.
    var headWidth: Int?

    func validate(name: String) throws {
        try tower.validate(name: name, needsEvenHeads: true)
        let follows = tower.hiddenSize / tower.numAttentionHeads
        if let headWidth, headWidth != follows {
            throw BridgeError(
                .badConfiguration,
                "\(name): vision_config.head_dim is \(headWidth); supported: hidden_size / num_attention_heads, \(follows)"
            )
        }
        do { _ = try ElementFunction(huggingFace: activation) } catch let error as BridgeError {
            throw BridgeError(.badConfiguration, "\(name): vision_config.hidden_act: \(error.message)")
        }
    }

    private static let source = "PixtralVisionConfig, transformers 5.23"

    /// `vision_config` and the fields.
    static let table = ConfigurationTable<PixtralConfiguration> {
        Field.fixed("model_type", ["pixtral"], ifAbsent: source)
        VisionConfiguration.fields(
            \.tower,
            classDefaults: VisionConfiguration(
                layers: 24,
                hidden: 1024,
                ffn: 4096,
                heads: 16,
                channels: 3,
                image: 1024,
                patch: 16
            ),
            source: source
        )
        Field(
            "rope_parameters.rope_theta",
            "vision_rotary_base",
            \.rotaryBase,
            ifAbsent: .classDefault(10000, source: source)
        )
        Field.fixed("rope_parameters.rope_type", ["default", "axial"], ifAbsent: source, writesDefault: false)
        RopeStandardization.otherSpellings(of: "rope_parameters", ["rope_scaling"])
        Field("hidden_act", "vision_hidden_act", \.activation, ifAbsent: .classDefault("gelu", source: source))
        Field(
            ["head_dim"],
            "vision_kv_channels",
            \.headWidth,
            ifAbsent: .classDefault(nil, source: source),
            writesDefault: false
        )
        Field.noEffect("dtype", "torch_dtype", because: "the type at the top level is used")
        Field.noEffect("vocab_size", because: "the tower has no vocabulary")
    }

    /// The tensors of the tower below `vision_tower.`, with their shapes.
    var parameters: [(path: String, shape: [Int])] {
        let (hiddenSize, ffnHiddenSize, patchSize) = (tower.hiddenSize, tower.ffnHiddenSize, tower.patchSize)
        let matrices = ["q", "k", "v", "o"].map { ("attention.\($0)_proj.weight", [hiddenSize, hiddenSize]) }
        let mlp = [
            ("feed_forward.gate_proj.weight", [ffnHiddenSize, hiddenSize]),
            ("feed_forward.up_proj.weight", [ffnHiddenSize, hiddenSize]),
            ("feed_forward.down_proj.weight", [hiddenSize, ffnHiddenSize]),
        ]
        let norms = [("attention_norm.weight", [hiddenSize]), ("ffn_norm.weight", [hiddenSize])]
        return [
            ("patch_conv.weight", [hiddenSize, tower.numChannels, patchSize, patchSize]),
            ("ln_pre.weight", [hiddenSize]),
        ]
            + (0..<tower.numLayers).flatMap { layer in
                (norms + matrices + mlp).map { ("transformer.layers.\(layer).\($0.0)", $0.1) }
            }
    }
}

/// An integer or a list of integers, for `vision_feature_layer`.
struct IntegerOrList: ConfigurationValue {
    /// The values.
    let values: [Int]
    private let isList: Bool

    /// One number.
    init(single: Int) { self.init(values: [single], isList: false) }

    private init(values: [Int], isList: Bool) {
        self.values = values
        self.isList = isList
    }

    static let expectation = "a whole number or a list of them"

    init?(json: JSON) {
        if let number = Int(json: json) {
            self.init(single: number)
        } else if let list = [Int](json: json) {
            self.init(values: list, isList: true)
        } else {
            return nil
        }
    }

    var json: JSON { isList ? values.json : values[0].json }
}
