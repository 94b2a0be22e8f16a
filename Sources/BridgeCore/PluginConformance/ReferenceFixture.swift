/// A checkpoint of a family, and what the reference program computes for it.
public struct ReferenceFixture: Sendable {
    /// The Hugging Face directory.
    public var checkpoint: String
    /// A safetensors file with inputs and float32 logits of the reference program; nil for none.
    ///
    /// `input_ids` [B, T] int64, the further inputs of `bridge forward --inputs`, and `logits` [B, n, V] of the last n positions;
    /// several cases have a prefix each, such as `text.input_ids` and `text.logits`.
    public var reference: String?

    /// A fixture.
    public init(checkpoint: String, reference: String? = nil) {
        self.checkpoint = checkpoint
        self.reference = reference
    }
}
