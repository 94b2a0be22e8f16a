import Glibc

/// Writes a line every few steps: that of Megatron's training log, then tokens per second and the remaining time.
///
/// The format: `training_log` in Megatron-LM's `megatron/training/training.py`. Time and loss are means over the steps since the
/// last line, the loss without skipped and NaN steps; learning rate and norms are those of the last step.
public final class ConsoleLine: TrainerCallback {
    private let interval: Int
    private let hasThroughput: Bool
    private let now: () -> time_t
    private let write: (String) -> Void
    private var window = StepWindow()

    /// A console line.
    ///
    /// - Parameters:
    ///   - interval: The number of steps between two lines.
    ///   - hasThroughput: Whether the line has floating-point operations per second.
    ///   - now: Seconds since 1970; nil for the system clock.
    ///   - write: Writes a line, given without its line break.
    public init(
        interval: Int,
        hasThroughput: Bool = false,
        now: (() -> Int)? = nil,
        write: @escaping (String) -> Void
    ) {
        self.interval = max(1, interval)
        self.hasThroughput = hasThroughput
        self.now = now ?? { time(nil) }
        self.write = write
    }

    /// Counts a step and writes a line when it is due, at multiples of the interval.
    public func onStepEnd(_ step: StepRecord) throws {
        window.add(step)
        guard step.iteration % interval == 0 else { return }
        write(line(step))
        window.reset()
    }

    /// Writes the loss and the perplexity.
    public func onEvaluate(_ validation: ValidationRecord) throws {
        var text = CFormat.text(
            " validation loss at iteration %ld | lm loss value: %.6E |",
            validation.iteration,
            validation.loss
        )
        if let perplexity = validation.perplexity { text += CFormat.text(" lm loss PPL: %.6E |", perplexity) }
        if let accuracy = validation.tokenAccuracy { text += CFormat.text(" token accuracy: %.4f |", accuracy) }
        text += Self.text(of: validation.preference)
        let parts = validation.parts.map { " \($0.name):" + CFormat.text(" %.6E |", $0.loss) }
        write(text + parts.joined())
    }

    /// Writes a line for the steps after the last line; Megatron does not, but a short run would print no loss at all.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        guard let last = window.steps.last else { return }
        write(line(last))
        window.reset()
    }

    private static func text(of preference: PreferenceMetrics?) -> String {
        (preference?.values ?? []).map { " \($0.name):" + CFormat.text(" %.4f |", $0.value) }.joined()
    }

    private func line(_ step: StepRecord) -> String {
        var line = " [\(CFormat.localTime(now()))]"
        line += CFormat.text(" iteration %8ld/%8ld |", step.iteration, step.totalIterations)
        line += CFormat.text(" consumed samples: %12ld |", step.consumedSamples)
        line += CFormat.text(" elapsed time per iteration (ms): %.1f |", window.meanSeconds * 1000)
        if hasThroughput {
            line += CFormat.text(" throughput per GPU (TFLOP/s/GPU): %.1f |", window.teraflops)
        }
        line += CFormat.text(" learning rate: %.6E |", step.learningRate)
        line += CFormat.text(" global batch size: %5ld |", step.globalBatchSize)
        if let loss = window.meanLoss, loss > 0 { line += CFormat.text(" lm loss: %.6E |", loss) }
        line += " loss scale: 1.0 |"
        line += CFormat.text(" grad norm: %.3f |", step.gradientNorm)
        if let norm = step.parametersNorm { line += CFormat.text(" params norm: %.3f |", norm) }
        line += Self.text(of: step.preference)
        line += CFormat.text(" number of skipped iterations: %3ld |", window.skipped)
        line += CFormat.text(" number of nan iterations: %3ld |", window.nan)
        line += CFormat.text(" tokens/s: %.1f", window.tokensPerSecond)
        return line + " | time left: " + CFormat.duration(window.secondsLeft(after: step))
    }
}
