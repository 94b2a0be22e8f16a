import JSONTree

/// A key of `adapter_config.json` and what becomes of it.
///
/// Source: the fields of `LoraConfig` in peft/tuners/lora/config.py and of its base classes in peft/config.py, 0.21.
struct PEFTSetting: Sendable {
    /// What becomes of a key.
    enum Verdict: Sendable {
        /// It is read.
        case honoured
        /// Whatever it is, the adapter computes the same.
        case noEffect(String)
        /// Only these values mean what is computed here; null and an absent key always do.
        case refused(unless: [JSON], String)
    }

    /// The key.
    let key: String
    /// What becomes of it.
    let verdict: Verdict

    private init(_ key: String, _ verdict: Verdict) { (self.key, self.verdict) = (key, verdict) }

    /// Every key that PEFT 0.21 knows.
    static let all: [PEFTSetting] = [
        .init("peft_type", .honoured),
        .init("r", .honoured),
        .init("lora_alpha", .honoured),
        .init("lora_dropout", .honoured),
        .init("use_rslora", .honoured),
        .init("use_dora", .honoured),
        .init("rank_pattern", .honoured),
        .init("alpha_pattern", .honoured),
        .init("init_lora_weights", .honoured),
        .init("target_modules", .honoured),
        .init("exclude_modules", .honoured),
        .init("layers_to_transform", .honoured),
        .init("layers_pattern", .honoured),
        .init("modules_to_save", .honoured),
        .init("trainable_token_indices", .honoured),
        .init("ensure_weight_tying", .honoured),
        .init("bias", .honoured),
        .init("base_model_name_or_path", .honoured),
        .init("revision", .honoured),
        .init("task_type", .noEffect("it chooses PEFT's wrapper class")),
        .init("auto_mapping", .noEffect("it names the class of the base model")),
        .init("peft_version", .noEffect("it says which release wrote the file")),
        .init("inference_mode", .noEffect("it freezes the adapter")),
        .init("runtime_config", .noEffect("PEFT drops it from files")),
        .init("fan_in_fan_out", .noEffect("PEFT sets it to false for linear layers and embeddings")),
        .init("megatron_config", .noEffect("it is for layers of Megatron-Core")),
        .init("megatron_core", .noEffect("it is for layers of Megatron-Core")),
        .init("eva_config", .noEffect("it is used before training only")),
        .init("corda_config", .noEffect("it is used before training only")),
        .init("lora_ga_config", .noEffect("it is used before training only")),
        .init("loftq_config", .noEffect("it is used with init_lora_weights loftq only, which is refused")),
        .init("velora_config", .noEffect("it changes what the backward pass keeps")),
        .init("qalora_group_size", .noEffect("it is used with use_qalora only, which is refused")),
        .init("lora_bias", .refused(unless: [false], "B has no bias here")),
        .init("use_qalora", .refused(unless: [false], "QALoRA pools the input")),
        .init("use_bdlora", .refused(unless: [false], "BD-LoRA has block-diagonal matrices")),
        .init("layer_replication", .refused(unless: [[]], "it makes new layers of old ones")),
        .init("target_parameters", .refused(unless: [[]], "it adapts parameters of other modules than linear ones")),
        .init("alora_invocation_tokens", .refused(unless: [[]], "aLoRA begins in the middle of a sequence")),
        .init("arrow_config", .refused(unless: [], "Arrow chooses among several adapters for each token")),
        .init("monteclora_config", .refused(unless: [], "MonteCLoRA draws its matrices at random")),
        .init("kasa_config", .refused(unless: [], "KaSA changes the base weights and has another product")),
    ]

    /// Refuses settings that mean another computation.
    ///
    /// - Parameters:
    ///   - json: The configuration.
    ///   - name: The file, for messages.
    /// - Returns: The keys that nothing here or in PEFT 0.21 knows, which PEFT ignores as well.
    /// - Throws: `BridgeError` for the first setting that is refused.
    static func check(_ json: JSON, name: String) throws -> [String] {
        for setting in all {
            guard case .refused(let values, let reason) = setting.verdict, let value = json[setting.key],
                !value.isNull, !values.contains(value)
            else { continue }
            let supported = (values.map(Self.text) + ["null"]).joined(separator: " and ")
            throw BridgeError(
                .badConfiguration,
                "\(name): \(setting.key) is \(text(value)), which is not supported (\(reason)); supported are \(supported). "
                    + "Merge the adapter with peft and use the merged model"
            )
        }
        let known = Set(all.map(\.key))
        return (json.object ?? JSONObject()).keys.filter { !known.contains($0) }
    }

    /// A value for a message.
    static func text(_ value: JSON) -> String {
        String(decoding: value.text(pretty: false).prefix(60), as: UTF8.self)
    }
}
