/// The lines of a table for the settings that decoders have under the same keys, with the defaults of one class.
public struct DecoderFields<Root: ConfigurationRoot>: Sendable {
    private let decoder: any WritableKeyPath<Root, DecoderConfiguration> & Sendable
    private let source: String

    /// The lines for a decoder.
    ///
    /// - Parameters:
    ///   - decoder: The decoder in the configuration.
    ///   - source: The class that supplies the values of absent keys.
    public init(_ decoder: any WritableKeyPath<Root, DecoderConfiguration> & Sendable, source: String) {
        self.decoder = decoder
        self.source = source
    }

    /// `num_hidden_layers`.
    public func numLayers(_ value: Int) -> Field<Root> { line("num_hidden_layers", "num_layers", \.numLayers, value) }

    /// `hidden_size`.
    public func hiddenSize(_ value: Int) -> Field<Root> { line("hidden_size", "hidden_size", \.hiddenSize, value) }

    /// `intermediate_size`.
    public func ffnHiddenSize(_ value: Int) -> Field<Root> {
        line("intermediate_size", "ffn_hidden_size", \.ffnHiddenSize, value)
    }

    /// `num_attention_heads`.
    public func numAttentionHeads(_ value: Int) -> Field<Root> {
        line("num_attention_heads", "num_attention_heads", \.numAttentionHeads, value)
    }

    /// `num_key_value_heads`.
    ///
    /// - Parameters:
    ///   - value: The value of an absent key.
    ///   - nullMeansAll: Whether null stands for as many as there are heads.
    /// - Returns: The line.
    public func numQueryGroups(_ value: Int, nullMeansAll: Bool = false) -> Field<Root> {
        let (key, megatron) = ("num_key_value_heads", "num_query_groups")
        guard nullMeansAll else { return line(key, megatron, \.numQueryGroups, value) }
        return Field<DecoderConfiguration>(
            key,
            megatron,
            \.numQueryGroups,
            ifAbsent: .classDefault(value, source: source),
            ifNull: "num_attention_heads",
            \.numAttentionHeads
        ).lifted(to: decoder)
    }

    /// `vocab_size`.
    public func vocabSize(_ value: Int) -> Field<Root> { line("vocab_size", "vocab_size", \.vocabSize, value) }

    /// `max_position_embeddings`.
    public func seqLength(_ value: Int) -> Field<Root> {
        line("max_position_embeddings", "seq_length", \.seqLength, value)
    }

    /// `rms_norm_eps`.
    public func layernormEpsilon(_ value: Double) -> Field<Root> {
        line("rms_norm_eps", "layernorm_epsilon", \.layernormEpsilon, value)
    }

    /// `rope_theta`.
    public func rotaryBase(_ value: Double) -> Field<Root> {
        line("rope_theta", "rotary_base", \.rotaryBase, value)
    }

    /// `sliding_window`.
    public func slidingWindow(_ value: Int?) -> Field<Root> {
        line("sliding_window", "sliding_window", \.slidingWindow, value)
    }

    /// `initializer_range`.
    public func initMethodStd(_ value: Double) -> Field<Root> {
        line("initializer_range", "init_method_std", \.initMethodStd, value)
    }

    /// `attention_dropout`.
    public func attentionDropout(_ value: Double) -> Field<Root> {
        line("attention_dropout", "attention_dropout", \.attentionDropout, value).dropout
    }

    /// The activation of the MLP.
    public func activation(_ value: String, key: String = "hidden_act") -> Field<Root> {
        line(key, "activation_func", \.activation, value)
    }

    private func line<Value: ConfigurationValue>(
        _ key: String,
        _ megatron: String,
        _ part: any WritableKeyPath<DecoderConfiguration, Value> & Sendable,
        _ value: Value
    ) -> Field<Root> {
        Field<DecoderConfiguration>(key, megatron, part, ifAbsent: .classDefault(value, source: source))
            .lifted(to: decoder)
    }
}
