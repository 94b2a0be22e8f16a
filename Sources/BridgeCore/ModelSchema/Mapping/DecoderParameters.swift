import TensorFiles

/// The parameters that decoder-only transformers have in common, under the names of one publisher.
///
/// A family's table reuses these rows and adds its own where it differs.
public struct DecoderParameters: Sendable {
    /// The names of a publisher's tensors.
    public struct Names: Sendable {
        var embedding: String
        var layers: String
        var attention: [String]
        var gate: String
        var up: String
        var down: String
        var attentionNorm: String
        var mlpNorm: String
        var finalNorm: String
        var output: String
        var hasRotaryPairs = false

        /// transformers' names.
        ///
        /// - Parameters:
        ///   - model: The prefix of `embed_tokens`, such as `model.`.
        ///   - output: The output layer's weight.
        ///   - mlpNorm: The norm before the MLP.
        /// - Returns: The names.
        public static func transformers(
            model: String = "model.",
            output: String = "lm_head.weight",
            mlpNorm: String = "post_attention_layernorm"
        ) -> Names {
            Names(
                embedding: "\(model)embed_tokens.weight",
                layers: "\(model)layers.*.",
                attention: ["q", "k", "v", "o"].map { "self_attn.\($0)_proj.weight" },
                gate: "mlp.gate_proj.weight",
                up: "mlp.up_proj.weight",
                down: "mlp.down_proj.weight",
                attentionNorm: "input_layernorm.weight",
                mlpNorm: "\(mlpNorm).weight",
                finalNorm: "\(model)norm.weight",
                output: output
            )
        }

        /// The names of `consolidated.safetensors`, whose query and key matrices rotate neighbouring elements together.
        public static let consolidated = Names(
            embedding: "tok_embeddings.weight",
            layers: "layers.*.",
            attention: ["q", "k", "v", "o"].map { "attention.w\($0).weight" },
            gate: "feed_forward.w1.weight",
            up: "feed_forward.w3.weight",
            down: "feed_forward.w2.weight",
            attentionNorm: "attention_norm.weight",
            mlpNorm: "ffn_norm.weight",
            finalNorm: "norm.weight",
            output: "output.weight",
            hasRotaryPairs: true
        )
    }

    private let decoder: DecoderConfiguration
    private let names: Names
    private let megatron: String

    /// The parameters of a decoder.
    ///
    /// - Parameters:
    ///   - decoder: The sizes.
    ///   - names: The tensors' names.
    ///   - prefix: The prefix of Megatron's names, such as `language_model.`.
    public init(_ decoder: DecoderConfiguration, names: Names, prefix: String = "") {
        self.decoder = decoder
        self.names = names
        megatron = prefix
    }

    private var layer: String { "\(megatron)decoder.layers.*." }
    private func tensor(_ name: String) -> NamePattern { NamePattern(names.layers + name) }

    /// The word embeddings.
    public var embedding: ParameterMapping {
        Rename(
            NamePattern(embeddingName),
            NamePattern(names.embedding),
            [decoder.vocabSize, decoder.hiddenSize],
            split: .vocabulary
        )
    }

    private var embeddingName: String { "\(megatron)embedding.word_embeddings.weight" }

    /// The norm before the attention and the attention's two matrices.
    public var attention: [ParameterMapping] {
        let width = decoder.numAttentionHeads * decoder.kvChannels
        return [
            Rename(
                "\(layer)self_attention.linear_qkv.layer_norm_weight",
                tensor(names.attentionNorm),
                [decoder.hiddenSize]
            ),
            FuseHeads(
                "\(layer)self_attention.linear_qkv.weight",
                names.attention.prefix(3).map(tensor),
                heads: decoder.heads,
                hiddenSize: decoder.hiddenSize,
                rotaryPairs: names.hasRotaryPairs
            ),
            Rename(
                "\(layer)self_attention.linear_proj.weight",
                tensor(names.attention[3]),
                [decoder.hiddenSize, width],
                split: .row
            ),
        ]
    }

    /// The biases of the query, key and value projections.
    public var attentionBias: ParameterMapping {
        FuseHeadBiases(
            "\(layer)self_attention.linear_qkv.bias",
            names.attention.prefix(3).map { tensor($0.dropLast("weight".count) + "bias") },
            heads: decoder.heads,
            rotaryPairs: names.hasRotaryPairs
        )
    }

    /// The norms of the query and key heads, before the rotary embedding.
    public var headNorms: [ParameterMapping] {
        [
            norm("self_attention.q_layernorm.weight", "self_attn.q_norm.weight", decoder.kvChannels),
            norm("self_attention.k_layernorm.weight", "self_attn.k_norm.weight", decoder.kvChannels),
        ]
    }

    /// A norm over the elements of a layer's vector or of one head.
    public func norm(_ megatron: String, _ name: String, _ width: Int) -> ParameterMapping {
        Rename(NamePattern(layer + megatron), tensor(name), [width])
    }

    /// The norm before the MLP and the MLP's two matrices.
    public var gatedMLP: [ParameterMapping] {
        [
            Rename("\(layer)mlp.linear_fc1.layer_norm_weight", tensor(names.mlpNorm), [decoder.hiddenSize]),
            FuseGate(
                "\(layer)mlp.linear_fc1.weight",
                gate: tensor(names.gate),
                up: tensor(names.up),
                ffnHiddenSize: decoder.ffnHiddenSize,
                hiddenSize: decoder.hiddenSize
            ),
            Rename(
                "\(layer)mlp.linear_fc2.weight",
                tensor(names.down),
                [decoder.hiddenSize, decoder.ffnHiddenSize],
                split: .row
            ),
        ]
    }

    /// The norm after the last layer, and the output layer.
    public var head: [ParameterMapping] {
        LastStage {
            Rename("\(megatron)decoder.final_layernorm.weight", NamePattern(names.finalNorm), [decoder.hiddenSize])
            OutputLayer(
                "\(megatron)output_layer.weight",
                NamePattern(names.output),
                [decoder.vocabSize, decoder.hiddenSize],
                tiedTo: decoder.shareEmbeddingsAndOutputWeights ? embeddingName : nil
            )
        }
    }
}
