public import ModelSchema
public import Tokenizers

/// The processor of a family that reads text only.
public struct TextProcessor: ModelProcessor {
    /// The tokenizer, with the model's chat templates.
    public let tokenizer: Tokenizer
    /// The language model.
    public let decoder: DecoderConfiguration

    /// A processor for a model and its files.
    public init(decoder: DecoderConfiguration, files: ProcessorFiles) {
        tokenizer = files.tokenizer
        self.decoder = decoder
    }
}
