import BridgeCore
import Trainer

/// What the end of a run points to: its files, and the commands that use them.
struct NextCommands {
    /// The directory of the best checkpoint; nil if it is not kept.
    let best: String?
    /// Lines for the terminal.
    private(set) var lines: [String] = []

    /// Those of a run.
    init(_ run: TrainingRun, _ outcome: Trainer.Outcome) {
        let recipe = run.recipe
        func directory(_ iteration: Int) -> String? {
            let path = Files.join(recipe.checkpoint.save, NativeCheckpoint.iterationName(iteration))
            return recipe.checkpoint.save.isEmpty || Files.kind(of: path) != .directory ? nil : path
        }
        best = outcome.best.flatMap { directory($0.iteration) }
        let report = Files.join(recipe.logger.logDir, HTMLReport.fileName)
        if !recipe.logger.logDir.isEmpty, Files.exists(report) { lines.append("Report: \(report)") }
        guard let checkpoint = best ?? directory(outcome.iteration) else { return }
        let exported = Files.join(checkpoint, CheckpointFollowUp.directoryName)
        let hasExport = Files.kind(of: exported) == .directory
        if hasExport { lines.append("Hugging Face directory: \(exported)") }
        let base = RankLauncher.quoted(recipe.checkpoint.pretrainedCheckpoint)
        let isAdapter = recipe.peft.scheme != .none
        // A base of Megatron's form has another option.
        let model = run.bridge.directory == nil ? "--megatron-path \(base)" : "--hf-model \(base)"
        let bits = recipe.model.loadIn4bit ? " --quantize int4" : recipe.model.loadIn8bit ? " --quantize int8" : ""
        let isOfDefaultSize = recipe.model.quantizationGroupSize == QuantizationOptions.defaultGroupSize
        let group = isOfDefaultSize ? "" : " --quantize-group-size \(recipe.model.quantizationGroupSize)"
        let quantize = bits.isEmpty ? "" : bits + group
        let own = RankLauncher.quoted(checkpoint)
        lines.append(
            "Try it: bridge generate "
                + "\(isAdapter ? "\(model)\(quantize) --adapter \(own)" : "--megatron-path \(own)") --prompt '...'"
        )
        guard !hasExport else { return }
        lines.append(
            isAdapter
                ? "Export it: bridge adapter export \(model) --adapter \(own) --output adapter"
                : "Export it: bridge convert export --megatron-path \(own) --hf-path exported"
        )
    }
}
