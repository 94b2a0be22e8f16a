import BridgeSupport
package import JSONTree
import ModelSchema

extension PEFTConfiguration {
    /// The settings of the adapters of a checkpoint of Megatron Bridge.
    ///
    /// Which modules have adapters follows from its tensors. Source: megatron/bridge/peft/{lora,dora,canonical_lora}.py,
    /// Megatron Bridge 0.3.1 and 0.6.2.
    ///
    /// - Parameters:
    ///   - section: The section `peft` of `run_config.yaml`.
    ///   - name: The file, for messages.
    /// - Throws: `BridgeError` for other adapters than LoRA and DoRA, and for values that no adapter has.
    package init(megatron section: JSON, name: String) throws {
        let reader = JSONReader(section, name: "\(name): peft", code: .badConfiguration)
        let target = try reader.string("_target_")
        let kind = target.split(separator: ".").last.map(String.init) ?? ""
        guard Self.megatronClasses.contains(kind) else {
            throw reader.problem("_target_ is \(target), expected \(Self.megatronClasses.joined(separator: ", "))")
        }
        self.init(
            rank: try reader.integer("dim", in: Self.ranks),
            alpha: try reader.required("alpha", "a finite number") { $0.double.flatMap { $0.isFinite ? $0 : nil } },
            dropout: section["dropout"]?.double ?? 0,
            usesDoRA: kind == "DoRA"
        )
        unknownKeys = (section.object ?? JSONObject()).map(\.key).filter {
            !Self.megatronKeys.contains($0) && !$0.hasPrefix("_")
        }
    }

    private static let megatronClasses = ["LoRA", "VLMLoRA", "CanonicalLoRA", "DoRA"]
    /// Besides the rank and the scale: what initializes and trains adapters, and what is for experts, which no family has.
    private static let megatronKeys: Set<String> = [
        "dim", "alpha", "dropout", "target_modules", "exclude_modules", "canonical_mapping", "params_to_save",
        "dropout_position", "lora_A_init_method", "lora_B_init_method", "lora_dtype", "a2a_experimental",
        "sequence_parallel_input_regather", "normalize_moe_lora", "share_expert_adapters", "experts_shared_outer_loras",
        "freeze_vision_model", "freeze_vision_projection", "freeze_language_model",
    ]
}
