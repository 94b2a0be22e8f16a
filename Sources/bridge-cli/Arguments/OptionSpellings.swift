/// Other spellings of options, accepted by every command that has the option; help shows only the main one.
///
/// Underscores are accepted for the hyphens of every option and need no entry.
enum OptionSpellings {
    /// The main name of an option by its other names: those of the scripts of transformers, Megatron-LM and Megatron Bridge.
    static let aliases = [
        "hf-model-path": "hf-model", "hf-model-id": "hf-model",
        "megatron-model-path": "megatron-path",
        "hf-save-path": "hf-path",
        "image-path": "image",
        "torch-dtype": "dtype",
        "tensor-model-parallel-size": "tp",
        "pipeline-model-parallel-size": "pp",
        // Former names, for one release.
        "at-least": "min-accuracy", "show": "max-errors-shown",
        "stage-layers": "num-layers-per-stage",
        "real-size": "size", "hidden": "hidden-size", "layers": "num-layers",
        "raw": "no-chat-template", "verbose-steps": "print-logits",
    ]

    /// The name under which a command declares an option.
    ///
    /// - Parameters:
    ///   - name: The name as it was typed, without its dashes.
    ///   - declared: The long names that the command declares.
    /// - Returns: One of the declared names; nil for an unknown name.
    static func name(of name: String, among declared: Set<String>) -> String? {
        if declared.contains(name) { return name }
        let hyphenated = name.replacing("_", with: "-")
        if declared.contains(hyphenated) { return hyphenated }
        return aliases[hyphenated].flatMap { declared.contains($0) ? $0 : nil }
    }
}
