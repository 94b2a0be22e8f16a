import ModelSchema
package import TensorFiles

/// How Megatron-Core divides a parameter, by its name.
///
/// For checkpoints that do not describe it; a native checkpoint has it in its manifest. Source: the layers of
/// megatron/core/transformer and of megatron/core/models/gpt, megatron-core 0.16 to 0.19.
package struct CoreParameterRule: Sendable {
    private var ending: String
    private var split: SplitRule
    private var stage: ParameterMapping.Stage

    private static let rules = [
        CoreParameterRule(ending: "embedding.word_embeddings.weight", split: .vocabulary, stage: .first),
        CoreParameterRule(ending: "output_layer.weight", split: .vocabulary, stage: .last),
        CoreParameterRule(ending: "decoder.final_layernorm.weight", split: .replicated, stage: .last),
        CoreParameterRule(ending: ".self_attention.linear_qkv.weight", split: .column, stage: .layer),
        CoreParameterRule(ending: ".self_attention.linear_qkv.bias", split: .column, stage: .layer),
        CoreParameterRule(ending: ".self_attention.linear_proj.weight", split: .row, stage: .layer),
        CoreParameterRule(ending: ".mlp.linear_fc1.weight", split: .gatedColumn, stage: .layer),
        CoreParameterRule(ending: ".mlp.linear_fc2.weight", split: .row, stage: .layer),
    ]

    /// A whole parameter, with how it is divided.
    ///
    /// - Parameters:
    ///   - name: Megatron-Core's name.
    ///   - view: Its elements.
    ///   - groups: The KV groups of an attention layer, where they are known.
    /// - Returns: The parameter.
    package static func parameter(_ name: String, _ view: TensorView, groups: Int?) -> GlobalParameter {
        let layer = MegatronKey.stacked(name)?.layer
        // The towers of a model have layers of their own, which are not divided.
        let rule = rules.first { name.hasSuffix($0.ending) && ($0.stage != .layer || layer != nil) }
        return GlobalParameter(
            name: name,
            view: view,
            split: rule?.split ?? .replicated,
            stage: layer != nil ? .layer : rule?.stage ?? .first,
            layer: layer,
            parts: rule?.split == .column ? groups : nil
        )
    }
}
