import BridgeCore
import JSONTree
import TensorRuntime

/// A model of `Gemma3ForConditionalGeneration`: a decoder with full and sliding layers, and a SigLIP tower.
struct Gemma3VLProvider: ModelProvider {
    var text = Gemma3TextConfiguration()
    var vision = SigLIPConfiguration()
    var elementType: ElementType?
    /// The placeholder token of image features.
    var imageTokenID = 0
    /// The token before an image.
    var beginOfImageTokenID = 0
    /// The token after an image.
    var endOfImageTokenID = 0
    /// Features of an image; a square number.
    var tokensPerImage = 0

    var decoder: DecoderConfiguration {
        get { text.decoder }
        set { text.decoder = newValue }
    }

    func validate(name: String) throws {
        try text.validate(name: name)
        try vision.validate(name: name)
        let side = (0...1024).first { $0 * $0 >= tokensPerImage } ?? 0
        guard tokensPerImage > 0, side * side == tokensPerImage, vision.patchesPerSide % side == 0 else {
            throw BridgeError(
                .badConfiguration,
                "\(name) pools \(vision.patchesPerSide) x \(vision.patchesPerSide) patches to \(tokensPerImage) tokens; "
                    + "that has to be a square number whose root divides \(vision.patchesPerSide)"
            )
        }
    }
}

extension Gemma3VLProvider {
    private static let source = "Gemma3Config, transformers 5.23"

    @Sendable private static func standardized(_ json: JSON) -> JSON {
        var result = json
        if let text = json["text_config"] { result.set(Gemma3TextConfiguration.standardized(text), at: "text_config") }
        return result
    }

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Gemma3VLProvider>(standardizing: standardized) {
        Field.fixed("model_type", ["gemma3"], ifAbsent: source)
        Field(
            ["torch_dtype", "dtype", "text_config.dtype", "text_config.torch_dtype"],
            "params_dtype",
            \.elementType,
            ifAbsent: .classDefault(nil, source: source),
            writesDefault: true,
            firstMatchWins: true
        )
        Field(
            ["image_token_index", "image_token_id"],
            "image_token_id",
            \.imageTokenID,
            ifAbsent: .classDefault(262_144, source: source)
        )
        Field(
            ["boi_token_index", "boi_token_id"],
            "boi_token_id",
            \.beginOfImageTokenID,
            ifAbsent: .classDefault(255_999, source: source)
        )
        Field(
            ["eoi_token_index", "eoi_token_id"],
            "eoi_token_id",
            \.endOfImageTokenID,
            ifAbsent: .classDefault(256_000, source: source)
        )
        Field(
            "mm_tokens_per_image",
            "mm_tokens_per_image",
            \.tokensPerImage,
            ifAbsent: .classDefault(256, source: source)
        )
        Field(
            ["text_config.tie_word_embeddings", "tie_word_embeddings"],
            "share_embeddings_and_output_weights",
            \.text.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(true, source: source),
            firstMatchWins: true
        )
        ConfigurationTable.section("text_config", \.text, Gemma3TextConfiguration.table)
        ConfigurationTable.section("vision_config", \.vision, SigLIPConfiguration.table)
    }
}
