/// Writes a short line every few steps, for terminals: step, loss, learning rate, gradient norm, tokens per second and the remaining time.
///
/// Means are those of Megatron's line, see ``ConsoleLine``.
public final class CompactLine: TrainerCallback {
    private let interval: Int
    private let hasThroughput: Bool
    private let write: (String) -> Void
    private var window = StepWindow()
    private var total = 0

    /// A line.
    ///
    /// - Parameters:
    ///   - interval: The number of steps between two lines.
    ///   - hasThroughput: Whether the line has floating-point operations per second.
    ///   - write: Writes a line, given without its line break.
    public init(interval: Int, hasThroughput: Bool = false, write: @escaping (String) -> Void) {
        self.interval = max(1, interval)
        self.hasThroughput = hasThroughput
        self.write = write
    }

    /// Counts a step and writes a line when it is due, at multiples of the interval.
    public func onStepEnd(_ step: StepRecord) {
        total = step.totalIterations
        window.add(step)
        if step.iteration % interval == 0 { writeLine() }
    }

    /// Writes the loss, the perplexity and the token accuracy.
    public func onEvaluate(_ validation: ValidationRecord) {
        var parts = ["validation loss \(Self.number(validation.loss))"]
        if let perplexity = validation.perplexity { parts.append("perplexity \(Self.number(perplexity))") }
        if let accuracy = validation.tokenAccuracy { parts.append(CFormat.text("token accuracy %.4f", accuracy)) }
        parts += (validation.preference?.values ?? []).map { "\($0.name) \(Self.number($0.value))" }
        parts += validation.parts.map { "\($0.name) \(Self.number($0.loss))" }
        write(head(validation.iteration) + parts.joined(separator: "  "))
    }

    /// Writes the directory.
    public func onSave(_ checkpoint: SavedCheckpoint) { write(head(checkpoint.iteration) + "saved \(checkpoint.path)") }

    /// Writes a line for the steps after the last line.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) { writeLine() }

    private func writeLine() {
        guard let step = window.steps.last else { return }
        var parts = ["loss \(Self.number(window.meanLoss ?? step.loss))"]
        parts.append(CFormat.text("lr %.3e", step.learningRate))
        parts.append("grad norm \(Self.number(step.gradientNorm))")
        if let norm = step.parametersNorm { parts.append("params norm \(Self.number(norm))") }
        parts += (step.preference?.values ?? []).map { "\($0.name) \(Self.number($0.value))" }
        parts.append(CFormat.text("%.0f tokens/s", window.tokensPerSecond))
        if hasThroughput { parts.append(CFormat.text("%.2f TFLOP/s", window.teraflops)) }
        if window.skipped > 0 { parts.append("\(window.skipped) skipped") }
        if window.nan > 0 { parts.append("\(window.nan) NaN") }
        parts.append("\(CFormat.duration(window.secondsLeft(after: step))) left")
        write(head(step.iteration) + parts.joined(separator: "  "))
        window.reset()
    }

    private func head(_ iteration: Int) -> String {
        let (number, total) = ("\(iteration)", "\(total)")
        return "step " + String(repeating: " ", count: max(0, total.count - number.count)) + "\(number)/\(total)  "
    }

    /// Four decimals, or for small and large numbers as many digits.
    static func number(_ value: Double) -> String {
        value != 0 && (abs(value) < 0.01 || abs(value) >= 1e5)
            ? CFormat.text("%.3e", value) : CFormat.text("%.4f", value)
    }
}
