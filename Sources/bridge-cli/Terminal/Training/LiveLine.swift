import BridgeCore
import Foundation
import JSONTree
import Trainer

/// The last line of a terminal during a run: step, loss, learning rate, tokens per second and the remaining time.
final class LiveLine: TrainerCallback {
    private var last: StepRecord?
    private var rates: [StepRecord] = []
    private var drawn: ContinuousClock.Instant?

    /// The number of steps whose mean is the rate.
    private static let window = 20
    /// The shortest time between two states of the line.
    private static let pause = Duration.milliseconds(100)

    /// Shows the run before its first step, which may take long.
    func onTrainStart(_ run: RunMetadata, after iteration: Int) {
        guard let total = run.configuration[path: "train.train_iters"]?.integer, iteration < total else { return }
        draw(iteration, of: total, [])
    }

    func onStepEnd(_ step: StepRecord) {
        rates = rates.suffix(Self.window - 1) + [step]
        let isDue = drawn.map { ContinuousClock.now - $0 >= Self.pause } ?? true
        guard isDue || !Watch.bar.isShown || step.iteration == step.totalIterations else { return }
        let seconds = rates.reduce(0) { $0 + $1.seconds }
        let tokens = rates.reduce(0.0) { $0 + Double($1.tokens) }
        let left = seconds / Double(rates.count) * Double(max(0, step.totalIterations - step.iteration))
        draw(
            step.iteration,
            of: step.totalIterations,
            [
                "loss \(String(format: "%.4f", step.loss))", "lr \(String(format: "%.2e", step.learningRate))",
                seconds > 0 ? "\(Int(saturating: tokens / seconds)) tokens/s" : "", "\(ProgressBar.time(left)) left",
            ]
        )
    }

    func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) { Watch.bar.erase() }

    private func draw(_ iteration: Int, of total: Int, _ details: [String]) {
        drawn = .now
        let share = total > 0 ? Double(iteration) / Double(total) : 1
        Watch.bar.showLive(activity: "step \(iteration) of \(total)", share: share, details: details)
    }
}
