import ArgumentParser
import BridgeCore
import Communication
import JSONTree

extension Generate {
    /// Continues the prompts of a file, and writes their answers.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - output: The file to write, by the first rank.
    ///   - groups: The ranks that the model is divided over.
    ///   - start: When the command started.
    /// - Throws: `BridgeError` with file and line for a prompt that cannot be used, before anything is generated.
    func answer(
        _ path: String,
        _ output: String,
        _ groups: ProcessGroupCollection,
        since start: ContinuousClock.Instant
    ) throws {
        try many.check(
            output,
            inputs: [path, prompt.tools],
            models: [model.huggingFace, model.megatron, model.adapter]
        )
        let file = try PromptFile(path: path)
        let bridge = try model.bridge()
        let processor = try bridge.processor()
        let prompts = PromptReader(
            file: file,
            processor: processor,
            processing: try prompt.options(for: processor),
            isRaw: prompt.raw,
            system: prompt.template.system,
            generation: try sampling.options(bridge)
        )
        try prompts.check(path, wantsCrops: prompt.template.panAndScan, asked: sampling.maxNewTokens)
        let verification = WeightVerification()
        let model = try model.model(bridge, groups, verification: verification, quantization: quantization.choice())
        let loaded = ContinuousClock.now
        var run = AnswerRun(prompts: prompts, batchSize: many.size, stops: sampling.stop)
        // From here on there is a partial file, which is removed.
        Interrupt.exitsImmediately(false)
        func generate(_ write: (UnsafeRawBufferPointer) throws -> Void) throws {
            try run.generate(with: model, write)
            guard !Interrupt.cancellation.isCancelled else {
                throw BridgeError(.cancelled, "interrupted; \(output) was not written")
            }
            // The output of damaged weights is not a result.
            try verification.finish()
        }
        if groups.rank == 0 { try Files.replace(output, generate) } else { try generate { _ in } }
        let seconds = loaded.duration(to: ContinuousClock.now).seconds
        let totals = run.totals
        let rate = seconds > 0 ? Double(totals.tokens) / seconds : 0
        guard self.output.json else {
            let (count, tokens) = (totals.prompts, ByteFormat.counted(totals.tokens, "token"))
            return Output.line(
                Style.green("✅ Wrote \(ByteFormat.counted(count, "answer")) with \(tokens) to \(output)")
                    + " in \(ByteFormat.rounded(seconds, digits: 1)) s, \(ByteFormat.rounded(rate, digits: 1)) tokens/s"
            )
        }
        Output.json([
            "output": .string(output),
            "prompts": JSON(totals.prompts),
            "prompt_tokens": JSON(totals.promptTokens),
            "tokens": JSON(totals.tokens),
            "finish_reasons": ["stop": JSON(run.stopped), "length": JSON(totals.prompts - run.stopped)],
            "batch_size": JSON(many.size),
            "passes": JSON(totals.passes),
            "tokens_per_second": JSON(rate),
            "timings": [
                "load_seconds": JSON(start.duration(to: loaded).seconds), "generate_seconds": JSON(seconds),
            ],
        ])
    }
}
