import Glibc

/// Writes a line every few steps: that of Megatron's training log, then tokens per second and the remaining time.
///
/// The format: `training_log` in Megatron-LM's `megatron/training/training.py`. Time and loss are means over the steps since the
/// last line, the loss without skipped and NaN steps; learning rate and norms are those of the last step.
public final class ConsoleLine: MetricsSink {
    private let interval: Int
    private let hasThroughput: Bool
    private let now: () -> time_t
    private let write: (String) -> Void
    private var steps: [StepRecord] = []
    private var skipped = 0
    private var nan = 0
    private var lossSum = 0.0
    private var lossCount = 0
    private var lastSkipped = 0
    private var lastNaN = 0

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

    /// Nothing is written before the first step.
    public func begin(_ run: RunMetadata, after iteration: Int) throws {}

    /// Counts a step and writes a line when it is due, at multiples of the interval.
    public func record(_ step: StepRecord) throws {
        steps.append(step)
        let counts = step.skippedIterations == lastSkipped && step.nanIterations == lastNaN
        if counts {
            lossSum += step.loss
            lossCount += 1
        }
        // A resumed process starts with the counts of the run, which may be above zero.
        skipped += max(0, step.skippedIterations - lastSkipped)
        nan += max(0, step.nanIterations - lastNaN)
        (lastSkipped, lastNaN) = (step.skippedIterations, step.nanIterations)
        guard step.iteration % interval == 0 else { return }
        write(line(step))
        steps = []
        (skipped, nan, lossSum, lossCount) = (0, 0, 0, 0)
    }

    /// Writes the loss and the perplexity.
    public func record(_ validation: ValidationRecord) throws {
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
    public func finish() throws {
        guard let last = steps.last else { return }
        write(line(last))
        steps = []
    }

    private static func text(of preference: PreferenceMetrics?) -> String {
        (preference?.values ?? []).map { " \($0.name):" + CFormat.text(" %.4f |", $0.value) }.joined()
    }

    private func line(_ step: StepRecord) -> String {
        let seconds = steps.reduce(0) { $0 + $1.seconds }
        let mean = seconds / Double(steps.count)
        var line = " [\(CFormat.localTime(now()))]"
        line += CFormat.text(" iteration %8ld/%8ld |", step.iteration, step.totalIterations)
        line += CFormat.text(" consumed samples: %12ld |", step.consumedSamples)
        line += CFormat.text(" elapsed time per iteration (ms): %.1f |", mean * 1000)
        if hasThroughput {
            let rate = seconds > 0 ? steps.reduce(0) { $0 + $1.operations } / seconds / 1e12 : 0
            line += CFormat.text(" throughput per GPU (TFLOP/s/GPU): %.1f |", rate)
        }
        line += CFormat.text(" learning rate: %.6E |", step.learningRate)
        line += CFormat.text(" global batch size: %5ld |", step.globalBatchSize)
        let loss = lossSum / Double(max(1, lossCount))
        if lossCount > 0, loss > 0 { line += CFormat.text(" lm loss: %.6E |", loss) }
        line += " loss scale: 1.0 |"
        line += CFormat.text(" grad norm: %.3f |", step.gradientNorm)
        if let norm = step.parametersNorm { line += CFormat.text(" params norm: %.3f |", norm) }
        line += Self.text(of: step.preference)
        line += CFormat.text(" number of skipped iterations: %3ld |", skipped)
        line += CFormat.text(" number of nan iterations: %3ld |", nan)
        let tokens = steps.reduce(0) { $0 + Double($1.tokens) }
        line += CFormat.text(" tokens/s: %.1f", seconds > 0 ? tokens / seconds : 0)
        let left = mean * Double(max(0, step.totalIterations - step.iteration))
        return line + " | time left: " + CFormat.duration(left)
    }
}
