import BridgeSupport

/// All settings of a recipe, used for reading and writing.
public enum RecipeTable {
    /// The settings, in the order in which they are written.
    public static let fields: [RecipeField] =
        first + model + train + optimizer + ddp + scheduler + dataset + preference + peft + checkpoint + logger + last

    private static let byKey = Dictionary(
        (fields + former).flatMap { field in ([field.key] + field.aliases).map { ($0, field) } }
    ) { first, _ in first }

    /// The setting with a key or an alias.
    public static func field(_ key: String) -> RecipeField? { byKey[key] }

    /// The settings whose keys have a prefix: one setting, a section, or all.
    ///
    /// - Throws: `BridgeError` with code `badArgument` if there is none.
    public static func fields(beginningWith prefix: String) throws -> [RecipeField] {
        let found = fields.filter { field in ([field.key] + field.aliases).contains { $0.hasPrefix(prefix) } }
        guard !found.isEmpty else { throw BridgeError(.badArgument, refusal(of: prefix)) }
        return found
    }

    /// The message for an unknown key: why a key of Megatron Bridge is not supported, or the most similar key.
    public static func refusal(of key: String) -> String {
        let shown = RecipeField.shortened(key)
        if let reason = RecipeForeignKeys.reason(key) { return "\(shown) is not supported: \(reason)" }
        if let inside = byKey.keys.filter({ $0.hasPrefix(key + ".") }).min() {
            return "\(shown) is a section and has no value of its own, expected one of its settings, such as \(inside)"
        }
        guard let near = nearest(to: key) else {
            return "\(shown) is not a setting; 'bridge recipes settings' lists them all"
        }
        return "\(shown) is not a setting, did you mean \(near)?"
    }

    /// The most similar key, if one is similar enough.
    static func nearest(to key: String) -> String? {
        // A correct name without its section is more similar than a misspelt one.
        let named = byKey.keys.filter { $0.hasSuffix("." + key) }.sorted()
        if let first = named.first { return first }
        let (section, alone) = split(key)
        if let own = foreignNames[alone] { return own }
        let homes = byKey.keys.filter { split($0).name == alone }
        // The right name in a wrong section.
        if let home = NearestName.first(of: key, among: homes, limit: key.utf8.count) ?? homes.min() { return home }
        if let near = NearestName.first(of: key, among: byKey.keys, limit: max(2, key.utf8.count / 5)) { return near }
        // The end of a name in the same section, such as train.iters for train.train_iters, before a name in another section.
        let ends = byKey.keys.filter { split($0).section == section && split($0).name.hasSuffix("_" + alone) }
        let repeated = "\(section).\(split(section).name)_\(alone)"
        if ends.contains(repeated) { return repeated }
        if let end = ends.min(by: { ($0.utf8.count, $0) < ($1.utf8.count, $1) }) { return end }
        let names = byKey.keys.map { split($0).name }
        let near = NearestName.first(of: alone, among: names, limit: max(1, alone.utf8.count / 6))
        return near.flatMap { name in byKey.keys.filter { split($0).name == name }.min() }
    }

    /// The settings under the names that transformers, peft, trl and axolotl have for them.
    private static let foreignNames = [
        "lora_alpha": "peft.alpha", "lora_r": "peft.dim", "r": "peft.dim", "rank": "peft.dim", "lora_rank": "peft.dim",
        "lora_dropout": "peft.dropout", "lora_target_modules": "peft.target_modules", "learning_rate": "optimizer.lr",
        "adam_epsilon": "optimizer.adam_eps", "max_grad_norm": "optimizer.clip_grad",
        "lr_scheduler_type": "scheduler.lr_decay_style", "lr_scheduler": "scheduler.lr_decay_style",
        "warmup_steps": "scheduler.lr_warmup_iters", "warmup_ratio": "scheduler.lr_warmup_fraction",
        "max_steps": "train.train_iters", "num_train_epochs": "train.num_epochs", "epochs": "train.num_epochs",
        "per_device_train_batch_size": "train.micro_batch_size", "batch_size": "train.global_batch_size",
        "gradient_accumulation_steps": "train.global_batch_size", "eval_steps": "train.eval_interval",
        "early_stopping_patience": "train.patience", "output_dir": "checkpoint.save",
        "save_steps": "checkpoint.save_interval",
        "save_total_limit": "checkpoint.most_recent_k", "max_length": "model.seq_length",
        "max_seq_length": "model.seq_length",
        "sequence_len": "model.seq_length", "sample_packing": "dataset.pack_sequences_in_batch",
        "packing": "dataset.pack_sequences_in_batch", "train_on_inputs": "dataset.loss_mode",
    ]

    /// The section of a key and the name in it.
    private static func split(_ key: String) -> (section: String, name: String) {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        return (parts.dropLast().joined(separator: "."), parts.last ?? key)
    }
}
