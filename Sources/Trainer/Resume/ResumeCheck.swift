import BridgeCore
import Foundation
import JSONTree

/// Compares the recipe of a run that is gone on with to the one that it began with.
struct ResumeCheck {
    /// Settings that differ and may, as `key: old -> new`.
    let changes: [String]

    /// What makes up the tensors in a checkpoint, or what they mean.
    private static let fixed: Set<String> = [
        "peft.scheme", "peft.dim", "peft.alpha", "peft.use_rslora", "peft.target_modules", "peft.exclude_modules",
        "peft.canonical",
        "peft.vision_lora", "peft.modules_to_save", "optimizer.optimizer",
    ]
    /// Sections that say where a run's files are and who tells of it, and nothing about the numbers.
    private static let indifferent = ["checkpoint.", "logger.", "name"]

    /// A comparison.
    ///
    /// - Parameters:
    ///   - recipe: The recipe.
    ///   - stored: The one that the run began with.
    ///   - path: The checkpoint that is gone on from.
    /// - Throws: `BridgeError` that lists settings under which the checkpoint means something else.
    init(_ recipe: Recipe, stored: Recipe, path: String) throws {
        func text(_ json: JSON) -> String { String(decoding: json.text(pretty: false), as: UTF8.self) }
        let differences = recipe.differences(from: stored)
        var broken = differences.filter { Self.fixed.contains($0.key) }.map {
            "\($0.key): \(text($0.theirs)) in the checkpoint, \(text($0.mine)) now"
        }
        let (old, new) = (stored.checkpoint.pretrainedCheckpoint, recipe.checkpoint.pretrainedCheckpoint)
        if !Self.areSame(old, new) { broken.append("checkpoint.pretrained_checkpoint: \(old) then, \(new) now") }
        guard broken.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(path) was made by another recipe; go on with its settings, or begin anew with another checkpoint.save",
                names: broken
            )
        }
        changes = differences.filter { difference in
            !Self.indifferent.contains { difference.key.hasPrefix($0) } && difference.key != "train.train_iters"
        }.map { "\($0.key): \(text($0.theirs)) -> \(text($0.mine))" }
    }

    /// Whether two paths lead to the same model; one that is gone cannot be told from another.
    private static func areSame(_ one: String, _ other: String) -> Bool {
        func resolved(_ path: String) -> String { URL(filePath: path).resolvingSymlinksInPath().standardized.path }
        return one == other || one.isEmpty || resolved(one) == resolved(other)
    }
}
