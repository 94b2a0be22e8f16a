import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
package import Recipes
import TensorRuntime
import Yams

/// `run_config.yaml` as Megatron Bridge 0.3 to 0.6 load it: the class of the model with its fields.
///
/// Fields that are not given have the defaults of the class; functions are named by import paths that 0.6 allows.
package struct MegatronRunConfiguration {
    private let sections: [(name: String, content: JSON)]
    /// What the user of the file has to know.
    package let notes: [String]

    /// The configuration of a model.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - providerClass: The class that builds it; nil where the plugin names none.
    ///   - layout: The ranks that the checkpoint is divided for.
    ///   - savesOptimizer: Whether the checkpoint has the state of an optimizer.
    ///   - recipe: The settings of the run whose checkpoint it is; nil for a converted model.
    package init(
        model: FamilyModel,
        providerClass: ProviderClass?,
        layout: NativeLayout,
        savesOptimizer: Bool = false,
        recipe: Recipe? = nil
    ) {
        let own = model.megatronFields()
        var fields = JSONObject()
        if let providerClass { fields["_target_"] = .string(providerClass.target) }
        for name in Self.plainFields { if let value = own[name]?.nonNull { fields[name] = value } }
        let type = model.provider.elementType ?? .bfloat16
        let dtype: JSON = ["_call_": .bool(false), "_target_": .string("torch.\(type.rawValue)")]
        (fields["params_dtype"], fields["pipeline_dtype"]) = (dtype, dtype)
        fields["bf16"] = .bool(type == .bfloat16)
        fields["fp16"] = .bool(type == .float16)
        // Megatron counts the positions before a query, transformers the query too.
        if let window = own["sliding_window"]?.integer { fields["window_size"] = [JSON(window - 1), JSON(0)] }
        if own["rotary_scaling_type"]?.string == "yarn" {
            fields["position_embedding_type"] = "yarn"
            fields["yarn_rotary_scaling_factor"] = own["rotary_scaling_factor"]
            for (name, value) in own where name.hasPrefix("yarn_") && !value.isNull { fields[name] = value }
        }
        fields["tensor_model_parallel_size"] = JSON(layout.layout.tensorSize)
        fields["pipeline_model_parallel_size"] = JSON(layout.layout.pipelineSize)
        fields["make_vocab_size_divisible_by"] = JSON(layout.vocabularyMultiple ?? 1)
        fields["should_pad_vocab"] = .bool(layout.vocabularyMultiple != nil || layout.layout.tensorSize > 1)
        for (name, value) in providerClass?.fields(model.configuration, own) ?? [] { fields[name] = value }
        let always: [(name: String, content: JSON)] = [
            // What a run that resumes reads before it loads.
            (
                "checkpoint",
                [
                    "ckpt_format": "torch_dist", "save_optim": .bool(savesOptimizer), "save_rng": .bool(false),
                    "fully_parallel_save": .bool(true),
                    "pretrained_checkpoint": recipe.map { .string($0.checkpoint.pretrainedCheckpoint) } ?? .null,
                ]
            ),
            ("model", .object(fields)),
        ]
        sections = always + (recipe?.peft.megatron.map { [("peft", $0)] } ?? [])
        notes =
            providerClass == nil
            ? [
                "the plugin of \(model.architecture) names no class of Megatron Bridge, so \(RunConfiguration.name) describes the "
                    + "model without one; megatron-core loads the checkpoint all the same"
            ] : []
    }

    /// The fields of Megatron-Core's and Megatron Bridge's classes whose values are Bridge's own.
    private static let plainFields = [
        "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups", "kv_channels",
        "vocab_size", "seq_length", "layernorm_epsilon", "rotary_base", "share_embeddings_and_output_weights",
        "init_method_std", "attention_dropout",
    ]

    /// The text of the file.
    ///
    /// - Throws: What the YAML library throws.
    package func text() throws -> [UInt8] {
        let pairs = sections.map {
            (Node($0.name), Self.withDecimalPoints($0.content).yamlNode(lists: .any, string: Self.string))
        }
        return Array(try Yams.serialize(node: .mapping(Node.Mapping(pairs)), width: -1).utf8)
    }

    /// PyYAML takes `1e-05` for a text: it wants a decimal point before an exponent, and a sign after it.
    private static func withDecimalPoints(_ json: JSON) -> JSON {
        switch json {
        case .array(let items): return .array(items.map(withDecimalPoints))
        case .object(let members):
            return .object(JSONObject(members.map { ($0.key, withDecimalPoints($0.value)) }))
        case .number(let number):
            let parts = number.text.split(whereSeparator: { $0 == "e" || $0 == "E" })
            guard parts.count == 2 else { return json }
            let digits = parts[0].contains(".") ? "\(parts[0])" : "\(parts[0]).0"
            let sign = parts[1].hasPrefix("-") || parts[1].hasPrefix("+") ? "" : "+"
            return .number(JSONNumber(text: "\(digits)e\(sign)\(parts[1])"))
        default: return json
        }
    }

    private static func string(_ text: String) -> Node.Scalar { Node.Scalar(text, Tag(.str), .doubleQuoted) }
}

extension Recipe.PEFTSection {
    /// The adapters as Megatron Bridge's classes have them; nil without.
    ///
    /// Source: megatron/bridge/peft/{lora,dora,canonical_lora}.py, Megatron Bridge 0.3.1 and 0.6.2.
    fileprivate var megatron: JSON? {
        let target: String
        switch scheme {
        case .none: return nil
        case .lora where canonical: target = "canonical_lora.CanonicalLoRA"
        case .lora: target = "lora.LoRA"
        case .dora: target = "dora.DoRA"
        }
        // Megatron Bridge divides by the rank always.
        let scaled = usesRSLoRA ? alpha * Double(dim).squareRoot() : alpha
        let separate = [
            "linear_qkv": ["linear_q", "linear_k", "linear_v"], "linear_fc1": ["linear_fc1_gate", "linear_fc1_up"],
        ]
        let targets = canonical ? targetModules.flatMap { separate[$0] ?? [$0] } : targetModules
        return [
            "_target_": .string("megatron.bridge.peft.\(target)"),
            "target_modules": .array(targets.map { .string($0) }),
            "exclude_modules": .array(excludeModules.map { .string($0) }),
            "dim": JSON(dim),
            "alpha": Int(exactly: scaled).map { JSON($0) } ?? JSON(scaled),
            "dropout": JSON(dropout),
            "dropout_position": "pre",
        ]
    }
}
