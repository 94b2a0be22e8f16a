import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import Trainer

/// A run of another process on this terminal, redrawn until it ends.
struct RunView {
    private let run: RunMonitor

    /// A view.
    init(_ run: RunMonitor) { self.run = run }

    /// The option that shows a run.
    static let flag = "--watch"

    /// Refuses options of a training run beside the one that shows a run.
    static func checkOptions(_ arguments: [String]) throws {
        var rest = arguments[...]
        while let word = rest.popFirst() {
            if word == flag {
                rest = rest.dropFirst()
            } else if !word.hasPrefix("\(flag)="), !["--json", "--no-progress"].contains(word) {
                throw ValidationError(
                    "\(flag) shows a run that another process trains, so \(word) has no effect; remove it"
                )
            }
        }
    }

    /// The time between two states.
    private static let pause = 1.0

    /// Shows the run: once where output is not a terminal, otherwise until the run ends or a signal is received.
    ///
    /// - Throws: `BridgeError` when its log cannot be read any more.
    func show(json: Bool) throws {
        guard !json else { return Output.json(state) }
        guard Output.isTerminal, OutputMode.current.allowsProgress else {
            for line in lines(width: Self.plainWidth, height: Self.plainHeight) { Output.line(line) }
            return
        }
        try Interrupt.withGracefulInterrupt {
            var drawn = 0
            while true {
                let (width, height) = Style.size
                // What is above the last lines of a terminal cannot be redrawn.
                let shown = lines(width: width - 1, height: max(4, min(Self.plainHeight, height - 6))).prefix(
                    max(1, height - 1)
                )
                let text = shown.map { PrintableText.line($0) + "\u{1B}[K\n" }.joined()
                let back = drawn > 0 ? "\u{1B}[\(drawn)A\r" : ""
                Output.text(Array((back + text + "\u{1B}[J").utf8)[...])
                drawn = shown.count
                guard run.state == .running, !Interrupt.cancellation.isCancelled, !Output.isBroken else { return }
                let end = ContinuousClock.now + .seconds(Self.pause)
                while ContinuousClock.now < end, !Interrupt.cancellation.isCancelled { usleep(50_000) }
                guard !Interrupt.cancellation.isCancelled else { return }
                try run.refresh()
            }
        }
    }

    /// The size of a drawing in a file.
    private static let (plainWidth, plainHeight) = (80, 12)

    /// The drawing: the state, the curve, and the last values.
    private func lines(width: Int, height: Int) -> [String] {
        let state = run.state
        guard let last = run.steps.last else { return ["\(run.path): \(state.rawValue), no step yet"] }
        let total = run.totalIterations.map { " of \($0)" } ?? ""
        var lines = ["\(run.path): \(state.rawValue), step \(last.iteration)\(total)"]
        lines += TextPlot(width: width, height: height).lines(steps: run.steps, validations: run.validations)
        var values = ["loss \(number(last.loss))"]
        if let validation = run.validations.last {
            values.append("○ validation \(number(validation.loss)) after step \(validation.iteration)")
        }
        values.append("lr \(String(format: "%.2e", last.learningRate))")
        values.append("grad norm \(number(last.gradientNorm))")
        if let rate = run.tokensPerSecond { values.append("\(Int(saturating: rate)) tokens/s") }
        if state == .running, let left = run.secondsLeft { values.append("\(ProgressBar.time(left)) left") }
        return lines + wrapped(values, width: width)
    }

    /// Joins values to lines of a width.
    private func wrapped(_ values: [String], width: Int) -> [String] {
        var lines: [String] = []
        for value in values {
            if let last = lines.last, last.count + value.count + 2 <= width {
                lines[lines.count - 1] += "  \(value)"
            } else {
                lines.append(value)
            }
        }
        return lines
    }

    private func number(_ value: Double) -> String { String(format: "%.4f", value) }

    /// The state as JSON.
    private var state: JSON {
        func json(_ value: Double?) -> JSON { value.flatMap { $0.isFinite ? JSON($0) : nil } ?? .null }
        let last = run.steps.last
        return [
            "log": .string(run.path), "state": .string(run.state.rawValue), "iteration": JSON(last?.iteration ?? 0),
            "train_iters": run.totalIterations.map { JSON($0) } ?? .null, "loss": json(last?.loss),
            "learning_rate": json(last?.learningRate), "grad_norm": json(last?.gradientNorm),
            "tokens_per_second": json(run.tokensPerSecond), "seconds_left": json(run.secondsLeft),
            "validation": run.validations.last.map {
                ["iteration": JSON($0.iteration), "loss": json($0.loss)]
            } ?? .null,
        ]
    }
}
