import BridgeSupport

/// The common settings of vision transformers: the sizes of the tower and of its images.
public struct VisionConfiguration: ConfigurationRoot, Equatable {
    /// Layers.
    public var numLayers: Int
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width between the matrices of the MLP.
    public var ffnHiddenSize: Int
    /// Heads; a head is `hiddenSize / numAttentionHeads` wide.
    public var numAttentionHeads: Int
    /// Channels of an image.
    public var numChannels: Int
    /// The side of an image, in pixels; the longest one where images keep their shape.
    public var imageSize: Int
    /// The side of a patch, in pixels.
    public var patchSize: Int
    /// The share of attention weights that training drops.
    public var attentionDropout: Double

    /// A configuration that waits to be filled.
    public init() {
        self.init(layers: 0, hidden: 0, ffn: 0, heads: 0, channels: 0, image: 0, patch: 0)
    }

    /// A configuration, such as the one that a class of Hugging Face's supplies.
    public init(layers: Int, hidden: Int, ffn: Int, heads: Int, channels: Int, image: Int, patch: Int) {
        numLayers = layers
        hiddenSize = hidden
        ffnHiddenSize = ffn
        numAttentionHeads = heads
        numChannels = channels
        imageSize = image
        patchSize = patch
        attentionDropout = 0
    }

    /// The lines of a table for these fields.
    ///
    /// - Parameters:
    ///   - tower: Where the values go.
    ///   - defaults: What the class supplies for keys that are absent.
    ///   - source: The class.
    /// - Returns: The lines.
    public static func fields<Root: ConfigurationRoot>(
        _ tower: any WritableKeyPath<Root, VisionConfiguration> & Sendable,
        classDefaults defaults: VisionConfiguration,
        source: String
    ) -> [Field<Root>] {
        func size(
            _ key: String,
            _ megatron: String,
            _ part: any WritableKeyPath<VisionConfiguration, Int> & Sendable
        ) -> Field<Root> {
            let absence = Field<VisionConfiguration>.Absence.classDefault(defaults[keyPath: part], source: source)
            return Field<VisionConfiguration>(key, megatron, part, ifAbsent: absence).lifted(to: tower)
        }
        let dropout = Field<VisionConfiguration>(
            "attention_dropout",
            "vision_attention_dropout",
            \.attentionDropout,
            ifAbsent: .classDefault(0, source: source)
        ).dropout
        return [
            size("num_hidden_layers", "vision_num_layers", \.numLayers),
            size("hidden_size", "vision_hidden_size", \.hiddenSize),
            size("intermediate_size", "vision_ffn_hidden_size", \.ffnHiddenSize),
            size("num_attention_heads", "vision_num_attention_heads", \.numAttentionHeads),
            size("num_channels", "vision_num_channels", \.numChannels),
            size("image_size", "vision_image_size", \.imageSize),
            size("patch_size", "vision_patch_size", \.patchSize),
            dropout.lifted(to: tower),
        ]
    }

    /// Checks the relations between the sizes.
    ///
    /// - Parameters:
    ///   - name: The file, for messages.
    ///   - needsEvenHeads: Whether heads are rotated, which takes an even width.
    /// - Throws: `BridgeError` with everything that is wrong.
    public func validate(name: String, needsEvenHeads: Bool = false) throws {
        let sizes = [
            ("num_hidden_layers", numLayers, 4096), ("hidden_size", hiddenSize, 1 << 20),
            ("intermediate_size", ffnHiddenSize, 1 << 20), ("num_attention_heads", numAttentionHeads, 1 << 20),
            ("num_channels", numChannels, 1024), ("image_size", imageSize, 1 << 20), ("patch_size", patchSize, 4096),
        ]
        var wrong = sizes.filter { !(1...$0.2).contains($0.1) }.map { field, value, bound in
            "vision_config.\(field) is \(value), expected 1 to \(bound)"
        }
        // Only now is it sure that the product fits.
        if wrong.isEmpty {
            let unit = numAttentionHeads * (needsEvenHeads ? 2 : 1)
            if hiddenSize % unit != 0 {
                let what = needsEvenHeads ? "an even multiple" : "a multiple"
                wrong = [
                    "vision_config.hidden_size is \(hiddenSize), not \(what) of num_attention_heads, \(numAttentionHeads)"
                ]
            }
        }
        guard wrong.isEmpty else {
            throw BridgeError(.badConfiguration, "\(name) describes a vision tower that cannot be", names: wrong)
        }
    }
}
