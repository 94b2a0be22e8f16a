import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime
import Trainer

/// The loss of a model on the supervised tokens of a file: `bridge evaluate --loss`.
struct LossEvaluation {
    let model: any CausalModel
    let opener: DatasetOpener
    let isJSON: Bool
    /// The samples; nil for those of the opener.
    var source: (any SampleSource)?

    /// Computes and prints the loss; Ctrl-C prints that of the samples so far.
    func run() throws {
        let source = try source ?? opener.training()
        let collator = try opener.preparer(source, shuffles: false)
        let line = CountLine(total: source.count)
        let clock = ContinuousClock()
        let start = clock.now
        var statistics = LossStatistics()
        var read = SampleStatistics()
        // A row may have several samples.
        var rows = 0
        Interrupt.exitsImmediately(false)
        let workers = max(1, opener.section.numWorkers)
        let samples = Prefetcher(count: source.count, depth: 2 * workers, workers: workers) {
            try collator.prepare(from: $0, count: 1)
        }
        while !Interrupt.cancellation.isCancelled, let prepared = try samples.next() {
            read += prepared.statistics
            rows += 1
            let batch = TrainingBatch(prepared.batch, on: model.engine)
            guard batch.supervisedCount > 0 else { continue }
            let tokens = TokenScores(model)
            let loss = try withoutGradients { try tokens.loss(of: model.stage(batch.tokens, input: nil), batch) }
            statistics.add(loss: loss, tokens: batch.supervisedCount, hits: tokens.hits)
            line.show(rows, "loss \(ByteFormat.rounded(statistics.loss, digits: 4))")
        }
        samples.cancel()
        line.finish()
        guard statistics.sampleCount > 0 || Interrupt.cancellation.isCancelled else {
            throw BridgeError(
                .badArgument,
                "no sample of \(opener.section.trainingSources.joined(separator: ", ")) has a supervised token; "
                    + "'bridge data check' shows the reasons"
            )
        }
        for sentence in opener.encoder.notes.sentences { Output.warn(sentence) }
        let isInterrupted = rows < source.count
        report(statistics, read, isInterrupted ? rows : nil, of: source, seconds: start.duration(to: clock.now).seconds)
        if Interrupt.cancellation.isCancelled { throw ExitCode(130) }
    }

    private func report(
        _ result: LossStatistics,
        _ read: SampleStatistics,
        _ interruptedAfter: Int?,
        of source: any SampleSource,
        seconds: Double
    ) {
        let samples = read.sampleCount - read.tooLong - read.withoutTrainedToken
        func number(_ value: Double) -> JSON { value.isFinite ? JSON(value) : .null }
        guard !isJSON else {
            return Output.json([
                "loss": number(result.loss), "loss_stderr": number(result.standardError),
                "perplexity": number(result.perplexity), "perplexity_stderr": number(result.perplexityError),
                "token_accuracy": number(result.tokenAccuracy), "samples": samples.json,
                "tokens": result.tokenCount.json,
                "truncated_samples": read.cut.json, "samples_without_supervised_token": read.withoutTrainedToken.json,
                "seconds": JSON(seconds), "interrupted": .bool(interruptedAfter != nil),
            ])
        }
        if let interruptedAfter {
            let kind = source.isPacked ? "row" : "sample"
            Output.line("interrupted after \(interruptedAfter) of \(ByteFormat.counted(source.count, kind))")
        }
        func text(_ value: Double, _ error: Double) -> String {
            let spread = error.isFinite ? " ± \(ByteFormat.rounded(error, digits: 4))" : ""
            return ByteFormat.rounded(value, digits: 4) + spread
        }
        Output.table([
            ["loss", text(result.loss, result.standardError)],
            ["perplexity", text(result.perplexity, result.perplexityError)],
            ["token accuracy", ByteFormat.rounded(result.tokenAccuracy, digits: 4)],
            ["samples", "\(samples)"], ["supervised tokens", "\(result.tokenCount)"],
        ])
        if read.cut > 0 { Output.warn("\(ByteFormat.counted(read.cut, "sample")) truncated to the maximum length") }
        if read.withoutTrainedToken > 0 {
            Output.warn("\(ByteFormat.counted(read.withoutTrainedToken, "sample")) without a supervised token ignored")
        }
        Output.line("\(ByteFormat.rounded(seconds, digits: 1)) s")
    }
}
