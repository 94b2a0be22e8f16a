import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

/// Generates text.
struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Generate an answer to a prompt, with or without images.",
        discussion: """
            The chat template of the model is applied to the prompt, unless --no-chat-template is given. Decoding is greedy, unless \
            --temperature is more than 0 or --do-sample is given. Penalties, suppressed tokens and stop strings of the \
            model's generation_config.json always apply.

            --prompt-file continues many prompts, several at a time, and writes their answers to --output.

            --prompt-cache keeps the computed beginning of a prompt, such as a long system message, in a file for later calls. \
            --draft-model has a smaller model propose tokens (speculative decoding), which changes the speed and not the output.

            With --tp and --pp the model is divided over ranks, which are started with mpirun; the first one prints.

            EXAMPLES:
              bridge generate --hf-model toy --prompt 'What is the capital of France?'
              bridge generate --hf-model toy --prompt 'Describe this image.' \\
                --image table.png --max-new-tokens 50
              bridge generate --megatron-path toy-megatron --prompt 'Once upon a time' \\
                --no-chat-template --temperature 0.7 --seed 1
              bridge generate --hf-model toy --messages chat.json --json
              bridge generate --hf-model toy --prompt-file prompts.jsonl \\
                --output answers.jsonl --max-new-tokens 100
              bridge generate --hf-model toy --prompt 'Hello' --tp 2
              bridge generate --hf-model google/gemma-3-1b-it --prompt 'Hello' \\
                --quantize int4
              bridge generate --hf-model toy --messages chat.json \\
                --prompt-cache chat.safetensors
              bridge generate --hf-model google/gemma-3-12b-it --prompt 'Hello' \\
                --draft-model google/gemma-3-1b-it --num-draft-tokens 6
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var quantization: QuantizationOptions
    @OptionGroup var prompt: PromptOptions
    @OptionGroup var sampling: SamplingArguments
    @OptionGroup var promptCache: PromptCacheOptions
    @OptionGroup var draft: DraftOptions
    @OptionGroup var ranks: ModelRankOptions

    @Option(
        name: .long,
        help: ArgumentHelp("A safetensors file with input_ids instead of a prompt.", valueName: "file"),
        completion: .file(extensions: ["safetensors"])
    )
    var inputs: String?

    @OptionGroup var many: PromptFileOptions
    @OptionGroup var output: OutputOptions

    @Flag(
        name: .customLong("print-logits"),
        help: "Print every step with its most likely tokens, as the scripts of Megatron Bridge do."
    )
    var verboseSteps = false

    func validate() throws {
        guard [inputs != nil, prompt.isGiven, many.promptFile != nil].filter(\.self).count == 1 else {
            throw ValidationError("give one of --prompt, --messages, --prompt-file and --inputs")
        }
        if many.promptFile != nil, verboseSteps {
            throw ValidationError("--print-logits has no effect with --prompt-file; remove one of them")
        }
        if many.promptFile != nil, promptCache.path != nil {
            throw ValidationError(
                "--prompt-cache is for one prompt; remove it, or give --prompt instead of --prompt-file"
            )
        }
        if many.promptFile != nil, draft.model != nil {
            throw ValidationError(
                "--draft-model is for one prompt, the prompts of --prompt-file share the passes through the model; remove one of them"
            )
        }
        if inputs != nil { try prompt.refuse(beside: "--inputs") }
        if output.json, verboseSteps { throw ValidationError("give either --json or --print-logits") }
    }

    func run() throws {
        let clock = ContinuousClock()
        let start = clock.now
        Interrupt.exitsImmediately(true)
        try ranks.requireOneRank(for: "--prompt-cache", isGiven: promptCache.path != nil)
        try ranks.requireOneRank(for: "--draft-model", isGiven: draft.model != nil)
        try promptCache.check()
        let groups = try ranks.groups(
            "bridge generate",
            models: [self.model.huggingFace],
            threads: self.model.threads.asked
        )
        if let file = many.promptFile, let output = many.output {
            return try answer(file, output, groups, since: start)
        }
        let bridge = try model.bridge()
        let verification = WeightVerification()
        let model = try model.model(bridge, groups, verification: verification, quantization: quantization.choice())
        // Tokens from a file need no tokenizer; with one, their text is printed.
        let processor = inputs == nil ? try bridge.processor() : try? bridge.processor()
        let drafting = try draft.load(self.model, processor, on: model.engine, verification: verification)
        let generator = Generator(model, draft: drafting, draftTokenCount: draft.tokenCount)
        generator.promptCache = try promptCache.cache(of: model, bridge, self.model, quantization)
        let (tokens, images, asked) = try request(processor, model)
        let loaded = start.duration(to: clock.now).seconds
        SamplingArguments.warnOfLength(
            sampling.maxNewTokens,
            prompt: tokens.count,
            limit: model.decoder.configuration.seqLength
        )
        var options = try sampling.options(bridge)
        options.wantsProbabilities = output.json
        let transcript = try Transcript(
            processor?.tokenizer,
            stops: sampling.stop + options.settings.stopStrings,
            behind: tokens,
            isSilent: output.json || verboseSteps
        )
        var chosen: [Generator.Step] = []
        var firstToken: Double?
        let timings = try generator.run(tokens, images: images, options: options) { step in
            if firstToken == nil {
                // From here on there is a partial result to keep.
                Interrupt.exitsImmediately(false)
                firstToken = start.duration(to: clock.now).seconds
            }
            if verboseSteps { StepPrinter.show(step, number: chosen.count, processor?.tokenizer) }
            var step = step
            step.logits = []
            chosen.append(step)
            return try transcript.take(step) && !Interrupt.cancellation.isCancelled
        }
        try transcript.finish()
        // The output of damaged weights is not a result, nor are their keys and values.
        if !Interrupt.cancellation.isCancelled {
            do { try verification.finish() } catch {
                if timings.writesPromptCache, let path = promptCache.path { try? Files.remove(path) }
                throw error
            }
        }
        promptCache.report(timings)
        draft.report(timings)
        if output.json {
            Output.json(report(transcript, chosen, timings, loaded: loaded, first: firstToken ?? 0))
        } else if verboseSteps {
            StepPrinter.frame(images: prompt.images, prompt: prompt.prompt ?? "", text: asked + transcript.text)
        }
        if Interrupt.cancellation.isCancelled { throw ExitCode(130) }
    }

    /// The tokens and images, and their text.
    private func request(_ processor: (any ModelProcessor)?, _ model: any CausalModel) throws
        -> ([Int32], [Tensor], String)
    {
        if let inputs {
            let batch = try PromptOptions.batch(inputs: inputs, on: model.engine)
            guard batch.batch == 1 else {
                throw BridgeError(
                    .badArgument,
                    "\(inputs) has a batch of \(batch.batch) sequences; generate supports one"
                )
            }
            try Self.check(types: batch, inputs, model)
            return (try Self.tokens(of: batch, inputs), batch.images, "")
        }
        guard let processor else { return ([], [], "") }
        let prepared = try prompt.inputs(processor)
        let batch = TokenBatch(prepared, on: model.engine)
        return (batch.tokens, batch.images, prepared.prompt)
    }

    /// Refuses token types with which the prompt would be computed in another way.
    private static func check(types batch: TokenBatch, _ inputs: String, _ model: any CausalModel) throws {
        guard model.imagesAttendBothWays, let id = model.imageTokenID, let types = batch.tokenTypes,
            zip(types, batch.tokens).contains(where: { ($0 == 1) != ($1 == Int32(id)) })
        else { return }
        throw BridgeError(
            .badArgument,
            "token_type_ids of \(inputs) is not 1 for each image token and 0 for all others, which generate requires; remove it, or "
                + "use 'bridge forward'"
        )
    }

    /// The tokens of a sequence without left padding, which transformers masks and does not count.
    private static func tokens(of batch: TokenBatch, _ inputs: String) throws -> [Int32] {
        let padding = batch.isPresent?.firstIndex(of: true) ?? 0
        guard batch.isPresent?[padding...].allSatisfy({ $0 }) ?? true else {
            throw BridgeError(
                .badArgument,
                "attention_mask of \(inputs) has a 0 after a 1; generate supports left padding only"
            )
        }
        let tokens = Array(batch.tokens[padding...])
        let positions = batch.positions[padding...]
        let isPlain = positions.elementsEqual((0..<tokens.count).map { Int32($0) })
        guard isPlain || positions.elementsEqual((padding..<batch.tokens.count).map { Int32($0) }) else {
            throw BridgeError(
                .badArgument,
                "position_ids of \(inputs) are not 0, 1, 2, ..., which generate uses; remove them"
            )
        }
        return tokens
    }

    private func report(
        _ transcript: Transcript,
        _ steps: [Generator.Step],
        _ timings: Generator.Timings,
        loaded: Double,
        first: Double
    ) -> JSON {
        var json: JSON = [
            "text": .string(transcript.text),
            "token_ids": .array(steps.map { JSON(Int($0.token)) }),
            "logprobs": .array(steps.map { JSON(Double($0.logProbability ?? 0)) }),
            "finish_reason": .string(finishReason(transcript, steps)),
            "timings": [
                "load_seconds": JSON(loaded),
                "vision_seconds": JSON(timings.vision),
                "prefill_seconds": JSON(timings.prefill),
                "prefill_tokens": JSON(timings.prefillTokens),
                "cached_tokens": JSON(timings.cachedTokens),
                "decode_seconds": JSON(timings.decode),
                "decode_tokens": JSON(timings.decodeTokens),
                "first_token_seconds": JSON(first),
            ],
        ]
        if let draft = draft.json(timings) { json.set(draft, at: "draft") }
        return json
    }

    private func finishReason(_ transcript: Transcript, _ steps: [Generator.Step]) -> String {
        if Interrupt.cancellation.isCancelled { return "interrupted" }
        if transcript.isStopped { return "stop" }
        return steps.last?.isEnd == true ? "end" : "length"
    }
}
