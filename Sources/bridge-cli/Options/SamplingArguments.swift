import ArgumentParser
import BridgeCore

/// How tokens are chosen, and when to stop.
struct SamplingArguments: ParsableArguments {
    @Option(
        name: [.customLong("max-new-tokens"), .customLong("max_new_tokens")],
        help: ArgumentHelp("The most tokens to generate.", valueName: "n")
    )
    var maxNewTokens = 256

    @Option(
        name: .long,
        parsing: .unconditional,
        help: ArgumentHelp("More is more random; 0 takes the likeliest token.", valueName: "t")
    )
    var temperature: Float = 0

    @Option(
        name: .customLong("top-k"),
        help: ArgumentHelp("Choose among so many likeliest tokens; 0 for all.", valueName: "k")
    )
    var topK = 0

    @Option(
        name: .customLong("top-p"),
        help: ArgumentHelp("Choose among the likeliest tokens with this probability together.", valueName: "p")
    )
    var topP: Float = 1

    @Option(
        name: .customLong("min-p"),
        help: ArgumentHelp("Choose among tokens with this share of the likeliest one's probability.", valueName: "p")
    )
    var minP: Float = 0

    @Option(
        name: .customLong("repetition-penalty"),
        help: ArgumentHelp("More than 1 makes tokens that were there before less likely.", valueName: "x")
    )
    var repetitionPenalty: Float = 1

    @Option(
        name: .long,
        parsing: .unconditional,
        help: ArgumentHelp("The same seed gives the same text.", valueName: "n")
    )
    var seed: UInt64 = 0

    @Option(
        name: .long,
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp("Text that ends the answer; may be repeated.", valueName: "text")
    )
    var stop: [String] = []

    @Flag(name: .customLong("ignore-eos"), help: "Go on behind the token that ends a text.")
    var ignoresEnd = false

    func validate() throws {
        guard (1...1_000_000).contains(maxNewTokens) else {
            throw ValidationError("--max-new-tokens is \(maxNewTokens), expected 1 to 1000000")
        }
        guard !stop.contains("") else { throw ValidationError("--stop is empty; name the text that ends the answer") }
        let wantsRandom = topK != 0 || topP != 1 || minP != 0
        if temperature == 0, wantsRandom {
            throw ValidationError("--top-k, --top-p and --min-p choose among random tokens; give a --temperature too")
        }
    }

    /// The library's options.
    func options(_ bridge: AutoBridge) throws -> Generator.Options {
        var sampling = SamplingOptions()
        sampling.temperature = temperature
        sampling.topK = topK
        sampling.topP = topP
        sampling.minP = minP
        sampling.repetitionPenalty = repetitionPenalty
        sampling.seed = seed
        try sampling.validate()
        return Generator.Options(
            maxNewTokens: maxNewTokens,
            sampling: sampling,
            endTokens: ignoresEnd ? [] : try bridge.endTokens()
        )
    }
}
