public import ModelSchema

extension VisionConfiguration {
    /// The keys of a tower in a GGUF file.
    ///
    /// Source: tools/mtmd/clip.cpp of llama.cpp, in llama-cpp-python 0.3.36.
    ///
    /// - Parameters:
    ///   - width: The width of the language model.
    ///   - rescale: The factor of a byte of a pixel.
    ///   - mean: What is subtracted from red, green and blue after that.
    ///   - deviation: Their divisors after that.
    /// - Returns: The settings.
    public func ggufSettings(width: Int, rescale: Double, mean: [Double], deviation: [Double]) -> [GGUFSetting] {
        func key(_ field: String, _ name: String, _ value: Int) -> GGUFSetting {
            .key(field, "clip.vision.\(name)", .count(value))
        }
        return [
            .constant("clip.has_vision_encoder", .flag(true)),
            .constant("clip.vision.projection_dim", .count(width)),
            key("vision_image_size", "image_size", imageSize),
            key("vision_patch_size", "patch_size", patchSize),
            key("vision_hidden_size", "embedding_length", hiddenSize),
            key("vision_ffn_hidden_size", "feed_forward_length", ffnHiddenSize),
            key("vision_num_layers", "block_count", numLayers),
            key("vision_num_attention_heads", "attention.head_count", numAttentionHeads),
            .only("vision_num_channels", "\(numChannels)", numChannels == 3, expected: "3"),
            .noEffect("vision_attention_dropout", because: "it is for training"),
            .constant("clip.vision.image_mean", .numbers(mean.map { Float($0) })),
            .constant("clip.vision.image_std", .numbers(deviation.map { Float($0) })),
            .only("rescale_factor", "\(rescale)", abs(rescale * 255 - 1) < 1e-6, expected: "1/255"),
        ]
    }
}
