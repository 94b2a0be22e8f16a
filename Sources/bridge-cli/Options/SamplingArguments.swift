import ArgumentParser
import BridgeCore

/// Sampling and stop criteria.
struct SamplingArguments: ParsableArguments {
    @Option(
        name: .customLong("max-new-tokens"),
        help: ArgumentHelp(
            "Maximum number of tokens to generate. (default: that of generation_config.json, or \(defaultMaxNewTokens))",
            valueName: "n"
        )
    )
    var maxNewTokens: Int?

    @Flag(
        name: .customLong("do-sample"),
        help: "Sample with the settings of the model's generation_config.json; options override them."
    )
    var doSample = false

    @Option(
        name: .long,
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sampling temperature; 0 is greedy decoding. (default: 0, with --do-sample the model's, or 1)",
            valueName: "t"
        )
    )
    var temperature: Float?

    @Option(
        name: .customLong("top-k"),
        help: ArgumentHelp(
            "Sample from the k most likely tokens; 0 for all. (default: the model's, or 50)",
            valueName: "k"
        )
    )
    var topK: Int?

    @Option(
        name: .customLong("top-p"),
        help: ArgumentHelp(
            "Sample from the most likely tokens with this cumulative probability. (default: the model's, or 1)",
            valueName: "p"
        )
    )
    var topP: Float?

    @Option(
        name: .customLong("min-p"),
        help: ArgumentHelp(
            "Sample from tokens with at least this fraction of the highest probability. (default: the model's, or 0)",
            valueName: "p"
        )
    )
    var minP: Float?

    @Option(
        name: .customLong("repetition-penalty"),
        help: ArgumentHelp(
            "Penalty for repeated tokens; 1 is none. (default: the model's, or 1)",
            valueName: "x"
        )
    )
    var repetitionPenalty: Float?

    @Option(
        name: .long,
        parsing: .unconditional,
        help: ArgumentHelp("Seed of the random number generator for sampling. (default: 0)", valueName: "n")
    )
    var seed: UInt64?

    @Option(
        name: .long,
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Stop string, which ends generation; may be repeated.", valueName: "text")
    )
    var stop: [String] = []

    @Flag(name: .customLong("ignore-eos"), help: "Continue after an end-of-sequence token.")
    var ignoresEnd = false

    private static let defaultMaxNewTokens = 256
    /// The default top-k of transformers.
    private static let defaultTopK = 50

    /// Whether tokens are sampled.
    private var samples: Bool { temperature.map { $0 > 0 } ?? doSample }

    func validate() throws {
        if let maxNewTokens, !(1...1_000_000).contains(maxNewTokens) {
            throw ValidationError("--max-new-tokens is \(maxNewTokens), expected 1 to 1000000")
        }
        guard !stop.contains("") else { throw ValidationError("--stop is empty; give the text that ends generation") }
        if doSample, temperature == 0 {
            throw ValidationError(
                "--do-sample contradicts --temperature 0, which is greedy decoding; give one of them"
            )
        }
        let wantsRandom = (topK ?? 0) != 0 || (topP ?? 1) != 1 || (minP ?? 0) != 0
        if !samples, wantsRandom {
            throw ValidationError(
                "--top-k, --top-p and --min-p require sampling; add --temperature or --do-sample"
            )
        }
    }

    /// Warns if the model's maximum sequence length limits the number of new tokens.
    ///
    /// - Parameters:
    ///   - asked: The number of new tokens that the user asked for; nil for the default.
    ///   - prompt: The number of tokens of the prompt.
    ///   - limit: The model's maximum sequence length.
    static func warnOfLength(_ asked: Int?, prompt: Int, limit: Int) {
        // The last token is generated and not read again.
        let most = limit - prompt + 1
        guard let asked, asked > most, most > 0 else { return }
        Output.warn(
            "--max-new-tokens is \(asked), but at most \(most) are generated: the prompt has \(prompt) tokens, and the model supports "
                + "at most \(limit) in total (max_position_embeddings)"
        )
    }

    /// The library's options: those of the command line, then those of the model's `generation_config.json`.
    ///
    /// Greedy decoding, the default, ignores the sampling settings of the file and prints a note.
    func options(_ bridge: AutoBridge) throws -> Generator.Options {
        var settings = try bridge.generationSettings()
        var sampling = SamplingOptions()
        let file = settings.sampling
        if samples {
            sampling.temperature = temperature ?? file.temperature ?? 1
            sampling.topK = topK ?? file.topK ?? Self.defaultTopK
            sampling.topP = topP ?? file.topP ?? 1
            sampling.minP = minP ?? file.minP ?? 0
            guard file.unsupported.isEmpty else {
                throw BridgeError(
                    .badConfiguration,
                    "generation_config.json has sampling settings that are not supported; "
                        + "remove them, or use greedy decoding",
                    names: file.unsupported
                )
            }
        } else {
            sampling.temperature = temperature ?? 0
        }
        if !samples, seed != nil {
            Output.warn(
                "--seed has no effect: decoding is greedy; add --temperature or --do-sample to sample"
            )
        }
        if !samples, file.doSample {
            Output.printError(
                "note: generation_config.json recommends sampling"
                    + (file.summary.isEmpty ? "" : " (\(file.summary))")
                    + "; decoding is greedy, --do-sample uses these settings"
            )
        }
        if let repetitionPenalty { settings.repetitionPenalty = repetitionPenalty }
        (sampling.repetitionPenalty, sampling.seed) = (settings.repetitionPenalty, seed ?? 0)
        try sampling.validate()
        // The penalty is applied with the model's other settings, in their order.
        sampling.repetitionPenalty = 1
        // max_new_tokens takes precedence over max_length, from any source.
        if maxNewTokens != nil || settings.maxNewTokens != nil { settings.maxLength = nil }
        var options = Generator.Options(
            maxNewTokens: maxNewTokens ?? settings.maxNewTokens ?? settings.maxLength ?? Self.defaultMaxNewTokens,
            sampling: sampling,
            endTokens: ignoresEnd ? [] : try bridge.endTokens()
        )
        options.settings = settings
        return options
    }
}
