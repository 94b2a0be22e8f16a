import BridgeCore

/// Advice about a command or an option that does not exist.
enum OptionAdvice {
    /// Options that several commands have, with the reason why a command does not.
    private static let reasons = [
        "json": "it has no result to print as JSON",
        "strict": "it does not read the settings of a model",
        "threads": "it does not start threads",
        "no-progress": "it shows no progress bar",
        "verbose": "it logs nothing",
        "max-memory": "it uses no buffers of that size",
        "overwrite": "it writes no checkpoint",
        "dry-run": "it has no plan to print",
    ]

    /// The kinds of parallelism of Megatron that only training has or that do not exist here, by their options and settings.
    private static let parallelism = [
        "ep": expert, "expert-model-parallel-size": expert, "etp": expert, "expert-tensor-parallel-size": expert,
        "cp": context, "context-parallel-size": context,
        "vp": virtual, "vpp": virtual, "virtual-pipeline-model-parallel-size": virtual,
        "num-layers-per-virtual-pipeline-stage": virtual,
        "sp": sequence, "sequence-parallel": sequence,
        "dp": data, "data-parallel-size": data,
    ]
    private static let expert = "models with experts are not supported"
    private static let context = trains("context", "model.context_parallel_size=N")
    private static let virtual = trains("virtual pipeline", "model.virtual_pipeline_model_parallel_size=N")
    private static let sequence = trains("sequence", "model.sequence_parallel=true")
    private static let data = "data parallelism is for training, over the ranks that no other parallelism takes"

    private static func trains(_ kind: String, _ setting: String) -> String {
        "\(kind) parallelism is for training, with the setting \(setting)"
    }

    /// The advice about an unknown command; nil when no command is similar.
    static func command(_ word: String, among names: [String]) -> String? {
        NearestName.first(of: word, among: names).map { ", did you mean '\($0)'?" }
    }

    /// The error message of an option with two values where one counts.
    ///
    /// - Parameters:
    ///   - option: Its main name, with dashes.
    ///   - values: The values.
    ///   - options: The declared options of the command.
    /// - Returns: The message.
    static func repeated(_ option: String, _ values: [String], _ options: CommandOptions) -> String {
        let joined = values.joined(separator: ",")
        let advice =
            option == "--data" && options.takesSettings
            ? "; to join data sets, give dataset.source=[\(joined)] instead" : "; give it once"
        return "\(option) is given twice, as \(values.joined(separator: " and "))\(advice)"
    }

    /// The advice about an unknown option.
    ///
    /// - Parameters:
    ///   - name: The option as it was typed, without its dashes.
    ///   - command: The names of the command.
    ///   - options: The declared options of the command.
    /// - Returns: The end of the error message.
    static func option(_ name: String, of command: String, _ options: CommandOptions) -> String {
        let hyphenated = name.replacing("_", with: "-")
        if let reason = parallelism[hyphenated] {
            return options.names.contains("tp")
                ? ": \(reason); this command takes --tp (tensor parallelism) and --pp (pipeline parallelism)"
                : ": \(reason)"
        }
        if options.takesSettings, name.contains(".") {
            return "; settings have no dashes: \(name)=VALUE"
        }
        if let reason = reasons[hyphenated] { return ": \(reason)" }
        if options.names.contains(hyphenated) { return ", did you mean --\(hyphenated)?" }
        let names = options.names.union(OptionSpellings.aliases.filter { options.names.contains($0.value) }.keys)
        guard let near = NearestName.first(of: hyphenated, among: names) else {
            return "; '\(command) --help' lists the options"
        }
        return ", did you mean --\(OptionSpellings.name(of: near, among: options.names) ?? near)?"
    }
}
