import BridgeCore
import Foundation

/// The `README.md` of a trained model or adapter: what it was made from, how, and with which losses.
///
/// The fields of its head are those of the hub's model cards.
struct ModelCard {
    let recipe: Recipe
    let progress: RunProgress
    /// The loss of the last step; nil if it is not known.
    let loss: Double?
    /// The last validation; nil without any.
    let validation: ValidationRecord?

    private var isAdapter: Bool { recipe.peft.scheme != .none }

    /// The kind of training, in words.
    private var kind: String {
        let scheme =
            isAdapter
            ? "\(recipe.peft.scheme == .dora ? "DoRA" : "LoRA") of rank \(recipe.peft.dim)" : "all parameters"
        guard recipe.preference.isOn else { return "supervised fine-tuning, \(scheme)" }
        return "\(recipe.preference.lossType.rawValue.uppercased()) with beta \(recipe.preference.beta), \(scheme)"
    }

    /// A hub id, without the commit; nil for a directory.
    private var hubID: String? {
        let base = recipe.checkpoint.pretrainedCheckpoint
        guard !Files.exists(base), HubRepository(meantBy: base) != nil else { return nil }
        return String(base.prefix { $0 != "@" })
    }

    private var data: String {
        let section = recipe.dataset
        let sources = section.trainingSources.filter { !$0.isEmpty }
        // Nobody else has a path of the author's machine.
        let names = sources.map { $0.hasPrefix("/") || $0.hasPrefix(".") ? Files.name(of: $0) : $0 }
        return names.isEmpty
            ? (section.datasetType == .mock ? "synthetic" : section.makerName) : names.joined(separator: ", ")
    }

    /// The card.
    var markdown: String {
        let base = hubID ?? Files.name(of: Files.trimmed(recipe.checkpoint.pretrainedCheckpoint))
        var head = ["library_name: \(isAdapter ? "peft" : "transformers")"]
        if let hubID { head.append("base_model: \(hubID)") }
        head.append("tags:")
        let scheme = isAdapter ? [recipe.peft.scheme.rawValue] : []
        head += (scheme + [recipe.preference.isOn ? recipe.preference.lossType.rawValue : "sft"]).map { "- \($0)" }
        let (train, optimizer) = (recipe.train, recipe.optimizer)
        var rows: [(String, String)] = [
            ("Base model", base), ("Training", kind), ("Data", data),
            ("Steps", "\(progress.iteration) of \(train.trainIters)"), ("Samples", "\(progress.consumedSamples)"),
            ("Global batch size", "\(train.globalBatchSize)"), ("Sequence length", "\(recipe.dataset.seqLength)"),
            ("Learning rate", "\(optimizer.lr), \(recipe.scheduler.lrDecayStyle.rawValue)"),
            ("Precision", recipe.mixedPrecision.rawValue), ("Seed", "\(recipe.rng.seed)"),
        ]
        if let loss { rows.append(("Training loss", String(format: "%.4f", loss))) }
        if let validation { rows.append(("Validation loss", String(format: "%.4f", validation.loss))) }
        if let best = progress.best {
            rows.append(("Best \(best.metric.title)", String(format: "%.4f after step %d", best.value, best.iteration)))
        }
        let table = rows.map { "| \($0) | \($1.replacingOccurrences(of: "|", with: "\\|")) |" }
        return """
            ---
            \(head.joined(separator: "\n"))
            ---

            # \(recipe.name)

            Trained with Bridge \(PluginLoader.version).

            | | |
            | --- | --- |
            \(table.joined(separator: "\n"))

            """
    }
}
