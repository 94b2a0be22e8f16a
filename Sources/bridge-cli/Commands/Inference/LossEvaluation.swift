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

    /// Computes and prints the loss; Ctrl-C prints that of the samples so far.
    func run() throws {
        let source = try opener.training()
        let collator = try opener.preparer(source, shuffles: false)
        let line = CountLine(total: source.count)
        let clock = ContinuousClock()
        let start = clock.now
        var statistics = LossStatistics()
        var read = SampleStatistics()
        Interrupt.exitsImmediately(false)
        let workers = max(1, opener.section.numWorkers)
        let samples = Prefetcher(count: source.count, depth: 2 * workers, workers: workers) {
            try collator.prepare(from: $0, count: 1)
        }
        while !Interrupt.cancellation.isCancelled, let prepared = try samples.next() {
            read += prepared.statistics
            let batch = TrainingBatch(prepared.batch, on: model.engine)
            guard batch.supervisedCount > 0 else { continue }
            let tokens = TokenScores(model)
            let loss = try withoutGradients { try tokens.loss(of: model.stage(batch.tokens, input: nil), batch) }
            statistics.add(loss: loss, tokens: batch.supervisedCount, hits: tokens.hits)
            line.show(read.sampleCount, "loss \(ByteFormat.rounded(statistics.loss, digits: 4))")
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
        report(statistics, read, of: source.count, seconds: start.duration(to: clock.now).seconds)
        if Interrupt.cancellation.isCancelled { throw ExitCode(130) }
    }

    private func report(_ result: LossStatistics, _ read: SampleStatistics, of count: Int, seconds: Double) {
        func number(_ value: Double) -> JSON { value.isFinite ? JSON(value) : .null }
        guard !isJSON else {
            return Output.json([
                "loss": number(result.loss), "loss_stderr": number(result.standardError),
                "perplexity": number(result.perplexity), "perplexity_stderr": number(result.perplexityError),
                "token_accuracy": number(result.tokenAccuracy), "samples": result.sampleCount.json,
                "tokens": result.tokenCount.json,
                "truncated_samples": read.cut.json, "samples_without_supervised_token": read.withoutTrainedToken.json,
                "seconds": JSON(seconds), "interrupted": .bool(read.sampleCount < count),
            ])
        }
        if read.sampleCount < count {
            Output.line("interrupted after \(read.sampleCount) of \(ByteFormat.counted(count, "sample"))")
        }
        func text(_ value: Double, _ error: Double) -> String {
            let spread = error.isFinite ? " ± \(ByteFormat.rounded(error, digits: 4))" : ""
            return ByteFormat.rounded(value, digits: 4) + spread
        }
        Output.table([
            ["loss", text(result.loss, result.standardError)],
            ["perplexity", text(result.perplexity, result.perplexityError)],
            ["token accuracy", ByteFormat.rounded(result.tokenAccuracy, digits: 4)],
            ["samples", "\(result.sampleCount)"], ["supervised tokens", "\(result.tokenCount)"],
        ])
        if read.cut > 0 { Output.warn("\(ByteFormat.counted(read.cut, "sample")) truncated to the maximum length") }
        if read.withoutTrainedToken > 0 {
            Output.warn("\(ByteFormat.counted(read.withoutTrainedToken, "sample")) without a supervised token ignored")
        }
        Output.line("\(ByteFormat.rounded(seconds, digits: 1)) s")
    }
}
