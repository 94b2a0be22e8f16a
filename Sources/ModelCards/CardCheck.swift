/// What a verification card checks, in the order in which it is measured under each layout.
public enum CardCheck: String, Sendable, CaseIterable {
    /// The import of the directory.
    case importing = "import"
    /// The export of what was imported.
    case exporting = "export"
    /// Import and export through Megatron-Core's container.
    case torchDist = "torch_dist"
    /// A forward pass, against logits of transformers.
    case forward
    /// Greedy decoding.
    case generation = "generate"
    /// Full fine-tuning.
    case sft
    /// A run of full fine-tuning that is stopped and resumes.
    case sftResume = "sft_resume"
    /// The export of the tuned model.
    case sftExport = "sft_export"
    /// Training of LoRA adapters.
    case lora
    /// A run of LoRA that is stopped and resumes.
    case loraResume = "lora_resume"
    /// The export of the model with merged adapters.
    case loraExport = "lora_export"

    /// What a passed check has shown, in one sentence.
    public var summary: String {
        switch self {
        case .importing: "every tensor is accounted for and written as a Megatron checkpoint of this layout"
        case .exporting: "the export of that checkpoint equals the directory byte for byte"
        case .torchDist: "the same through the container of Megatron-Core"
        case .forward: "the logits of the checkpoint are those of transformers, in float32"
        case .generation: "greedy decoding with a cache has the logits and tokens of one pass without"
        case .sft: "full training: every loss is finite, the last below the first, all those of one rank"
        case .sftResume: "a run that is stopped halfway and resumes ends with the bytes of one that is not"
        case .sftExport: "the tuned model is exported, loads again, and has the trained tensors and their logits"
        case .lora: "LoRA: every loss is finite, the last below the first, all those of one rank"
        case .loraResume: "a run of LoRA that is stopped halfway and resumes ends with the bytes of one that is not"
        case .loraExport: "merged adapters are exported, load again, and give the logits of model and adapters"
        }
    }

    /// The check that has to pass before this one; nil for none.
    var requirement: CardCheck? {
        switch self {
        case .importing: nil
        case .exporting, .forward, .generation: .importing
        case .torchDist, .sft, .lora: nil
        case .sftResume, .sftExport: .sft
        case .loraResume, .loraExport: .lora
        }
    }

    /// Whether the model has to run.
    var runsModel: Bool { ![.importing, .exporting, .torchDist].contains(self) }

    /// The adapters of a check that trains; nil for other checks.
    var isLoRA: Bool? {
        switch self {
        case .importing, .exporting, .torchDist, .forward, .generation: nil
        case .sft, .sftResume, .sftExport: false
        case .lora, .loraResume, .loraExport: true
        }
    }
}
