import BridgeCore
import JSONTree
import TensorRuntime

/// The Pixtral vision tower.
struct PixtralConfiguration: ConfigurationRoot, Equatable {
    /// Layers.
    var numLayers = 0
    /// Width of the residual stream.
    var hiddenSize = 0
    /// Width between the matrices of the MLP.
    var ffnHiddenSize = 0
    /// Heads; a head is `hiddenSize / numAttentionHeads` wide.
    var numAttentionHeads = 0
    /// Channels of an image.
    var numChannels = 0
    /// The longest side of an image, in pixels.
    var imageSize = 0
    /// The side of a patch, in pixels.
    var patchSize = 0
    /// The base of the rotary frequencies.
    var rotaryBase = 0.0
    /// The activation of the MLP.
    var activation = ""
    /// The share of attention weights that training drops.
    var attentionDropout = 0.0

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
        if wrong.isEmpty, hiddenSize % numAttentionHeads != 0 || hiddenSize / numAttentionHeads % 2 != 0 {
            wrong = [
                "vision_config.hidden_size is \(hiddenSize), not an even multiple of num_attention_heads, \(numAttentionHeads)"
            ]
        }
        guard wrong.isEmpty else {
            throw BridgeError(.badConfiguration, "\(name) describes a vision tower that cannot be", names: wrong)
        }
    }

    private static let source = "PixtralVisionConfig, transformers 5.23"

    /// `vision_config` and the fields.
    static let table = ConfigurationTable<PixtralConfiguration> {
        Field.fixed("model_type", ["pixtral"], ifAbsent: source)
        Field("num_hidden_layers", "vision_num_layers", \.numLayers, ifAbsent: .classDefault(24, source: source))
        Field("hidden_size", "vision_hidden_size", \.hiddenSize, ifAbsent: .classDefault(1024, source: source))
        Field(
            "intermediate_size",
            "vision_ffn_hidden_size",
            \.ffnHiddenSize,
            ifAbsent: .classDefault(4096, source: source)
        )
        Field(
            "num_attention_heads",
            "vision_num_attention_heads",
            \.numAttentionHeads,
            ifAbsent: .classDefault(16, source: source)
        )
        Field("num_channels", "vision_num_channels", \.numChannels, ifAbsent: .classDefault(3, source: source))
        Field("image_size", "vision_image_size", \.imageSize, ifAbsent: .classDefault(1024, source: source))
        Field("patch_size", "vision_patch_size", \.patchSize, ifAbsent: .classDefault(16, source: source))
        Field(
            ["rope_parameters.rope_theta", "rope_theta"],
            "vision_rotary_base",
            \.rotaryBase,
            ifAbsent: .classDefault(10000, source: source)
        )
        Field("hidden_act", "vision_hidden_act", \.activation, ifAbsent: .classDefault("gelu", source: source))
        Field(
            "attention_dropout",
            "vision_attention_dropout",
            \.attentionDropout,
            ifAbsent: .classDefault(0, source: source)
        )
        // The width of a head always follows from the two sizes, whatever is written.
        Field.carried(
            "head_dim",
            "initializer_range",
            "rope_parameters.rope_type",
            "rope_parameters.type",
            "dtype",
            "torch_dtype"
        )
    }

    /// The tensors of the tower below `vision_tower.`, with their shapes.
    var parameters: [(path: String, shape: [Int])] {
        let matrices = ["q", "k", "v", "o"].map { ("attention.\($0)_proj.weight", [hiddenSize, hiddenSize]) }
        let mlp = [
            ("feed_forward.gate_proj.weight", [ffnHiddenSize, hiddenSize]),
            ("feed_forward.up_proj.weight", [ffnHiddenSize, hiddenSize]),
            ("feed_forward.down_proj.weight", [hiddenSize, ffnHiddenSize]),
        ]
        let norms = [("attention_norm.weight", [hiddenSize]), ("ffn_norm.weight", [hiddenSize])]
        return [
            ("patch_conv.weight", [hiddenSize, numChannels, patchSize, patchSize]), ("ln_pre.weight", [hiddenSize]),
        ]
            + (0..<numLayers).flatMap { layer in
                (norms + matrices + mlp).map { ("transformer.layers.\(layer).\($0.0)", $0.1) }
            }
    }
}

/// A number, or a list of numbers, as `vision_feature_layer` may be either.
struct IntegerOrList: ConfigurationValue {
    /// The numbers.
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
