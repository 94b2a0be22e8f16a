/// The names of the files that hold adapters.
package enum AdapterFiles {
    /// The configuration of an adapter in PEFT's format.
    package static let configuration = "adapter_config.json"
    /// The weights of an adapter in PEFT's format.
    package static let weights = "adapter_model.safetensors"
    /// An adapter in mistral-finetune's format.
    package static let lora = "lora.safetensors"
}
