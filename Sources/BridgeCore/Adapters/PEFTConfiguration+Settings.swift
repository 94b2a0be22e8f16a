import CheckpointFormats
import JSONTree
public import ModelSchema

extension PEFTConfiguration {
    /// The keys of `adapter_config.json` with their verdicts.
    ///
    /// PEFT ignores keys that it does not know, and warns of them.
    public static let settings = SettingsTable(
        file: AdapterFiles.configuration,
        source: "LoraConfig, peft 0.21 (peft/tuners/lora/config.py and peft/config.py)"
    ) {
        SettingsTable.honoured(
            "peft_type",
            "r",
            "lora_alpha",
            "lora_dropout",
            "use_rslora",
            "use_dora",
            "rank_pattern",
            "alpha_pattern",
            "init_lora_weights",
            "target_modules",
            "exclude_modules",
            "layers_to_transform",
            "layers_pattern",
            "modules_to_save",
            "trainable_token_indices",
            "ensure_weight_tying",
            "bias",
            "base_model_name_or_path",
            "revision"
        )
        SettingsTable.noEffect(
            "task_type",
            "auto_mapping",
            because: "it chooses the class that PEFT wraps the model in"
        )
        SettingsTable.noEffect("peft_version", because: "it names the release that wrote the file")
        SettingsTable.noEffect("inference_mode", because: "it freezes the adapter")
        SettingsTable.noEffect("runtime_config", because: "PEFT drops it when it reads the file")
        SettingsTable.noEffect("fan_in_fan_out", because: "PEFT sets it to false for linear layers and embeddings")
        SettingsTable.noEffect("megatron_config", "megatron_core", because: "it is for layers of Megatron-Core")
        SettingsTable.noEffect(
            "eva_config",
            "corda_config",
            "lora_ga_config",
            because: "it is used before training; init_lora_weights decides what loading does"
        )
        SettingsTable.noEffect("loftq_config", because: "it is used with init_lora_weights loftq, which is refused")
        SettingsTable.noEffect("velora_config", because: "it changes what the backward pass keeps")
        SettingsTable.noEffect("qalora_group_size", because: "it is used with use_qalora, which is refused")
        SettingsTable.only("lora_bias", [false, nil], "the adapter's matrices have no bias")
        SettingsTable.only("use_qalora", [false, nil], "QALoRA pools the layer's input")
        SettingsTable.only("use_bdlora", [false, nil], "BD-LoRA has block-diagonal matrices")
        SettingsTable.only("layer_replication", [[], nil], "it makes new layers of existing ones")
        SettingsTable.only("target_parameters", [[], nil], "it adapts parameters that are not those of linear layers")
        SettingsTable.only("alora_invocation_tokens", [[], nil], "aLoRA begins in the middle of a sequence")
        SettingsTable.only("arrow_config", [nil], "Arrow chooses among several adapters for each token")
        SettingsTable.only("monteclora_config", [nil], "MonteCLoRA draws its matrices at random")
        SettingsTable.only("kasa_config", [nil], "KaSA changes the base weights and has another product")
    }

    /// A value for a message.
    static func text(_ value: JSON) -> String { String(Setting.text(value).prefix(60)) }
}
