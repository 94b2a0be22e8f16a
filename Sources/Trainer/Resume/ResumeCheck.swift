import BridgeCore
import JSONTree

/// Compares the recipe of a resumed run with that of its checkpoint.
struct ResumeCheck {
    /// Allowed differences, as `key: old -> new`.
    let changes: [String]
    /// Those of them that name other training data.
    let dataChanges: [String]

    /// Settings that determine the tensors in a checkpoint or their meaning.
    private static let fixed: Set<String> = [
        "peft.scheme", "peft.dim", "peft.alpha", "peft.use_rslora", "peft.init_lora_weights", "peft.target_modules",
        "peft.exclude_modules", "peft.canonical", "peft.vision_lora", "peft.finetune_language_layers",
        "peft.finetune_attention_modules",
        "peft.finetune_mlp_modules", "peft.modules_to_save", "peft.adapter_name_or_path", "optimizer.optimizer",
    ]
    /// Settings that name the training data.
    private static let keysOfData: Set<String> = [
        "dataset.dataset_type", "dataset.train_data_path", "dataset.path_or_dataset", "dataset.maker_name",
        "dataset.source",
    ]
    /// Sections about files and logs, and settings that do not affect the results.
    private static let indifferent = ["checkpoint.", "logger.", "name", "dataset.prepared_path"]

    /// A comparison.
    ///
    /// - Parameters:
    ///   - recipe: The recipe.
    ///   - stored: The recipe in the checkpoint.
    ///   - path: The checkpoint.
    ///   - scalesWarmup: Whether the warm-up follows the number of steps.
    /// - Throws: `BridgeError` with the settings that do not fit the checkpoint.
    init(_ recipe: Recipe, stored: Recipe, path: String, scalesWarmup: Bool = false) throws {
        guard stored.checkpoint.saveOptim || !recipe.checkpoint.saveOptim else {
            let (key, own) =
                recipe.peft.scheme == .none
                ? ("checkpoint.pretrained_checkpoint", "weights") : ("peft.adapter_name_or_path", "adapter")
            throw BridgeError(
                .badArgument,
                "\(path) was saved with checkpoint.save_optim=false, so it has no state of the optimizer; resume with "
                    + "checkpoint.save_optim=false, which begins with a new state, or start a new run with its \(own): \(key)=\(path) and "
                    + "another checkpoint.save"
            )
        }
        func text(_ json: JSON) -> String { json.compactText }
        var recipe = recipe
        recipe.takeEpochs(of: stored, scalesWarmup: scalesWarmup)
        let differences = recipe.differences(from: stored)
        var broken = differences.filter { Self.fixed.contains($0.key) }.map {
            "\($0.key): \(text($0.theirs)) in the checkpoint, \(text($0.mine)) now"
        }
        let (old, new) = (stored.checkpoint.pretrainedCheckpoint, recipe.checkpoint.pretrainedCheckpoint)
        if !Self.areSame(old, new) { broken.append("checkpoint.pretrained_checkpoint: \(old) then, \(new) now") }
        guard broken.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(path) was saved with other settings; resume with them, or start a new run with another checkpoint.save",
                names: broken
            )
        }
        let allowed = differences.filter { difference in
            !Self.indifferent.contains { difference.key.hasPrefix($0) } && difference.key != "train.train_iters"
        }.map { (key: $0.key, sentence: "\($0.key): \(text($0.theirs)) -> \(text($0.mine))") }
        changes = allowed.map(\.sentence)
        dataChanges = allowed.filter { Self.keysOfData.contains($0.key) }.map(\.sentence)
    }

    /// Whether two paths are the same model; a missing one is assumed to be.
    private static func areSame(_ one: String, _ other: String) -> Bool {
        one == other || one.isEmpty || Destination.resolved(one) == Destination.resolved(other)
    }
}
