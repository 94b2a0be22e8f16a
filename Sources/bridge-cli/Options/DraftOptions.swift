import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

/// A small model that proposes tokens, which the model verifies (speculative decoding).
struct DraftOptions: ParsableArguments {
    @Option(
        name: .customLong("draft-model"),
        help: ArgumentHelp(
            """
            A smaller model with the same tokenizer that proposes tokens, several of which the model verifies in one pass: a \
            directory, or org/name[@revision] on the hub. The output stays that of the model.
            """,
            valueName: "path|id"
        ),
        completion: .directory
    )
    var model: String?

    @Option(
        name: .customLong("num-draft-tokens"),
        help: ArgumentHelp("Tokens that --draft-model proposes at a time. (default: \(defaultCount))", valueName: "n")
    )
    var count: Int?

    private static let defaultCount = 4
    /// More than a draft model ever has accepted in a row.
    private static let mostCount = 64

    /// The number of tokens that are proposed at a time.
    var tokenCount: Int { count ?? Self.defaultCount }

    func validate() throws {
        guard let count else { return }
        guard model != nil else { throw ValidationError("--num-draft-tokens requires --draft-model") }
        guard (1...Self.mostCount).contains(count) else {
            throw ValidationError("--num-draft-tokens is \(count), expected 1 to \(Self.mostCount)")
        }
    }

    /// Loads the draft model; nil without the option.
    ///
    /// - Parameters:
    ///   - options: The options of the model.
    ///   - processor: The model's processor; nil where no text is read.
    ///   - engine: The engine of the model.
    ///   - verification: Compares the weights with their checksums in the background.
    /// - Returns: The draft model.
    /// - Throws: `BridgeError` for a model that cannot be used, and for one with other tokens.
    func load(
        _ options: ModelOptions,
        _ processor: (any ModelProcessor)?,
        on engine: any TensorEngine,
        verification: WeightVerification
    ) throws -> (any CausalModel)? {
        guard let model else { return nil }
        let bridge = try AutoBridge.fromHF(HubDirectory.resolve(model), catalog: options.plugins.catalog())
        if let own = processor?.tokenizer {
            let other = try bridge.processor().tokenizer
            if let difference = own.firstDifference(from: other) {
                throw BridgeError(
                    .badArgument,
                    "--draft-model \(model) has another vocabulary than the model: \(difference); give a model with the same tokenizer"
                )
            }
        }
        return try bridge.toModel(elementType: options.elementType?.elementType, on: engine, verification: verification)
    }

    /// Prints how many proposed tokens were accepted, and the speed.
    func report(_ timings: Generator.Timings) {
        guard model != nil else { return }
        Output.printError(
            "draft model: \(timings.acceptedTokens) of \(ByteFormat.counted(timings.draftedTokens, "proposed token")) accepted "
                + "(\(ByteFormat.rounded(100 * timings.acceptedShare, digits: 0)) %), \(ByteFormat.rounded(timings.tokensPerSecond, digits: 1)) tokens/s"
        )
    }

    /// The same for `--json`; nil without a draft model.
    func json(_ timings: Generator.Timings) -> JSON? {
        guard model != nil else { return nil }
        return [
            "drafted_tokens": JSON(timings.draftedTokens), "accepted_tokens": JSON(timings.acceptedTokens),
            "accepted_share": JSON(timings.acceptedShare), "verifications": JSON(timings.verifications),
            "tokens_per_second": JSON(timings.tokensPerSecond),
        ]
    }
}

extension Generator.Timings {
    /// The share of the proposed tokens that was accepted; 0 without any.
    var acceptedShare: Double { draftedTokens > 0 ? Double(acceptedTokens) / Double(draftedTokens) : 0 }

    /// The speed after the first token; 0 without a second one.
    var tokensPerSecond: Double { decode > 0 ? Double(decodeTokens) / decode : 0 }
}
